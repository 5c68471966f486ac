// SPDX-License-Identifier: Apache-2.0
// The three products every pass is made of, between narrow rows and the lanes of a packed tile.
//
// A *tile* holds channels x lanes, row `stride` apart; reading and writing whole vectors past the
// last lane of a segment must be allowed. Narrow rows lie in *panels*: PANEL rows at a time (then
// 4, 2, 1 for the rest) interleaved as [channel][row of the panel], so that broadcasts stream
// through memory; the panel that begins at row r begins at r * depth.
#pragma once

// Blocks are cut to the vector registers: 32 with AVX-512, else 16.
constexpr int PANEL = SCAM_VECTOR_BYTES == 64 ? 8 : 4;
constexpr int REDUCE_CHANNELS = SCAM_VECTOR_BYTES == 64 ? 4 : 2;

// Calls f.template run<J>(r) for panels of J rows beginning at row r that cover `rows`.
template <class F>
SCAM_INLINE void for_panels(int64_t rows, const F& f) {
  int64_t r = 0;
  for (; r + PANEL <= rows; r += PANEL) f.template run<PANEL>(r);
  if (PANEL > 4 && r + 4 <= rows) f.template run<4>(r), r += 4;
  if (r + 2 <= rows) f.template run<2>(r), r += 2;
  if (r < rows) f.template run<1>(r);
}

// Where element (row, channel) of `rows` narrow rows lies in their panels.
inline int64_t panel_index(int64_t row, int64_t channel, int64_t rows, int64_t depth) {
  int64_t first = row / PANEL * PANEL, width = PANEL;
  while (first + width > rows) {  // the tail: 4, 2, 1
    width /= 2;
    if (first + width <= rows && row >= first + width) first += width;
  }
  return first * depth + channel * width + (row - first);
}

// s[j][p] = sum_d panel[d][j] x[d][p]
template <class A, int P>
struct Scores {
  static constexpr int lanes = VecOf<A>::lanes;
  const A* panels;
  int64_t depth;
  const A* x;
  int64_t x_stride;
  A* s;
  int64_t s_stride;

  template <int J>
  SCAM_INLINE void run(int64_t r) const {
    const A* panel = panels + r * depth;
    const A* tile = x;
    Vec<A> sum[J][P] = {};
    for (int64_t d = 0; d < depth; ++d, panel += J, tile += x_stride) {
      Vec<A> column[P];
      for (int p = 0; p < P; ++p) column[p] = load(tile + p * lanes);
      for (int j = 0; j < J; ++j)
        for (int p = 0; p < P; ++p) sum[j][p] += panel[j] * column[p];
    }
    for (int j = 0; j < J; ++j)
      for (int p = 0; p < P; ++p) store(s + (r + j) * s_stride + p * lanes, sum[j][p]);
  }
};

// o[d][p] = sum_j panel[d][j] s[j][p], added to what is there if r > 0 or `add`.
template <class A, int P>
struct Mix {
  static constexpr int lanes = VecOf<A>::lanes;
  const A* panels;
  int64_t depth;
  const A* s;
  int64_t s_stride;
  A* o;
  int64_t o_stride;
  bool add;

  template <int J>
  SCAM_INLINE void run(int64_t r) const {
    const A* panel = panels + r * depth;
    A* tile = o;
    Vec<A> weight[J][P];
    for (int j = 0; j < J; ++j)
      for (int p = 0; p < P; ++p) weight[j][p] = load(s + (r + j) * s_stride + p * lanes);
    const bool accumulate = add || r > 0;
    for (int64_t d = 0; d < depth; ++d, panel += J, tile += o_stride) {
      Vec<A> sum[P];
      for (int p = 0; p < P; ++p) sum[p] = panel[0] * weight[0][p];
      for (int j = 1; j < J; ++j)
        for (int p = 0; p < P; ++p) sum[p] += panel[j] * weight[j][p];
      for (int p = 0; p < P; ++p) {
        if (accumulate) sum[p] += load(tile + p * lanes);
        store(tile + p * lanes, sum[p]);
      }
    }
  }
};

template <class A>
inline void scores(const A* panels, int64_t rows, int64_t depth, const A* x, int64_t x_stride,
                   int64_t count, A* s, int64_t s_stride) {
  constexpr int lanes = VecOf<A>::lanes;
  int64_t p = 0;
  for (; p + lanes < count; p += 2 * lanes)
    for_panels(rows, Scores<A, 2>{panels, depth, x + p, x_stride, s + p, s_stride});
  if (p < count) for_panels(rows, Scores<A, 1>{panels, depth, x + p, x_stride, s + p, s_stride});
}

template <class A>
inline void mix(const A* panels, int64_t rows, int64_t depth, const A* s, int64_t s_stride,
                int64_t count, A* o, int64_t o_stride, bool add) {
  constexpr int lanes = VecOf<A>::lanes;
  int64_t p = 0;
  for (; p + lanes < count; p += 2 * lanes)
    for_panels(rows, Mix<A, 2>{panels, depth, s + p, s_stride, o + p, o_stride, add});
  if (p < count) for_panels(rows, Mix<A, 1>{panels, depth, s + p, s_stride, o + p, o_stride, add});
}

// sum[j][d] += sum_{p < count} s[j][p] x[d][p], rows of `sum` being `sum_stride` apart.
template <class A>
struct Reduce {
  static constexpr int lanes = VecOf<A>::lanes;
  const A* s;
  int64_t s_stride;
  const A* x;
  int64_t x_stride, count;
  A* sum;
  int64_t sum_stride;

  template <int J, int D>
  SCAM_INLINE void block(int64_t r, int64_t d) const {
    const A* weights = s + r * s_stride;
    const A* tile = x + d * x_stride;
    constexpr int sums = (J * D + lanes - 1) / lanes * lanes;
    Vec<A> total[sums];
    for (int k = 0; k < sums; ++k) total[k] = Vec<A>{};
    int64_t p = 0;
    for (; p + lanes <= count; p += lanes) {
      Vec<A> column[D];
      for (int i = 0; i < D; ++i) column[i] = load(tile + i * x_stride + p);
      for (int j = 0; j < J; ++j) {
        const Vec<A> weight = load(weights + j * s_stride + p);
        for (int i = 0; i < D; ++i) total[j * D + i] += weight * column[i];
      }
    }
    if (p < count) {  // lanes past the end belong to another label and may hold anything
      const IntVec<A> mask = first_lanes<A>(count - p);
      Vec<A> column[D];
      for (int i = 0; i < D; ++i) column[i] = keep<A>(mask, load(tile + i * x_stride + p));
      for (int j = 0; j < J; ++j) {
        const Vec<A> weight = keep<A>(mask, load(weights + j * s_stride + p));
        for (int i = 0; i < D; ++i) total[j * D + i] += weight * column[i];
      }
    }
    A flat[sums];
    for (int k = 0; k < sums; k += lanes) store(flat + k, sum_each<A>(total + k));
    for (int j = 0; j < J; ++j)
      for (int i = 0; i < D; ++i) sum[(r + j) * sum_stride + d + i] += flat[j * D + i];
  }

  template <int D>
  SCAM_INLINE void rows(int64_t rows, int64_t d) const {
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) block<4, D>(r, d);
    for (; r < rows; ++r) block<1, D>(r, d);
  }
};

template <class A>
inline void reduce(const A* s, int64_t rows, int64_t s_stride, const A* x, int64_t x_stride,
                   int64_t count, int64_t depth, A* sum, int64_t sum_stride) {
  const Reduce<A> to{s, s_stride, x, x_stride, count, sum, sum_stride};
  int64_t d = 0;
  for (; d + REDUCE_CHANNELS <= depth; d += REDUCE_CHANNELS)
    to.template rows<REDUCE_CHANNELS>(rows, d);
  for (; d < depth; ++d) to.template rows<1>(rows, d);
}
