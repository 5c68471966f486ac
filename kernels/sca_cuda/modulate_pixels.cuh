// SPDX-License-Identifier: Apache-2.0
// Modulation, backward, pixels' side: the gradient of x. Runs last: the instance norm needs sums
// over all pixels.
#pragma once

#include <sca_cuda/modulation_gradient.cuh>

namespace sca {

// grid: tiles of threads / 2 pixels, batch.
template <class T, bool last>
SCA_KERNEL(128, SCA_FOUR_BLOCKS) modulation_gradient_of_x(SCA_PARAMS(ModulationParams) p) {
  const int pixels = threads() / 2, warp = thread() >> 5, row = (thread() & 31) >> 2;
  const int first = block_x() * pixels, warp_first = first + 16 * warp;
  const int64_t batch = block_y();
  const int tile_bytes = Tile<T, last>::bytes(pixels, p.channels);
  const Tile<T, last> x(shared_memory(), pixels, p.channels);
  const Tile<T, last> gradient(shared_memory() + tile_bytes, pixels, p.channels);
  const int tiles = 2 + (p.position.data != nullptr);
  const Tile<T, last> position(shared_memory() + 2 * tile_bytes, pixels, p.channels);
  // (heads, pixels): sum P dP, where it does not stay in registers
  float* sums = reinterpret_cast<float*>(shared_memory() + tiles * tile_bytes);
  fill(x, p.x, batch, 0, pixels, p.channels, first, p.pixels);
  fill(gradient, p.grad_y, batch, 0, pixels, p.channels, first, p.pixels);
  if (p.position.data) fill(position, p.position, 0, 0, pixels, p.channels, first, p.pixels);
  commit_copies();

  const int mine = warp_first + (thread() & 15);
  Range range = {0, 0};
  if (mine < p.pixels) range = tokens_of(p.tokens, batch, label_at(p.labels, batch, mine));
  Visibility<T, last> visible(p.tokens, p.channels, 1.0f, x, position, p.position.data, batch,
                              16 * warp, 0, p.tokens.heads);
  visible.set_logs(p, batch * p.tokens.heads, warp_first);
  Lane<T, last> lane;
  lane.set_pixels(p, batch, warp_first);
  visible.set_range(range);
  wait_copies<0>();
  visible.single = !any_of_block(!visible.single);

  visible.recall();
  pass_activation(p, visible, lane, gradient);
  float kept[4] = {0, 0, 0, 0};  // gradient of the scores, where each pixel has one unit
  for_each_range(visible.range, [&](int begin, int end, uint32_t members) {
    for (int head = 0; head < p.tokens.heads; ++head) {
      float sum[2], w[4], d[4];
      products_of_head(sum, w, d, p, visible, gradient, Unit{head, begin, 8}, begin, end);
      score_gradients(d, w, sum);
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        if (!row_in(members, r)) continue;
        kept[2 * r] = d[2 * r];
        kept[2 * r + 1] = d[2 * r + 1];
        if (!visible.single && (thread() & 3) == 0)
          sums[head * pixels + 16 * warp + row + 8 * r] = sum[r];
      }
    }
  });
  sync_warp();

  const float* means = p.means + batch * 2 * p.channels;
  for (int c = 0; c < p.channels; c += 16) {
    Block scale, shift, dx = no_block();
    mix_modulation(scale, shift, p, visible, c);
    visible.for_each([&](const Unit& unit, uint32_t members) {
      float d[4];
      if (visible.single) {
#pragma unroll
        for (int i = 0; i < 4; ++i) d[i] = kept[i];
      } else {
        float w[4], sum[2];
        for (int r = 0; r < 2; ++r)
          sum[r] = row_in(members, r) ? sums[unit.head * pixels + 16 * warp + row + 8 * r] : 0.0f;
        visible.probabilities(w, unit);
        weight_gradients(d, p, visible, gradient, unit);
        score_gradients(d, w, sum);
      }
      const Rows<T> keys(p.tokens, batch, unit, 0, p.channels);
      mix<T, last>(dx, split_weights<T>(d), keys, c, members);
    });
    lane.set_channels(p, batch, c);
    const Block value = x.block(16 * warp, c), g = gradient.block(16 * warp, c);
#pragma unroll
    for (int e = 0; e < 2; ++e)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int which = Axes<last>::which_channel(i >> 1, e, i & 1);
        const int channel = c + Axes<last>::channel(which);
        const float normal = lane.normalised(value.v[e][i], i >> 1, e, i & 1);
        const float centred = g.v[e][i] * (1.0f + scale.v[e][i]) - load(means + channel) -
                              normal * load(means + p.channels + channel);
        dx.v[e][i] += lane.rstd[which] * centred;
      }
    if (visible.single) {
      x.set_block(16 * warp, c, dx);
    } else {
      store_block<T, last>(dx, p.pixel_out, batch, 0, c, [&](int i) {
        return warp_first + i < p.pixels ? warp_first + i : -1;
      });
    }
  }
  if (!visible.single) return;
  sync_block();
  drain(x, p.pixel_out, batch, 0, pixels, p.channels, first, p.pixels);
}

}  // namespace sca
