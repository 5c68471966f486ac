// SPDX-License-Identifier: Apache-2.0
// Modulation, forward: every pixel mixes the gamma and beta of the tokens of its label.
#pragma once

#include <sca_cuda/gather.cuh>
#include <sca_cuda/visibility.cuh>

namespace sca {

// What belongs to a lane's channels of a block: c + 2 * quad, + 1, + 8, + 9.
template <class T>
struct Channels {
  const float *all_means, *all_rstds;
  const uint32_t* all_noise_scales;
  float mean[4], rstd[4], noise_scale[4];

  SCA_DEVICE Channels(const ModulationParams& p, int64_t batch) {
    const int first = 2 * (thread() & 3);
    all_means = opaque(p.mean + batch * p.channels + first);
    all_rstds = opaque(p.rstd + batch * p.channels + first);
    all_noise_scales = p.noise_scale
                           ? opaque(static_cast<const uint32_t*>(p.noise_scale) + first / 2)
                           : nullptr;
  }

  SCA_DEVICE void look_at(unsigned c) {
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const Pair centre = load_pair(all_means + c + 8 * e);
      const Pair scale = load_pair(all_rstds + c + 8 * e);
      Pair noise = {0, 0};
      if (all_noise_scales) noise = unpack2<T>(load(all_noise_scales + c / 2 + 4 * e));
      mean[2 * e] = centre.low;
      mean[2 * e + 1] = centre.high;
      rstd[2 * e] = scale.low;
      rstd[2 * e + 1] = scale.high;
      noise_scale[2 * e] = noise.low;
      noise_scale[2 * e + 1] = noise.high;
    }
  }

  SCA_DEVICE float normalised(float x, int e, int i) const {
    const int channel = 2 * e + (i & 1);
    return (x - mean[channel]) * rstd[channel];
  }
};

// Noise of a lane's pixels group and group + 8; 0 where there is none.
struct Noise {
  float of[2];

  template <class T, class PixelAt>
  SCA_DEVICE void set(const ModulationParams& p, int64_t batch, PixelAt pixel_at) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int64_t pixel = pixel_at(8 * r + ((thread() & 31) >> 2));
      of[r] = 0;
      if (p.noise.data && pixel >= 0)
        of[r] = to_float(load(origin<T>(p.noise, batch, 0) + pixel * p.noise.stride[2]));
    }
  }
};

// Normalises a block of x. shift: that and noise, before tokens are mixed in; scale: without its 1.
template <class T>
SCA_DEVICE void begin_modulation(Block& normal, Block& scale, Block& shift, const uint32_t (&x)[4],
                                 const Channels<T>& channels, const Noise& noise) {
  normal = unpack_block<T>(x);
  scale = no_block();
#pragma unroll
  for (int e = 0; e < 2; ++e)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      normal.v[e][i] = channels.normalised(normal.v[e][i], e, i);
      const float noise_scale = channels.noise_scale[2 * e + (i & 1)];
      shift.v[e][i] = fused(noise_scale, noise.of[i >> 1], normal.v[e][i]);
    }
}

// What pixels get that see no token.
template <class T>
SCA_DEVICE void add_default(Block& block, const View& view, int64_t batch, int c) {
  if (!view.data) return;
  const T* from = origin<T>(view, batch, 0);
#pragma unroll
  for (int e = 0; e < 2; ++e)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int64_t channel = c + 8 * e + 2 * (thread() & 3) + (i & 1);
      block.v[e][i] += to_float(load(from + channel * view.stride[3]));
    }
}

// Adds gamma and beta of several units, or of none.
template <class T, bool last>
SCA_DEVICE void mix_all(Block& scale, Block& shift, const ModulationParams& p,
                        const Visibility<T, last>& visible, int c) {
  if (visible.range.first == visible.range.last) {
    add_default<T>(scale, p.default_gamma, visible.batch, c);
    add_default<T>(shift, p.default_beta, visible.batch, c);
  }
  visible.for_each([&](const Unit& unit) {
    float w[4];
    visible.recompute(w, unit);
    const Weights weights = split_weights<T>(w);
    mix<T>(scale, weights, Rows<T>(p.tokens, visible.batch, unit, 1, p.channels).at(c));
    mix<T>(shift, weights, Rows<T>(p.tokens, visible.batch, unit, 2, p.channels).at(c));
  });
}

// y of a block in place of norm(x).
SCA_DEVICE void activate(Block& y, const Block& scale, const Block& shift, float slope) {
#pragma unroll
  for (int e = 0; e < 2; ++e)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float before = fused(scale.v[e][i], y.v[e][i], shift.v[e][i]);
      y.v[e][i] = before > 0 ? before : before * slope;
    }
}

// The warp's pixels, of a label of at most eight tokens, in place of x.
template <class T, bool last>
SCA_DEVICE void modulate_unit(const ModulationParams& p, const Visibility<T, last>& visible,
                              const Noise& noise) {
  float w[4];
  Logs logs[2];
  visible.attend_to_unit(w, logs);
  visible.store_logs(0, logs);
  const Weights weights = split_weights<T>(w);
  const Rows<T> gamma(p.tokens, visible.batch, visible.first_unit(), 1, p.channels);
  const Rows<T> beta(p.tokens, visible.batch, visible.first_unit(), 2, p.channels);
  Channels<T> channels(p, visible.batch);
  auto from = visible.x.reader(visible.tile_pixel);
  auto to = visible.x.writer(visible.tile_pixel);
  for (int c = 0; c < p.channels; c += 16) {
    channels.look_at(c);
    uint32_t x[4];
    from.next(x);
    Block scale, shift, y;
    begin_modulation(y, scale, shift, x, channels, noise);
    mix<T>(scale, weights, gamma.at(c));
    mix<T>(shift, weights, beta.at(c));
    activate(y, scale, shift, p.negative_slope);
    pack_block<T>(x, y);
    to.next(x);
  }
}

// Of a label of more tokens, or of several heads, or of no token: written past the tile, which is
// still read.
template <class T, bool last, class PixelAt>
SCA_DEVICE void modulate_all(const ModulationParams& p, const Visibility<T, last>& visible,
                             const Noise& noise, PixelAt pixel_at) {
  if (visible.range.first == visible.range.last) {
    visible.store_no_logs();
  } else {
    visible.attend_to_all();
  }
  Channels<T> channels(p, visible.batch);
  auto from = visible.x.reader(visible.tile_pixel);
#pragma unroll 1
  for (int c = 0; c < p.channels; c += 16) {
    channels.look_at(c);
    uint32_t x[4];
    from.next(x);
    Block scale, shift, y;
    begin_modulation(y, scale, shift, x, channels, noise);
    mix_all(scale, shift, p, visible, c);
    activate(y, scale, shift, p.negative_slope);
    store_block<T>(y, p.pixel_out, visible.batch, 0, c, pixel_at);
  }
}

// grid: tiles of the plan, batch; a warp for every 16 of the pixels that are gathered at once.
template <class T, bool last>
SCA_KERNEL(128, 4) modulate(SCA_PARAMS(GatherParams<ModulationParams>) g) {
  const ModulationParams& p = g.params;
  const int64_t batch = block_y();
  const int warp = thread() >> 5;
  const int32_t* bounds = p.plan.tiles + (batch * p.plan.count + block_x()) * 4;
  const int begin = bounds[0], end = bounds[1];
  if (begin >= end) return;
  const int bytes = Tile<T, last>::bytes(g.pixels, p.channels);
  const int tiles = 1 + (p.position.data != nullptr);
  const Tile<T, last> x(shared_memory(), g.pixels, p.channels);
  const Tile<T, last> position(shared_memory() + bytes, g.pixels, p.channels);
  Slots& slots = *reinterpret_cast<Slots*>(shared_memory() + tiles * bytes);
  const auto pixel_at = [&](int i) { return slots.pixel[16 * warp + i]; };
  Visibility<T, last> visible{p.tokens, p.channels, 1.0f, x, position, p.position.data != nullptr,
                              batch, 16 * warp, 0, p.tokens.heads, {bounds[2], bounds[3]}};
  const auto work = [&](int) {
    if (16 * warp < g.pixels && slots.live_in(16 * warp)) {
      visible.set_logs(p, batch * p.tokens.heads, pixel_at);
      Noise noise;
      noise.set<T>(p, batch, pixel_at);
      if (visible.has_one_unit()) {
        modulate_unit(p, visible, noise);
      } else {
        modulate_all(p, visible, noise, pixel_at);
      }
    }
    if (!visible.has_one_unit()) return;
    sync_block();
    drain(x, p.pixel_out, batch, 0, g.pixels, p.channels, slots);
  };
  const View* views[2] = {&p.x, &p.position};
  for_each_tile<last>(
      &slots, p.plan.order + batch * p.pixels, begin, end, g.pixels, 1,
      [&](int) { fill_whole(x, views, tiles, batch, g.pixels, p.channels, slots); }, work);
}

}  // namespace sca
