// SPDX-License-Identifier: Apache-2.0
// Modulation, forward: every pixel mixes the gamma and beta of the tokens of its label.
#pragma once

#include <sca_cuda/visibility.cuh>

namespace sca {

// What a lane needs of its pixels' channels and pixels, numbered as in Axes.
template <class T, bool last>
struct Lane {
  using A = Axes<last>;
  float mean[A::CHANNELS], rstd[A::CHANNELS], noise_scale[A::CHANNELS], noise[A::PIXELS];

  // Noise of the 16 pixels from `first` on; 0 beyond the image.
  SCA_DEVICE void set_pixels(const ModulationParams& p, int64_t batch, int first) {
#pragma unroll
    for (int i = 0; i < A::PIXELS; ++i) set_pixel(i, p, batch, first + A::pixel(i));
  }

  SCA_DEVICE void set_pixel(int i, const ModulationParams& p, int64_t batch, int pixel) {
    noise[i] = 0;
    if (p.noise.data && pixel >= 0 && pixel < p.pixels)
      noise[i] = to_float(load(origin<T>(p.noise, batch, 0) + pixel * p.noise.stride[2]));
  }

  SCA_DEVICE void set_channels(const ModulationParams& p, int64_t batch, int first) {
#pragma unroll
    for (int i = 0; i < A::CHANNELS; ++i) {
      const int channel = first + A::channel(i);
      mean[i] = load(p.mean + batch * p.channels + channel);
      rstd[i] = load(p.rstd + batch * p.channels + channel);
      noise_scale[i] = 0;
      if (p.noise_scale)
        noise_scale[i] = to_float(load(static_cast<const T*>(p.noise_scale) + channel));
    }
  }

  SCA_DEVICE float normalised(float x, int r, int e, int i) const {
    const int channel = A::which_channel(r, e, i);
    return (x - mean[channel]) * rstd[channel];
  }

  // What goes into the leaky ReLU; `scale` without its 1.
  SCA_DEVICE float activated(float x, float scale, float shift, int r, int e, int i) const {
    return (1.0f + scale) * normalised(x, r, e, i) + shift +
           noise_scale[A::which_channel(r, e, i)] * noise[A::which_pixel(r, e, i)];
  }
};

// What pixels get that see no token.
template <class T, bool last>
SCA_DEVICE void add_default(Block& block, const View& view, int64_t batch, int c,
                            uint32_t members) {
  if (!view.data || !members) return;
  using A = Axes<last>;
  const T* from = origin<T>(view, batch, 0);
#pragma unroll
  for (int e = 0; e < 2; ++e)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int channel = c + A::channel(A::which_channel(i >> 1, e, i & 1));
      const int pixel = A::pixel(A::which_pixel(i >> 1, e, i & 1));
      if (members >> pixel & 1) block.v[e][i] += to_float(load(from + channel * view.stride[3]));
    }
}

// Scale - 1 and shift of channels c ... c + 15.
template <class T, bool last>
SCA_DEVICE void mix_modulation(Block& scale, Block& shift, const ModulationParams& p,
                               const Visibility<T, last>& visible, int c) {
  scale = shift = no_block();
  add_default<T, last>(scale, p.default_gamma, visible.batch, c, visible.blind);
  add_default<T, last>(shift, p.default_beta, visible.batch, c, visible.blind);
  visible.for_each([&](const Unit& unit, uint32_t members) {
    float w[4];
    visible.probabilities(w, unit);
    const Weights weights = split_weights<T>(w);
    mix<T, last>(scale, weights, Rows<T>(p.tokens, visible.batch, unit, 1, p.channels), c, members);
    mix<T, last>(shift, weights, Rows<T>(p.tokens, visible.batch, unit, 2, p.channels), c, members);
  });
}

// grid: tiles of threads / 2 pixels, batch.
template <class T, bool last>
SCA_KERNEL(128, 4) modulate(SCA_PARAMS(ModulationParams) p) {
  const int pixels = threads() / 2, warp = thread() >> 5;
  const int first = block_x() * pixels, warp_first = first + 16 * warp;
  const int64_t batch = block_y();
  const Tile<T, last> x(shared_memory(), pixels, p.channels);
  const Tile<T, last> position(shared_memory() + x.bytes(pixels, p.channels), pixels, p.channels);
  fill(x, p.x, batch, 0, pixels, p.channels, first, p.pixels);
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

  visible.attend();
  for (int c = 0; c < p.channels; c += 16) {
    Block scale, shift;
    mix_modulation(scale, shift, p, visible, c);
    lane.set_channels(p, batch, c);
    Block y = x.block(16 * warp, c);
#pragma unroll
    for (int e = 0; e < 2; ++e)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float before =
            lane.activated(y.v[e][i], scale.v[e][i], shift.v[e][i], i >> 1, e, i & 1);
        y.v[e][i] = before > 0 ? before : before * p.negative_slope;
      }
    if (visible.single) {
      x.set_block(16 * warp, c, y);
    } else {
      store_block<T, last>(y, p.pixel_out, batch, 0, c, [&](int i) {
        return warp_first + i < p.pixels ? warp_first + i : -1;
      });
    }
  }
  if (!visible.single) return;
  sync_block();
  drain(x, p.pixel_out, batch, 0, pixels, p.channels, first, p.pixels);
}

}  // namespace sca
