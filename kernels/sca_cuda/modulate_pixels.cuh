// SPDX-License-Identifier: Apache-2.0
// Modulation, backward, pixels' side: the gradient of x. Runs last: the instance norm needs sums
// over all pixels.
#pragma once

#include <sca_cuda/modulation_gradient.cuh>

namespace sca {

// The gradient of x of a block from channel c on, as far as it knows no token: less what the norm
// takes. own: g, in place, times rstd.
template <class T>
SCA_DEVICE void begin_input_gradient(Block& dx, Block& own, const ModulationParams& p,
                                     int64_t batch, unsigned c, const Block& normal,
                                     const Channels<T>& channels) {
  const float* means = p.means + batch * 2 * p.channels + 2 * (thread() & 3) + c;
#pragma unroll
  for (int e = 0; e < 2; ++e) {
    const Pair offset = load_pair(means + 8 * e), slope = load_pair(means + p.channels + 8 * e);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const bool high = i & 1;
      own.v[e][i] *= channels.rstd[2 * e + high];
      dx.v[e][i] = own.v[e][i] - fused(normal.v[e][i], high ? slope.high : slope.low,
                                       high ? offset.high : offset.low);
    }
  }
}

// dx += own * scale, which is without its 1.
SCA_DEVICE void add_scaled(Block& dx, const Block& own, const Block& scale) {
#pragma unroll
  for (int e = 0; e < 2; ++e)
#pragma unroll
    for (int i = 0; i < 4; ++i) dx.v[e][i] = fused(own.v[e][i], scale.v[e][i], dx.v[e][i]);
}

// What the tokens' side kept of the warp's pixels; garbage of pixels that see no one unit.
struct Kept {
  float w[4], d[4];

  SCA_DEVICE Kept(const ModulationParams& p, int64_t batch, const Adjacent& adjacent) {
    const int lane = thread() & 31;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int pixel = adjacent(8 * r + (lane >> 2));
      const int64_t row = batch * p.pixels + (pixel < 0 ? 0 : pixel);
      const float* from = p.kept + row * 16 + 2 * (lane & 3);
      const Pair weights = load_pair(from), gradients = load_pair(from + 8);
      w[2 * r] = weights.low;
      w[2 * r + 1] = weights.high;
      d[2 * r] = gradients.low;
      d[2 * r + 1] = gradients.high;
    }
  }
};

// The members' pixels of a label of one unit.
template <class T, bool last>
SCA_DEVICE void input_gradient_of_unit(const ModulationParams& p,
                                       const Visibility<T, last>& visible, const Noise& noise,
                                       const Tile<T, last>& gradient, const Weights& of_w,
                                       const Weights& of_d, uint32_t members) {
  const Rows<T> keys(p.tokens, visible.batch, visible.first_unit(), 0, p.channels);
  const Rows<T> gamma(p.tokens, visible.batch, visible.first_unit(), 1, p.channels);
  const Rows<T> beta(p.tokens, visible.batch, visible.first_unit(), 2, p.channels);
  Channels<T> channels(p, visible.batch);
  auto from_x = visible.x.reader(visible.tile_pixel);
  auto from_g = gradient.reader(visible.tile_pixel);
  auto to = visible.x.writer(visible.tile_pixel);
  for (int c = 0; c < p.channels; c += 16) {
    channels.look_at(c);
    uint32_t x[4], g[4], words[4];
    from_x.next(x);
    from_g.next(g);
    Block normal, scale, shift, dx, own = unpack_block<T>(g);
    begin_modulation(normal, scale, shift, x, channels, noise);
    mix<T>(scale, of_w, gamma.at(c));
    mix<T>(shift, of_w, beta.at(c));
    pass_activation(own, normal, scale, shift, p.negative_slope);
    pack_block<T>(g, own);  // rounded as where it was summed up: the norm takes means from it
    own = unpack_block<T>(g);
    begin_input_gradient(dx, own, p, visible.batch, c, normal, channels);
    mix<T>(dx, of_d, keys.at(c));
    add_scaled(dx, own, scale);
    pack_block<T>(words, dx);
    keep_others(words, x, members);
    to.next(words);
  }
}

// Of a label of more tokens, or of several heads, or of no token. Written past the tile, unless
// all of the block's labels are of few. sums: (heads, pixels of the tile), scratch.
template <class T, bool last>
SCA_DEVICE void input_gradient_of_all(const ModulationParams& p,
                                      const Visibility<T, last>& visible, const Noise& noise,
                                      const Tile<T, last>& gradient, uint32_t members,
                                      float* sums, const Adjacent& adjacent) {
  const int pixels = threads() / 2, row = visible.tile_pixel + ((thread() & 31) >> 2);
  pass_all(p, visible, noise, gradient, members);
  if (visible.range.first < visible.range.last) {
#pragma unroll 1
    for (int head = 0; head < p.tokens.heads; ++head) {
      float sum[2], w[4], d[4];
      products_of_head(sum, w, d, p, visible, gradient, Unit{head, visible.range.first, 8});
      for (int r = 0; r < 2; ++r)
        if (row_in(members, r) && (thread() & 3) == 0) sums[head * pixels + row + 8 * r] = sum[r];
    }
  }
  sync_warp();
  Channels<T> channels(p, visible.batch);
  auto from_x = visible.x.reader(visible.tile_pixel);
  auto from_g = gradient.reader(visible.tile_pixel);
  auto to = visible.x.writer(visible.tile_pixel);
#pragma unroll 1
  for (int c = 0; c < p.channels; c += 16) {
    channels.look_at(c);
    uint32_t x[4], g[4], words[4];
    from_x.next(x);
    from_g.next(g);
    Block normal, scale, shift, dx, own = unpack_block<T>(g);
    begin_modulation(normal, scale, shift, x, channels, noise);
    begin_input_gradient(dx, own, p, visible.batch, c, normal, channels);
    mix_all(scale, shift, p, visible, c);
    visible.for_each([&](const Unit& unit) {
      float w[4], d[4], sum[2];
      for (int r = 0; r < 2; ++r)
        sum[r] = row_in(members, r) ? sums[unit.head * pixels + row + 8 * r] : 0.0f;
      visible.recompute(w, unit);
      weight_gradients(d, p, visible, gradient, unit);
      score_gradients(d, w, sum);
      mix<T>(dx, split_weights<T>(d), Rows<T>(p.tokens, visible.batch, unit, 0, p.channels).at(c));
    });
    add_scaled(dx, own, scale);
    if (adjacent.in_place) {
      pack_block<T>(words, dx);
      keep_others(words, x, members);
      to.next(words);
    } else {
      store_block<T>(dx, p.pixel_out, visible.batch, 0, c, members, adjacent);
    }
  }
}

// Scores are only computed again for labels of many tokens.
template <class T, bool last>
SCA_DEVICE void fill_position(const Tile<T, last>& position, const ModulationParams& p, int pixels,
                              int first) {
  if (p.position.data) fill(position, p.position, 0, 0, pixels, p.channels, first, p.pixels);
}

// grid: tiles of threads / 2 pixels, batch.
template <class T, bool last>
SCA_KERNEL(128, SCA_FOUR_BLOCKS) modulation_gradient_of_x(SCA_PARAMS(ModulationParams) p) {
  const int pixels = threads() / 2, warp = thread() >> 5, first = block_x() * pixels;
  const int64_t batch = block_y();
  const int tile_bytes = Tile<T, last>::bytes(pixels, p.channels);
  const Tile<T, last> x(shared_memory(), pixels, p.channels);
  const Tile<T, last> gradient(shared_memory() + tile_bytes, pixels, p.channels);
  const int tiles = 2 + (p.position.data != nullptr);
  const Tile<T, last> position(shared_memory() + 2 * tile_bytes, pixels, p.channels);
  float* sums = reinterpret_cast<float*>(shared_memory() + tiles * tile_bytes);
  fill(x, p.x, batch, 0, pixels, p.channels, first, p.pixels);
  fill(gradient, p.grad_y, batch, 0, pixels, p.channels, first, p.pixels);
  const Adjacent adjacent(p, batch, first + 16 * warp);
  if (!adjacent.in_place) fill_position(position, p, pixels, first);
  commit_copies();

  Visibility<T, last> visible{p.tokens, p.channels, 1.0f, x, position, p.position.data != nullptr,
                              batch, 16 * warp, 0, p.tokens.heads};
  visible.set_logs(p, batch * p.tokens.heads, adjacent);
  Noise noise;
  noise.set<T>(p, batch, adjacent);
  Weights of_w = {}, of_d = {};
  if (p.kept) {
    const Kept kept(p, batch, adjacent);
    of_w = split_weights<T>(kept.w);
    of_d = split_weights<T>(kept.d);
  }
  wait_copies<0>();
  sync_block();

  for_each_range(adjacent.range, [&](const Range& range, uint32_t members) {
    visible.range = range;
    if (adjacent.in_place && visible.has_one_unit()) {
      input_gradient_of_unit(p, visible, noise, gradient, of_w, of_d, members);
    } else {
      input_gradient_of_all(p, visible, noise, gradient, members, sums, adjacent);
    }
    sync_warp();
  });
  if (!adjacent.in_place) return;
  sync_block();
  drain(x, p.pixel_out, batch, 0, pixels, p.channels, first, p.pixels);
}

}  // namespace sca
