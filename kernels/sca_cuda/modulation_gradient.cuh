// SPDX-License-Identifier: Apache-2.0
// Modulation, backward: what a warp's pixels make of their gradients.
#pragma once

#include <sca_cuda/modulate.cuh>

namespace sca {

// The gradient of y of a block to that of what went into the leaky ReLU.
SCA_DEVICE void pass_activation(Block& g, const Block& normal, const Block& scale,
                                const Block& shift, float slope) {
#pragma unroll
  for (int e = 0; e < 2; ++e)
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (!(fused(scale.v[e][i], normal.v[e][i], shift.v[e][i]) > 0)) g.v[e][i] *= slope;
}

SCA_DEVICE void multiply(Block& block, const Block& other) {
#pragma unroll
  for (int e = 0; e < 2; ++e)
#pragma unroll
    for (int i = 0; i < 4; ++i) block.v[e][i] *= other.v[e][i];
}

// Gradient of the scores: P (dP - sum P dP).
SCA_DEVICE void score_gradients(float (&d)[4], const float (&w)[4], const float (&sum)[2]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) d[i] = w[i] * (d[i] - sum[i >> 1]);
}

// sum_j P_j dP_j of pixels group and group + 8 over one unit.
SCA_DEVICE void add_products(float (&sum)[2], const float (&w)[4], const float (&d)[4]) {
#pragma unroll
  for (int r = 0; r < 2; ++r)
    sum[r] += quad_sum(w[2 * r] * d[2 * r] + w[2 * r + 1] * d[2 * r + 1]);
}

// Packed blocks: zeros where a place holds no pixel, but maybe what others own.
SCA_DEVICE void clear_others(uint32_t (&a)[4], const int (&own)[2]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) a[i] = own[i & 1] < 0 ? 0u : a[i];
}

// What sums over pixels are made of, block by block, in place of what it is made from: g, of the
// gradient of y, is there; g * norm(x) takes the place of the position, x + position that of x.
template <class T, bool last>
struct Operands {
  Reader<!last> position;
  Writer<!last> to_x, to_product;
  bool positioned;
  const int (&own)[2];

  SCA_DEVICE explicit Operands(const Visibility<T, last>& visible)
      : position(visible.position.reader(visible.tile_pixel)),
        to_x(visible.x.writer(visible.tile_pixel)),
        to_product(visible.position.writer(visible.tile_pixel)),
        positioned(visible.positioned), own(visible.own) {}

  SCA_DEVICE void next(uint32_t (&x)[4], const uint32_t (&product)[4]) {
    if (positioned) {
      uint32_t there[4];
      position.next(there);
#pragma unroll
      for (int i = 0; i < 4; ++i) x[i] = add2<T>(x[i], there[i]);
      clear_others(x, own);
      to_x.next(x);
    }
    to_product.next(product);
  }
};

// A label of one unit that all pixels see: its probabilities and gradients of its scores; what sums
// are made of.
template <class T, bool last>
SCA_DEVICE void look_at_unit(Weights& weights, float (&d)[4], const ModulationParams& p,
                             const Visibility<T, last>& visible, const Noise& noise,
                             const Tile<T, last>& gradient) {
  float w[4];
  Logs logs[2];
  visible.attend_to_unit(w, logs);
  weights = split_weights<T>(w);
  const Rows<T> gamma(p.tokens, visible.batch, visible.first_unit(), 1, p.channels);
  const Rows<T> beta(p.tokens, visible.batch, visible.first_unit(), 2, p.channels);
#pragma unroll
  for (int i = 0; i < 4; ++i) d[i] = 0;
  Channels<T> channels(p, visible.batch);
  auto from_x = visible.x.reader(visible.tile_pixel);
  auto from_g = gradient.reader(visible.tile_pixel);
  auto to_g = gradient.writer(visible.tile_pixel);
  Operands<T, last> operands(visible);
  for (int c = 0; c < p.channels; c += 16) {
    channels.look_at(c);
    const uint2 of_gamma = gamma.at(c), of_beta = beta.at(c);
    uint32_t x[4], g[4], product[4];
    from_x.next(x);
    from_g.next(g);
    clear_others(g, visible.own);
    Block normal, scale, shift;
    begin_modulation(normal, scale, shift, x, channels, noise);
    mix<T>(scale, weights, of_gamma);
    mix<T>(shift, weights, of_beta);
    Block upper = unpack_block<T>(g);
    pass_activation(upper, normal, scale, shift, p.negative_slope);
    pack_block<T>(g, upper);
    multiply(upper, normal);
    pack_block<T>(product, upper);
    mma16<T>(d, product, of_gamma.x, of_gamma.y);
    mma16<T>(d, g, of_beta.x, of_beta.y);
    to_g.next(g);
    operands.next(x, product);
  }
  sync_warp();
  float sum[2] = {0, 0};
  add_products(sum, w, d);
  score_gradients(d, w, sum);
}

// Of any label: g, in place of the gradient of y.
template <class T, bool last>
SCA_DEVICE void pass_all(const ModulationParams& p, const Visibility<T, last>& visible,
                         const Noise& noise, const Tile<T, last>& gradient) {
  Channels<T> channels(p, visible.batch);
  auto from_x = visible.x.reader(visible.tile_pixel);
  auto from_g = gradient.reader(visible.tile_pixel);
  auto to_g = gradient.writer(visible.tile_pixel);
#pragma unroll 1
  for (int c = 0; c < p.channels; c += 16) {
    channels.look_at(c);
    uint32_t x[4], g[4];
    from_x.next(x);
    from_g.next(g);
    clear_others(g, visible.own);
    Block normal, scale, shift;
    begin_modulation(normal, scale, shift, x, channels, noise);
    mix_all(scale, shift, p, visible, c);
    Block upper = unpack_block<T>(g);
    pass_activation(upper, normal, scale, shift, p.negative_slope);
    pack_block<T>(g, upper);
    to_g.next(g);
  }
  sync_warp();
}

// g * norm(x)
template <class T>
SCA_DEVICE Block with_normal(const uint32_t (&g)[4], const uint32_t (&x)[4],
                             const Channels<T>& channels) {
  Block product = unpack_block<T>(x);
#pragma unroll
  for (int e = 0; e < 2; ++e)
#pragma unroll
    for (int i = 0; i < 4; ++i) product.v[e][i] = channels.normalised(product.v[e][i], e, i);
  multiply(product, unpack_block<T>(g));
  return product;
}

// Of any label: what sums are made of. Scores cannot be computed any more.
template <class T, bool last>
SCA_DEVICE void leave_operands(const ModulationParams& p, const Visibility<T, last>& visible,
                               const Tile<T, last>& gradient) {
  Channels<T> channels(p, visible.batch);
  auto from_x = visible.x.reader(visible.tile_pixel);
  auto from_g = gradient.reader(visible.tile_pixel);
  Operands<T, last> operands(visible);
#pragma unroll 1
  for (int c = 0; c < p.channels; c += 16) {
    channels.look_at(c);
    uint32_t g[4], x[4], product[4];
    from_g.next(g);
    from_x.next(x);
    pack_block<T>(product, with_normal(g, x, channels));
    operands.next(x, product);
  }
}

// Gradient of a unit's probabilities: <gamma, g * norm(x)> + <beta, g>.
template <class T, bool last>
SCA_DEVICE void weight_gradients(float (&d)[4], const ModulationParams& p,
                                 const Visibility<T, last>& visible, const Tile<T, last>& gradient,
                                 const Unit& unit) {
  const Rows<T> gamma(p.tokens, visible.batch, unit, 1, p.channels);
  const Rows<T> beta(p.tokens, visible.batch, unit, 2, p.channels);
#pragma unroll
  for (int i = 0; i < 4; ++i) d[i] = 0;
  Channels<T> channels(p, visible.batch);
  auto from_x = visible.x.reader(visible.tile_pixel);
  auto from_g = gradient.reader(visible.tile_pixel);
#pragma unroll 1
  for (int c = 0; c < p.channels; c += 16) {
    channels.look_at(c);
    uint32_t g[4], x[4];
    from_g.next(g);
    from_x.next(x);
    pack_block<T>(x, with_normal(g, x, channels));
    const uint2 of_gamma = gamma.at(c), of_beta = beta.at(c);
    mma16<T>(d, x, of_gamma.x, of_gamma.y);
    mma16<T>(d, g, of_beta.x, of_beta.y);
  }
}

// sum_j P_j dP_j over all units of a head; w and d are left as those of unit `wanted`.
template <class T, bool last>
SCA_DEVICE void products_of_head(float (&sum)[2], float (&w)[4], float (&d)[4],
                                 const ModulationParams& p, const Visibility<T, last>& visible,
                                 const Tile<T, last>& gradient, const Unit& wanted) {
  sum[0] = sum[1] = 0;
  for_each_unit(wanted.head, visible.range.first, visible.range.last, [&](const Unit& unit) {
    float weights[4], gradients[4];
    visible.recompute(weights, unit);
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

}  // namespace sca
