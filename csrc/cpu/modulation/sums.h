// SPDX-License-Identifier: Apache-2.0
// Sums over the pixels of a segment: the gradients of tokens and of the noise scale.
//
// Partial sums of a group: for each block of R rows, pieces of SB rows [piece][channel][2][SB]
// (of gamma, then of beta); after all blocks, pieces of SK rows [piece][channel][SK] (of keys);
// then [row] (of key_bias). So the lanes of one sum_each are neighbours in memory.
#pragma once

template <class A, int R>
struct SumShape {
  static constexpr int lanes = VecOf<A>::lanes;
  static constexpr int SB = R < lanes / 2 ? R : lanes / 2;
  static constexpr int SK = R < lanes ? R : lanes;

};

template <class A>
SCAM_INLINE void add_to(A* at, const Vec<A>& v, bool add) {
  store(at, add ? load(at) + v : v);
}

// sum over slots of p_j g xhat and p_j g, for one block of rows and `padded` channels.
template <class A, int R>
inline void sum_gamma_beta(const A* p, int64_t p_stride, const A* x, const A* g, int64_t stride,
                           int64_t slots, const A* constants, int64_t padded, A* sums, bool add) {
  constexpr int lanes = VecOf<A>::lanes, SB = SumShape<A, R>::SB, CHANNELS = lanes / (2 * SB);
  for (int64_t j0 = 0; j0 < R; j0 += SB)
    for (int64_t c = 0; c < padded; c += CHANNELS, sums += lanes) {
      Vec<A> sum[lanes];
      for (int k = 0; k < lanes; ++k) sum[k] = Vec<A>{};
      for (int64_t i = 0; i < slots; i += lanes)
        for (int d = 0; d < CHANNELS; ++d) {
          const A* constant = constants + (c + d) * CONSTANTS;
          const int64_t at = (c + d) * stride + i;
          const Vec<A> given = load(g + at);
          const Vec<A> gx = given * ((load(x + at) - constant[0]) * constant[1]);
          for (int j = 0; j < SB; ++j) {
            const Vec<A> weight = load(p + (j0 + j) * p_stride + i);
            sum[2 * d * SB + j] += weight * gx;
            sum[(2 * d + 1) * SB + j] += weight * given;
          }
        }
      add_to(sums, sum_each<A>(sum), add);
    }
}

// sum over slots of ds_j x, x as the scores saw it.
template <class A, int R>
inline void sum_keys(const A* ds, int64_t ds_stride, const A* x, int64_t stride, int64_t slots,
                     int64_t padded, A* sums, bool add) {
  constexpr int lanes = VecOf<A>::lanes, SK = SumShape<A, R>::SK, CHANNELS = lanes / SK;
  for (int64_t j0 = 0; j0 < R; j0 += SK)
    for (int64_t c = 0; c < padded; c += CHANNELS, sums += lanes) {
      Vec<A> sum[lanes];
      for (int k = 0; k < lanes; ++k) sum[k] = Vec<A>{};
      for (int64_t i = 0; i < slots; i += lanes) {
        Vec<A> pixel[CHANNELS];
        for (int d = 0; d < CHANNELS; ++d) pixel[d] = load(x + (c + d) * stride + i);
        for (int j = 0; j < SK; ++j) {
          const Vec<A> weight = load(ds + (j0 + j) * ds_stride + i);
          for (int d = 0; d < CHANNELS; ++d) sum[d * SK + j] += weight * pixel[d];
        }
      }
      add_to(sums, sum_each<A>(sum), add);
    }
}

// sum over slots of g noise, by channel, added to `sums`.
template <class A>
inline void sum_noise(const A* noise, const A* g, int64_t stride, int64_t slots, int64_t padded,
                      A* sums) {
  constexpr int lanes = VecOf<A>::lanes;
  for (int64_t c = 0; c < padded; c += lanes) {
    Vec<A> sum[lanes];
    for (int k = 0; k < lanes; ++k) sum[k] = Vec<A>{};
    for (int64_t i = 0; i < slots; i += lanes) {
      const Vec<A> field = load(noise + i);
      for (int k = 0; k < lanes; ++k) sum[k] += field * load(g + (c + k) * stride + i);
    }
    add_to(sums + c, sum_each<A>(sum), true);
  }
}
