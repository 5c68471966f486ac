// SPDX-License-Identifier: Apache-2.0
// Products between narrow rows and wide items: scores, and mixing by weights; reduce.h has the
// third, sums over items. Both lie with their channels in memory order, padded to PAD; vectors run
// along the channels. Scores are [row][lane], where lane p of a segment is the wide item whose
// channels begin at x[p].
#pragma once

// Vector registers, and sums of products kept in them at once.
constexpr int REGISTERS = SCAM_VECTOR_BYTES == 64 ? 32 : 16;
constexpr int SUMS = REGISTERS / 2;
// Items taken with J rows at once in scores. Eight sums would just hide the latency of additions
// to them; three items to four rows are twelve, with the four operands that leaves room for.
template <int J>
constexpr int ITEMS = REGISTERS == 16 && J == 4 ? 3 : SUMS / J;
// Items ahead of the one in use that are asked for from memory: the hardware does not foresee
// where the next item of a label lies.
constexpr int AHEAD = 8;
// Items of a segment taken through all products before the next: they stay in L2.
constexpr int64_t NEAR = 48;
// Items used for all rows while they are in L1.
constexpr int64_t CLOSE = 24;
// Entries of x past the last lane that must point to readable channels.
constexpr int SPARE = AHEAD + SUMS;

SCAM_INLINE void prefetch(const void* p) { __builtin_prefetch(p, 0, 2); }
SCAM_INLINE void prefetch_to_write(const void* p) { __builtin_prefetch(p, 1, 2); }

// s[j][p] = sum_d rows[j][d] x[p][d] for J rows and P items. Lanes past the end of the segment
// are computed too, from whatever x names there; nobody reads them.
template <class A, int J>
struct Scores {
  static constexpr int lanes = VecOf<A>::lanes, P = ITEMS<J>, LINE = 64 / sizeof(A);
  // sums added up over their lanes together
  static constexpr int TOGETHER = J * P % lanes == 0 ? lanes : lanes / 2;
  static_assert(J * P % TOGETHER == 0);

  template <bool AHEAD_TOO>
  static SCAM_INLINE void block(const A* rows, int64_t depth, const A* const* x, A* s,
                                int64_t s_stride) {
    Vec<A> sum[J * P];
    const A *at[P], *next[P];
    for (int k = 0; k < J * P; ++k) sum[k] = Vec<A>{};
    for (int p = 0; p < P; ++p) at[p] = x[p], next[p] = x[p + AHEAD];
    for (int64_t line = 0; line < depth; line += LINE) {
      for (int p = 0; p < P && AHEAD_TOO; ++p) prefetch(next[p] + line);
      for (int64_t d = line; d < line + LINE; d += lanes) {
        Vec<A> item[P];
        for (int p = 0; p < P; ++p) item[p] = load(at[p] + d);
        for (int j = 0; j < J; ++j) {
          Vec<A> row = load(rows + j * depth + d);
          in_register(row);
          for (int p = 0; p < P; ++p) sum[j * P + p] += row * item[p];
        }
        no_loads_across();
      }
    }
    A flat[J * P + lanes];
    for (int k = 0; k < J * P; k += TOGETHER) store(flat + k, sum_each<A, TOGETHER>(sum + k));
    for (int j = 0; j < J; ++j)
      for (int p = 0; p < P; ++p) s[j * s_stride + p] = flat[j * P + p];
  }

  template <bool AHEAD_TOO>
  static SCAM_OUTLINE void run(const A* rows, int64_t depth, const A* const* x, int64_t count, A* s,
                         int64_t s_stride) {
    for (int64_t p = 0; p < count; p += P)
      block<AHEAD_TOO>(rows, depth, x + p, s + p, s_stride);
  }
};

// From row r on, J at a time; the first rows ask for the items that come next.
template <class A, int J>
SCAM_INLINE int64_t scores_from(int64_t r, const A* rows, int64_t n, int64_t depth,
                                const A* const* x, int64_t count, A* s, int64_t s_stride) {
  for (; r + J <= n; r += J) {
    const A* from = rows + r * depth;
    if (r == 0) {
      Scores<A, J>::template run<true>(from, depth, x, count, s, s_stride);
    } else {
      Scores<A, J>::template run<false>(from, depth, x, count, s + r * s_stride, s_stride);
    }
  }
  return r;
}

template <class A>
inline void scores(const A* rows, int64_t n, int64_t depth, const A* const* x, int64_t count,
                   A* s, int64_t s_stride) {
  for (int64_t p = 0; p < count; p += CLOSE) {
    const int64_t near = count - p < CLOSE ? count - p : CLOSE;
    int64_t r = 0;
    if constexpr (SUMS == 16)
      r = scores_from<A, 8>(r, rows, n, depth, x + p, near, s + p, s_stride);
    r = scores_from<A, 4>(r, rows, n, depth, x + p, near, s + p, s_stride);
    r = scores_from<A, 2>(r, rows, n, depth, x + p, near, s + p, s_stride);
    scores_from<A, 1>(r, rows, n, depth, x + p, near, s + p, s_stride);
  }
}

// sum_d a[d * step] b[d], added up as scores() does, so equal to the bit; b is padded.
template <class T, class A>
inline A dot(const T* a, int64_t step, const A* b, int64_t depth) {
  constexpr int lanes = VecOf<A>::lanes;
  Vec<A> sum[lanes] = {};
  for (int64_t d = 0; d < depth; d += lanes) {
    Vec<A> item{};
    for (int64_t l = 0; l < lanes && d + l < depth; ++l) item[l] = widen(a[(d + l) * step]);
    sum[0] += item * load(b + d);
  }
  return sum_each<A>(sum)[0];
}

// o[p][d] = sum_j s[j][p] rows[j][d] for P items and J rows, added to what is there if ADD;
// V vectors of channels at a time.
template <class A, int P, int J, int V, bool ADD>
SCAM_INLINE void mix_block(const A* rows, int64_t depth, const A* s, int64_t s_stride,
                           A* const* o) {
  constexpr int lanes = VecOf<A>::lanes;
  Vec<A> weight[P][J];
  A *to[P], *next[P];
  for (int p = 0; p < P; ++p) {
    to[p] = o[p], next[p] = o[p + AHEAD];
    for (int j = 0; j < J; ++j) {
      weight[p][j] = fill(s[j * s_stride + p]);
      in_register(weight[p][j]);
    }
  }
  for (int64_t d = 0; d < depth; d += V * lanes) {
    Vec<A> sum[P][V];
    for (int p = 0; p < P; ++p)
      for (int v = 0; v < V; ++v) {
        const int64_t at = d + v * lanes;
        if (v * lanes * sizeof(A) % 64 == 0) prefetch_to_write(next[p] + at);
        sum[p][v] = ADD ? load(to[p] + at) : Vec<A>{};
      }
    for (int j = 0; j < J; ++j)
      for (int v = 0; v < V; ++v) {
        Vec<A> row = load(rows + j * depth + d + v * lanes);
        if (P > 1) in_register(row);
        for (int p = 0; p < P; ++p) sum[p][v] += weight[p][j] * row;
      }
    for (int p = 0; p < P; ++p)
      for (int v = 0; v < V; ++v) store(to[p] + d + v * lanes, sum[p][v]);
  }
}

template <class A, int J, bool ADD>
SCAM_OUTLINE void mix_items(const A* rows, int64_t depth, const A* s, int64_t s_stride,
                           int64_t count, A* const* o) {
  constexpr int P = SUMS / J < 2 ? 1 : 2, V = P == 1 ? 64 / SCAM_VECTOR_BYTES : 1;
  int64_t p = 0;
  for (; p + P <= count; p += P) mix_block<A, P, J, V, ADD>(rows, depth, s + p, s_stride, o + p);
  for (; p < count; ++p) mix_block<A, 1, J, 1, ADD>(rows, depth, s + p, s_stride, o + p);
}

// The same from row r on, J at a time.
template <class A, int J>
SCAM_INLINE int64_t mix_from(int64_t r, const A* rows, int64_t n, int64_t depth, const A* s,
                             int64_t s_stride, int64_t count, A* const* o, bool add) {
  for (; r + J <= n; r += J) {
    const A *from = rows + r * depth, *weights = s + r * s_stride;
    if (add || r > 0) {
      mix_items<A, J, true>(from, depth, weights, s_stride, count, o);
    } else {
      mix_items<A, J, false>(from, depth, weights, s_stride, count, o);
    }
  }
  return r;
}

template <class A>
inline void mix(const A* rows, int64_t n, int64_t depth, const A* s, int64_t s_stride,
                int64_t count, A* const* o, bool add) {
  int64_t r = 0;
  r = mix_from<A, 8>(r, rows, n, depth, s, s_stride, count, o, add);
  r = mix_from<A, 4>(r, rows, n, depth, s, s_stride, count, o, add);
  mix_from<A, 1>(r, rows, n, depth, s, s_stride, count, o, add);
}

// Item p times factor[p].
template <class A>
inline void scale_items(A* const* o, int64_t count, int64_t depth, const A* factor) {
  for (int64_t p = 0; p < count; ++p)
    for (int64_t d = 0; d < depth; ++d) o[p][d] *= factor[p];
}
