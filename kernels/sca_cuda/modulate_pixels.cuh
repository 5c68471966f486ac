// SPDX-License-Identifier: Apache-2.0
// Modulation, backward, pixels' side: the gradient of x. The instance norm takes two means over all
// pixels of an image, which come from the sums of the sweep: it writes the gradient without them,
// and a last pass subtracts them.
#pragma once

#include <sca_cuda/modulation_gradient.cuh>
#include <sca_cuda/statistics.cuh>

namespace sca {

// dx: g, times what the norm and the modulation multiply x by from channel c on. scale: without 1.
// rstds: what a lane has of all channels.
SCA_DEVICE void scale_gradient(Block& dx, const Block& scale, const float* rstds, unsigned c) {
#pragma unroll
  for (int e = 0; e < 2; ++e) {
    const Pair rstd = load_pair(rstds + c + 8 * e);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      dx.v[e][i] *= i & 1 ? rstd.high : rstd.low;
      dx.v[e][i] = fused(dx.v[e][i], scale.v[e][i], dx.v[e][i]);
    }
  }
}

SCA_DEVICE const float* rstds_of(const ModulationParams& p, int64_t batch) {
  return opaque(p.rstd + batch * p.channels + 2 * (thread() & 3));
}

// Of 16 pixels from `pixel` on that see one unit: some channels, into another tile.
template <class T, bool last>
SCA_DEVICE void input_gradient_of_unit(const ModulationParams& p, int64_t batch, const Unit& unit,
                                       const Tile<T, last>& gradient, const Tile<T, last>& result,
                                       int pixel, const Weights& of_w, const Weights& of_d,
                                       const Range& channels) {
  const Rows<T> keys(p.tokens, batch, unit, 0, p.channels);
  const Rows<T> gamma(p.tokens, batch, unit, 1, p.channels);
  const float* rstds = rstds_of(p, batch);
  auto from = gradient.reader(pixel, channels.first);
  auto to = result.writer(pixel, channels.first);
  for (int c = channels.first; c < channels.last; c += 16) {
    uint32_t g[4];
    from.next(g);
    Block dx = unpack_block<T>(g), scale = no_block();
    mix<T>(scale, of_w, gamma.at(c));
    scale_gradient(dx, scale, rstds, c);
    mix<T>(dx, of_d, keys.at(c));
    pack_block<T>(g, dx);
    to.next(g);
  }
}

// Of pixels that see several units, or none. Written past the tile, which is read again and again.
// sums: (heads, pixels of the tile), scratch.
template <class T, bool last, class PixelAt>
SCA_DEVICE void input_gradient_of_all(const ModulationParams& p,
                                      const Visibility<T, last>& visible,
                                      const Tile<T, last>& gradient, float* sums, int pixels,
                                      const Range& channels, PixelAt pixel_at) {
  const int row = visible.tile_pixel + ((thread() & 31) >> 2);
  const Range& seen = visible.range;
#pragma unroll 1
  for (int head = 0; seen.first < seen.last && head < p.tokens.heads; ++head) {
    float sum[2], w[4], d[4];
    products_of_head(sum, w, d, p, visible, gradient, Unit{head, seen.first, 8});
    for (int r = 0; r < 2; ++r)
      if ((thread() & 3) == 0) sums[head * pixels + row + 8 * r] = sum[r];
  }
  sync_warp();
  const float* rstds = rstds_of(p, visible.batch);
  auto from = gradient.reader(visible.tile_pixel, channels.first);
#pragma unroll 1
  for (int c = channels.first; c < channels.last; c += 16) {
    uint32_t g[4];
    from.next(g);
    Block dx = unpack_block<T>(g), scale = no_block(), shift = no_block();
    mix_all(scale, shift, p, visible, c);
    scale_gradient(dx, scale, rstds, c);
    visible.for_each([&](const Unit& unit) {
      float w[4], d[4], sum[2];
      for (int r = 0; r < 2; ++r) sum[r] = sums[unit.head * pixels + row + 8 * r];
      visible.recompute(w, unit);
      weight_gradients(d, p, visible, gradient, unit);
      score_gradients(d, w, sum);
      mix<T>(dx, split_weights<T>(d), Rows<T>(p.tokens, visible.batch, unit, 0, p.channels).at(c));
    });
    store_block<T>(dx, p.pixel_out, visible.batch, 0, c, pixel_at);
  }
  sync_warp();
}

// What is taken from the gradients of eight numbers of x: slope * x + offset, by channel.
template <class T>
SCA_DEVICE uint4 less_means(const uint4& gradients, const uint4& x, const float (&slope)[8],
                            const float (&offset)[8]) {
  const uint32_t before[4] = {gradients.x, gradients.y, gradients.z, gradients.w};
  const uint32_t values[4] = {x.x, x.y, x.z, x.w};
  uint32_t after[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const Pair g = unpack2<T>(before[i]), value = unpack2<T>(values[i]);
    after[i] = pack2<T>(g.low - fused(slope[2 * i], value.low, offset[2 * i]),
                        g.high - fused(slope[2 * i + 1], value.high, offset[2 * i + 1]));
  }
  return {after[0], after[1], after[2], after[3]};
}

// In place of the gradient of x without means. The last image first: it was written last, and much
// of it is still in L2. A thread has eight pixels of a channel or eight channels of a pixel.
// grid: strips, channels / 4 or 1, batch.
template <class T, bool last>
SCA_KERNEL(128, 8) subtract_means(SCA_PARAMS(ModulationParams) p) {
  const int64_t batch = p.batch - 1 - block_z();
  const Range strip = strip_of(block_x(), p.strips, p.pixels);
  const int pieces = last ? p.channels / 8 : 32, step = threads() / pieces;
  const int piece = thread() % pieces, row = thread() / pieces;
  const int channel = last ? 8 * piece : 4 * block_y() + row;
  if (row >= step) return;
  float slope[8], offset[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int64_t own = batch * p.channels + channel + (last ? i : 0);
    const float* means = p.means + own + batch * p.channels;
    slope[i] = load(p.rstd + own) * load(means + p.channels);
    offset[i] = fused(-slope[i], load(p.mean + own), load(means));
  }
  const int first = strip.first + (last ? row : 8 * piece), pixels = last ? step : 256;
  const T* x = origin<T>(p.x, batch, 0) + channel * p.x.stride[3] + first * p.x.stride[2];
  T* to = origin<T>(p.pixel_out, batch, 0) + channel * p.pixel_out.stride[3] +
          first * p.pixel_out.stride[2];
  const int64_t step_x = pixels * p.x.stride[2], step_to = pixels * p.pixel_out.stride[2];
#pragma unroll 4
  for (int at = first; at < strip.last; at += pixels) {
    uint4* gradients = reinterpret_cast<uint4*>(to);
    *gradients = less_means<T>(*gradients, load(reinterpret_cast<const uint4*>(x)), slope, offset);
    x += step_x;
    to += step_to;
  }
}

}  // namespace sca
