// SPDX-License-Identifier: Apache-2.0
// Pixels read latents, forward: out_i = sum_j P_ij value_j over the latents of the pixel's label.
#pragma once

#include <sca_cuda/gather.cuh>
#include <sca_cuda/visibility.cuh>

namespace sca {

// The warp's pixels, of a label of at most eight latents, in place of their queries.
template <class T, bool last>
SCA_DEVICE void read_unit(const Visibility<T, last>& visible) {
  float w[4];
  Logs logs[2];
  visible.attend_to_unit(w, logs);
  visible.store_logs(visible.first_head, logs);
  const Weights weights = split_weights<T>(w);
  const Rows<T> values(visible.tokens, visible.batch, visible.first_unit(), 1, visible.channels);
  auto to = visible.x.writer(visible.tile_pixel);
  for (int c = 0; c < visible.channels; c += 16) {
    Block out = no_block();
    mix<T>(out, weights, values.at(c));
    uint32_t words[4];
    pack_block<T>(words, out);
    to.next(words);
  }
}

// That see nothing.
template <class T, bool last>
SCA_DEVICE void read_nothing(const Visibility<T, last>& visible) {
  visible.store_no_logs();
  const uint32_t zeros[4] = {0, 0, 0, 0};
  auto to = visible.x.writer(visible.tile_pixel);
  for (int c = 0; c < visible.channels; c += 16) to.next(zeros);
}

// Of a label of more latents: written past the tile, which is still read.
template <class T, bool last, class PixelAt>
SCA_DEVICE void read_all(const Visibility<T, last>& visible, const AttentionParams& p, int head,
                         PixelAt pixel_at) {
  visible.attend_to_all();
  for (int c = 0; c < p.channels; c += 16) {
    Block out = no_block();
    visible.for_each([&](const Unit& unit) {
      float w[4];
      visible.recompute(w, unit);
      mix<T>(out, split_weights<T>(w), Rows<T>(p.tokens, visible.batch, unit, 1, p.channels).at(c));
    });
    store_block<T>(out, p.pixel_out, visible.batch, head, c, pixel_at);
  }
}

// grid: tiles of the plan, batch * heads; a warp for every 16 pixels that are gathered at once.
template <class T, bool last>
SCA_KERNEL(128, 4) pixels_read(SCA_PARAMS(GatherParams<AttentionParams>) g) {
  const AttentionParams& p = g.params;
  const int64_t batch = block_y() / p.heads;
  const int head = block_y() % p.heads, token_head = head / (p.heads / p.tokens.heads);
  const int warp = thread() >> 5;
  const int32_t* bounds = p.plan.tiles + (batch * p.plan.count + block_x()) * 4;
  const int begin = bounds[0], end = bounds[1];
  if (begin >= end) return;
  const Tile<T, last> x(shared_memory(), g.pixels, p.channels);
  Slots* slots = reinterpret_cast<Slots*>(shared_memory() + x.bytes(g.pixels, p.channels));
  const auto pixel_at = [&](int i) { return slots[0].pixel[16 * warp + i]; };
  Visibility<T, last> visible{p.tokens, p.channels, p.scale, x, x, false, batch, 16 * warp,
                              token_head, token_head + 1, {bounds[2], bounds[3]}};
  const bool blind = bounds[2] == bounds[3], in_place = blind || visible.has_one_unit();
  const auto work = [&](int) {
    visible.set_logs(p, batch * p.heads + head, pixel_at);
    if (!in_place) return read_all<T, last>(visible, p, head, pixel_at);
    if (blind) {
      read_nothing<T, last>(visible);
    } else if (slots[0].live_in(16 * warp)) {
      read_unit<T, last>(visible);
    }
    sync_block();
    drain(x, p.pixel_out, batch, head, g.pixels, p.channels, slots[0]);
  };
  for_each_tile<last>(
      slots, p.plan.order + batch * p.pixels, begin, end, g.pixels, 1,
      [&](int) { fill(x, p.x, batch, head, g.pixels, p.channels, slots[0]); }, work);
}

}  // namespace sca
