// SPDX-License-Identifier: Apache-2.0
// Sums over pixels. Those of a run are taken in registers and added in fp64: a row may hold
// millions of pixels.
#pragma once

template <int HIGH, int... I>
SCAM_INLINE Vec<double> half(const Vec<float>& v, Sequence<I...>) {
  constexpr int count = sizeof...(I);
  return __builtin_convertvector(__builtin_shufflevector(v, v, (HIGH * count + I)...),
                                 Vec<double>);
}

SCAM_INLINE void add_wide(double* to, const Vec<double>& v) { store(to, load(to) + v); }
SCAM_INLINE void add_wide(double* to, const Vec<float>& v) {
  constexpr int lanes = VecOf<double>::lanes;
  Count<lanes>::type all;
  add_wide(to, half<0>(v, all));
  add_wide(to + lanes, half<1>(v, all));
}

// Where the sums of a window go: of rows, (row, 2, width), of shift and of scale; of the block's
// statistics, (2, width), or null.
struct Sums {
  double *rows, *statistics;
};

// Sums over pixels of one row: `g` of the gradient before the activation, `gd` of g (x - mean).
template <class A>
SCAM_INLINE void add_to_row(const Block<A>& block, int32_t row, int64_t k, const Vec<A>& g,
                            const Vec<A>& gd, const Sums& sums) {
  double* to = sums.rows + row * 2 * block.width + k;
  add_wide(to, g);
  add_wide(to + block.width, gd * load(block.rstd + k));
}

template <class A>
SCAM_INLINE void add_sums(const Block<A>& block, int32_t row, int64_t k, const Vec<A>& g,
                          const Vec<A>& gd, const Sums& sums) {
  add_to_row<A>(block, row, k, g, gd, sums);
  if (!sums.statistics) return;
  const Vec<A> scale = load(block.scale + row * block.scale_stride + k);
  add_wide(sums.statistics + k, scale * g);
  add_wide(sums.statistics + block.width + k, scale * gd);
}

// The same for a tile of pixels of any rows.
template <class A>
inline void add_pixels(const Block<A>& block, const int32_t* rows, const A (*g)[TILE],
                       const A (*gd)[TILE], const Sums& sums) {
  constexpr int lanes = VecOf<A>::lanes;
  for (int64_t k = 0; k < TILE; k += lanes) {
    Vec<A> of_mean = {}, of_rstd = {};  // few pixels: no digits are lost
    for (int64_t j = 0; j < TILE;) {
      const int32_t row = rows[j];
      Vec<A> sum_g = load(g[j] + k), sum_gd = load(gd[j] + k);
      for (++j; j < TILE && rows[j] == row; ++j) sum_g += load(g[j] + k), sum_gd += load(gd[j] + k);
      add_to_row<A>(block, row, k, sum_g, sum_gd, sums);
      const Vec<A> scale = load(block.scale + row * block.scale_stride + k);
      of_mean += scale * sum_g;
      of_rstd += scale * sum_gd;
    }
    if (!sums.statistics) continue;
    add_wide(sums.statistics + k, of_mean);
    add_wide(sums.statistics + block.width + k, of_rstd);
  }
}
