// SPDX-License-Identifier: Apache-2.0
// What one warp does for 16 pixels: scores, probabilities, mixtures of tokens.
// Scores and probabilities are fragments of C: rows pixels group and group + 8, columns tokens
// 2 * quad and + 1.
#pragma once

#include <sca_cuda/tokens.cuh>

namespace sca {

constexpr float LOG2E = 1.4426950408889634f;
constexpr float LN2 = 0.6931471805599453f;
constexpr uint32_t ALL = 0xffffu;  // 16 pixels

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

// Calls work(first, last, members) for every set of tokens that the warp's pixels see; lanes i and
// i + 16 hold the range of pixel i, bit i of `members` stands for it.
template <class Work>
SCA_DEVICE void for_each_range(const Range& mine, Work work) {
  uint32_t left = ballot(mine.first < mine.last) & ALL;
  while (left) {
    const int leader = lowest_bit(left);
    const int first = shuffle(mine.first, leader), last = shuffle(mine.last, leader);
    const uint32_t members = ballot(mine.first == first && mine.last == last) & left;
    left &= ~members;
    work(first, last, members);
  }
}

template <class Work>
SCA_DEVICE void for_each_unit(int head, int first, int last, Work work) {
  for (int at = first; at < last; at += 8) {
    const int rest = last - at;
    work(Unit{head, at, rest < 8 ? rest : 8});
  }
}

// s += pixels p ... p + 15 times a unit's tokens.
template <class T, bool last>
SCA_DEVICE void multiply_rows(float (&s)[4], const Tile<T, last>& tile, int p, const Rows<T>& rows,
                              int channels) {
#pragma unroll 2
  for (int c = 0; c < channels; c += 16) {
    uint32_t a[4];
    tile.pixels_by_channels(a, p, c);
    const uint2 b = rows.at(c);
    mma16<T>(s, a, b.x, b.y);
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

// block += tokens mixed by weights in the pixels that are members. Others keep what they have,
// whatever the tokens hold.
template <class T, bool last>
SCA_DEVICE void mix(Block& block, const Weights& weights, const Rows<T>& rows, int c,
                    uint32_t members) {
  const uint32_t(&w)[4] = weights.word;
  const uint2 b = rows.at(c);
  const uint32_t t[2] = {transpose(b.x), transpose(b.y)};
  Block sum = members == ALL ? block : no_block();
#pragma unroll
  for (int e = 0; e < 2; ++e) {
    if constexpr (last) {
      mma16<T>(sum.v[e], w, t[e], t[e]);
    } else {
      mma16<T>(sum.v[e], {t[0], t[1], t[0], t[1]}, w[e], w[2 + e]);
    }
  }
  if (members == ALL) {
    block = sum;
    return;
  }
#pragma unroll
  for (int e = 0; e < 2; ++e)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int pixel = Axes<last>::pixel(Axes<last>::which_pixel(i >> 1, e, i & 1));
      if (members >> pixel & 1) block.v[e][i] += sum.v[e][i];
    }
}

// Whether row r (pixel group + 8 * r) of a lane's fragment is a member.
SCA_DEVICE bool row_in(uint32_t members, int r) {
  return members >> ((thread() & 31) / 4 + 8 * r) & 1;
}

}  // namespace sca
