// SPDX-License-Identifier: Apache-2.0
// What both backward kernels of the modulation make for a warp's pixels.
#pragma once

#include <sca_cuda/modulate.cuh>

namespace sca {

// The gradient of y, in place, to that of what went into the leaky ReLU.
template <class T, bool last>
SCA_DEVICE void pass_activation(const ModulationParams& p, const Visibility<T, last>& visible,
                                Lane<T, last>& lane, const Tile<T, last>& gradient) {
  for (int c = 0; c < p.channels; c += 16) {
    Block scale, shift;
    mix_modulation(scale, shift, p, visible, c);
    lane.set_channels(p, visible.batch, c);
    const Block x = visible.x.block(visible.tile_pixel, c);
    Block g = gradient.block(visible.tile_pixel, c);
#pragma unroll
    for (int e = 0; e < 2; ++e)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        if (!(lane.activated(x.v[e][i], scale.v[e][i], shift.v[e][i], i >> 1, e, i & 1) > 0))
          g.v[e][i] *= p.negative_slope;
    gradient.set_block(visible.tile_pixel, c, g);
  }
  sync_warp();
}

// Gradient of a unit's probabilities: <gamma, g * norm(x)> + <beta, g>.
template <class T, bool last>
SCA_DEVICE void weight_gradients(float (&d)[4], const ModulationParams& p,
                                 const Visibility<T, last>& visible, const Tile<T, last>& gradient,
                                 const Unit& unit) {
  const Rows<T> gamma(p.tokens, visible.batch, unit, 1, p.channels);
  const Rows<T> beta(p.tokens, visible.batch, unit, 2, p.channels);
  const float* mean = p.mean + visible.batch * p.channels + 2 * (thread() & 3);
  const float* rstd = p.rstd + visible.batch * p.channels + 2 * (thread() & 3);
#pragma unroll
  for (int i = 0; i < 4; ++i) d[i] = 0;
  for (int c = 0; c < p.channels; c += 16) {
    uint32_t g[4], x[4];
    gradient.pixels_by_channels(g, visible.tile_pixel, c);
    visible.x.pixels_by_channels(x, visible.tile_pixel, c);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const Pair value = unpack2<T>(x[i]), upper = unpack2<T>(g[i]);
      const int channel = c + 8 * (i >> 1);
      x[i] = pack2<T>(upper.low * (value.low - load(mean + channel)) * load(rstd + channel),
                      upper.high * (value.high - load(mean + channel + 1)) *
                          load(rstd + channel + 1));
    }
    const uint2 of_gamma = gamma.at(c), of_beta = beta.at(c);
    mma16<T>(d, x, of_gamma.x, of_gamma.y);
    mma16<T>(d, g, of_beta.x, of_beta.y);
  }
}

// sum_j P_j dP_j of pixels group and group + 8 over one unit.
SCA_DEVICE void add_products(float (&sum)[2], const float (&w)[4], const float (&d)[4]) {
#pragma unroll
  for (int r = 0; r < 2; ++r)
    sum[r] += quad_sum(w[2 * r] * d[2 * r] + w[2 * r + 1] * d[2 * r + 1]);
}

// The same over all units of a head; w and d are left as those of unit `wanted`.
template <class T, bool last>
SCA_DEVICE void products_of_head(float (&sum)[2], float (&w)[4], float (&d)[4],
                                 const ModulationParams& p, const Visibility<T, last>& visible,
                                 const Tile<T, last>& gradient, const Unit& wanted, int first,
                                 int end) {
  sum[0] = sum[1] = 0;
  for_each_unit(wanted.head, first, end, [&](const Unit& unit) {
    float weights[4], gradients[4];
    visible.probabilities(weights, unit);
    weight_gradients(gradients, p, visible, gradient, unit);
    add_products(sum, weights, gradients);
    if (unit.first != wanted.first) return;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      w[i] = weights[i];
      d[i] = gradients[i];
    }
  });
}

// Gradient of the scores: P (dP - sum P dP).
SCA_DEVICE void score_gradients(float (&d)[4], const float (&w)[4], const float (&sum)[2]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) d[i] = w[i] * (d[i] - sum[i >> 1]);
}

}  // namespace sca
