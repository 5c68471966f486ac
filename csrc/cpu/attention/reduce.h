// SPDX-License-Identifier: Apache-2.0
// Sums over wide items, one for each narrow row; see products.h.
#pragma once

// sum[j][d] += sum_p s[j][p] x[p][d] for J rows and V vectors of channels.
template <class A, int J, int V>
SCAM_INLINE void reduce_block(const A* s, int64_t s_stride, const A* const* x, int64_t count,
                              int64_t d, A* sum, int64_t sum_stride) {
  constexpr int lanes = VecOf<A>::lanes;
  Vec<A> total[J * V];
#pragma GCC unroll 32
  for (int k = 0; k < J * V; ++k) total[k] = load(sum + k / V * sum_stride + d + k % V * lanes);
  for (int64_t p = 0; p < count; ++p) {
    Vec<A> item[V];
    for (int v = 0; v < V; ++v) {
      item[v] = load(x[p] + d + v * lanes);
      in_register(item[v]);
    }
    for (int j = 0; j < J; ++j)
      for (int v = 0; v < V; ++v) total[j * V + v] += s[j * s_stride + p] * item[v];
  }
#pragma GCC unroll 32
  for (int k = 0; k < J * V; ++k) store(sum + k / V * sum_stride + d + k % V * lanes, total[k]);
}

// The same for the channels from d on, V vectors at a time.
template <class A, int J, int V>
SCAM_OUTLINE int64_t reduce_channels(int64_t d, const A* s, int64_t s_stride, const A* const* x,
                                    int64_t count, int64_t depth, A* sum, int64_t sum_stride) {
  for (; d + V * VecOf<A>::lanes <= depth; d += V * VecOf<A>::lanes)
    reduce_block<A, J, V>(s, s_stride, x, count, d, sum, sum_stride);
  return d;
}

// The same for all channels and for the rows from r on, J at a time.
template <class A, int J>
SCAM_INLINE int64_t reduce_from(int64_t r, const A* s, int64_t n, int64_t s_stride,
                                const A* const* x, int64_t count, int64_t depth, A* sum,
                                int64_t sum_stride) {
  constexpr int V = J == 1 ? 4 : ITEMS<J>;
  for (; r + J <= n; r += J) {
    const A* weights = s + r * s_stride;
    A* to = sum + r * sum_stride;
    int64_t d = reduce_channels<A, J, V>(0, weights, s_stride, x, count, depth, to, sum_stride);
    if constexpr (V == 3)
      d = reduce_channels<A, J, 2>(d, weights, s_stride, x, count, depth, to, sum_stride);
    reduce_channels<A, J, 1>(d, weights, s_stride, x, count, depth, to, sum_stride);
  }
  return r;
}

template <class A>
inline void reduce(const A* s, int64_t n, int64_t s_stride, const A* const* x, int64_t count,
                   int64_t depth, A* sum, int64_t sum_stride) {
  for (int64_t p = 0; p < count; p += CLOSE) {
    const int64_t near = count - p < CLOSE ? count - p : CLOSE;
    int64_t r = 0;
    if constexpr (SUMS == 16)
      r = reduce_from<A, 8>(r, s + p, n, s_stride, x + p, near, depth, sum, sum_stride);
    r = reduce_from<A, 4>(r, s + p, n, s_stride, x + p, near, depth, sum, sum_stride);
    reduce_from<A, 1>(r, s + p, n, s_stride, x + p, near, depth, sum, sum_stride);
  }
}
