// SPDX-License-Identifier: Apache-2.0
// What one warp does for 16 pixels: scores, probabilities, mixtures of tokens.
// Scores and probabilities are fragments of C: rows pixels group and group + 8, columns tokens
// 2 * quad and + 1.
#pragma once

#include <sca_cuda/tokens.cuh>

namespace sca {

constexpr float LOG2E = 1.4426950408889634f;
constexpr float LN2 = 0.6931471805599453f;

SCA_DEVICE float exp(float x) { return exp2(x * LOG2E); }
SCA_DEVICE float log(float x) { return product(log2(x), LN2); }

// The logarithm of a softmax's denominator, sum exp(top), and what rounding leaves of it.
struct Logs {
  float lse, rest;
};

SCA_DEVICE Logs no_logs() { return {-infinity(), 0}; }

SCA_DEVICE Logs log_of_sum(float top, float sum) {
  const float log_sum = log(sum), lse = top + log_sum, of_sum = lse - top;
  const float rest = (top - (lse - of_sum)) + (log_sum - of_sum);  // Knuth's TwoSum
  return {lse, lse == -infinity() ? 0.0f : rest};
}

// At most 1; NaN of NaN. The score is rounded as where its logs came from.
SCA_DEVICE float weight_of(float score, const Logs& logs) {
  const float log_weight = (score - logs.lse) - logs.rest;
  return exp(log_weight > 0 ? 0.0f : log_weight);
}

SCA_DEVICE float quad_max(float x) {
  const float other = shuffle_xor(x, 1);
  x = x > other ? x : other;
  const float another = shuffle_xor(x, 2);
  return x > another ? x : another;
}

SCA_DEVICE float quad_sum(float x) {
  x += shuffle_xor(x, 1);
  return x + shuffle_xor(x, 2);
}

template <class Work>
SCA_DEVICE void for_each_unit(int head, int first, int last, Work work) {
#pragma unroll 1
  for (int at = first; at < last; at += 8) {
    const int rest = last - at;
    work(Unit{head, at, rest < 8 ? rest : 8});
  }
}

// s += pixels p ... p + 15 times a unit's tokens.
template <class T, bool last>
SCA_DEVICE void multiply_rows(float (&s)[4], const Tile<T, last>& tile, int p, const Rows<T>& rows,
                              int channels) {
  auto pixels = tile.reader(p);
#pragma unroll 2
  for (int c = 0; c < channels; c += 16) {
    uint32_t a[4];
    pixels.next(a);
    const uint2 b = rows.at(c);
    mma16<T>(s, a, b.x, b.y);
  }
}

// The same for the pixels' numbers in two tiles, added up in fp32.
template <class T, bool last>
SCA_DEVICE void multiply_both(float (&s)[4], const Tile<T, last>& tile, const Tile<T, last>& other,
                              int p, const Rows<T>& rows, int channels) {
  auto pixels = tile.reader(p), others = other.reader(p);
#pragma unroll 2
  for (int c = 0; c < channels; c += 16) {
    uint32_t a[4], there[4];
    pixels.next(a);
    others.next(there);
    const uint2 b = rows.at(c);
    mma16<T>(s, a, b.x, b.y);
    mma16<T>(s, there, b.x, b.y);
  }
}

// Products to scores, -inf where the unit has no token.
SCA_DEVICE void finish_scores(float (&s)[4], const Unit& unit, float scale, const Pair& bias) {
  const int token = 2 * (thread() & 3);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float score = fused(s[i], scale, i & 1 ? bias.high : bias.low);
    s[i] = token + (i & 1) < unit.count ? score : -infinity();
  }
}

// Weights of 16 pixels and 8 tokens as operands: pixels group, group + 8; then what rounding to T
// left of them. Twice the digits cost nothing: the depth of a multiplication is 16, tokens are 8.
struct Weights {
  uint32_t word[4];
};

template <class T>
SCA_DEVICE Weights split_weights(const float (&w)[4]) {
  Weights result;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const uint32_t word = pack2<T>(w[2 * r], w[2 * r + 1]);
    const Pair rounded = unpack2<T>(word);
    result.word[r] = word;
    result.word[2 + r] = pack2<T>(w[2 * r] - rounded.low, w[2 * r + 1] - rounded.high);
  }
  return result;
}

// block += 16 channels of a unit's tokens, fragments of B as in `Rows`, mixed by weights.
template <class T>
SCA_DEVICE void mix(Block& block, const Weights& weights, const uint2& rows) {
  const uint32_t t[2] = {transpose(rows.x), transpose(rows.y)};
#pragma unroll
  for (int e = 0; e < 2; ++e) mma16<T>(block.v[e], weights.word, t[e], t[e]);
}

}  // namespace sca
