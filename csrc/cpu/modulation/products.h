// SPDX-License-Identifier: Apache-2.0
// The arithmetic of the modulation on slots: lanes are pixels of one label, token numbers are
// broadcast. R token rows are handled at a time and U vectors of slots.
#pragma once

constexpr int UNIT = SCAM_VECTOR_BYTES == 64 ? 2 : 1;

// Vectors modulated at a time, and whether registers hold the probabilities of so many.
constexpr int MODULATED = 4;
template <int U>
constexpr bool HELD = SCAM_VECTOR_BYTES == 64 && U <= 2;

// What a channel brings along: mean, rstd, noise_scale, nothing.
constexpr int64_t CONSTANTS = 4;

// Channels brought into slots and used before the next, while they are near.
constexpr int64_t CHANNELS = 16;

// p[j][slot] += <x[slot], keys_j> for one block of rows and some channels, or from bias_j on,
// unless that is null. keys: [channel][row].
template <class A, int R, int U>
SCAM_OUTLINE void score_block(const A* keys, const A* bias, const A* x, int64_t stride,
                              int64_t channels, int64_t count, A* p, int64_t p_stride) {
  constexpr int lanes = VecOf<A>::lanes;
  for (int64_t i = 0; i < count; i += U * lanes, x += U * lanes, p += U * lanes) {
    Vec<A> sum[R][U];
    for (int j = 0; j < R; ++j)
      for (int u = 0; u < U; ++u)
        sum[j][u] = bias ? fill(bias[j]) : load(p + j * p_stride + u * lanes);
    for (int64_t c = 0; c < channels; ++c) {
      Vec<A> pixel[U];
      for (int u = 0; u < U; ++u) pixel[u] = load(x + c * stride + u * lanes);
      for (int j = 0; j < R; ++j)
        for (int u = 0; u < U; ++u) sum[j][u] += keys[c * R + j] * pixel[u];
    }
    for (int j = 0; j < R; ++j)
      for (int u = 0; u < U; ++u) store(p + j * p_stride + u * lanes, sum[j][u]);
  }
}

// Scores of `count` rows to probabilities, one vector of slots.
template <class A>
SCAM_INLINE void softmax(A* p, int64_t p_stride, int64_t count) {
  Vec<A> top = load(p);
  for (int64_t j = 1; j < count; ++j) top = max<A>(load(p + j * p_stride), top);
  Vec<A> sum = Vec<A>{};
  for (int64_t j = 0; j < count; ++j) {
    const Vec<A> e = exp<A>(load(p + j * p_stride) - top);
    store(p + j * p_stride, e);
    sum += e;
  }
  const Vec<A> inverse = A(1) / sum;
  for (int64_t j = 0; j < count; ++j) store(p + j * p_stride, load(p + j * p_stride) * inverse);
}

// Probabilities of one block of rows and U vectors of slots, in registers if there are enough.
template <class A, int R, int U, bool KEPT>
struct Weights {
  const A* p;
  int64_t stride;
  Vec<A> rows[KEPT ? R : 1][U];

  SCAM_INLINE Weights(const A* from, int64_t p_stride) : p(from), stride(p_stride) {
    for (int j = 0; j < R && KEPT; ++j)
      for (int u = 0; u < U; ++u) rows[j][u] = load(p + j * stride + u * VecOf<A>::lanes);
  }
  SCAM_INLINE Vec<A> at(int j, int u) const {
    if constexpr (KEPT) return rows[j][u];
    return load(p + j * stride + u * VecOf<A>::lanes);
  }
};

// Scale and shift of one channel, added to what they hold. tokens: gamma and beta, [2][row].
template <class A, int R, int U, bool KEPT>
SCAM_INLINE void mix(const A* tokens, const Weights<A, R, U, KEPT>& weights, Vec<A>* scale,
                     Vec<A>* shift) {
  for (int j = 0; j < R; ++j) {
    Vec<A> gamma = fill(tokens[j]), beta = fill(tokens[R + j]);
    if constexpr (U > 1) in_register(gamma), in_register(beta);
    for (int u = 0; u < U; ++u) {
      Vec<A> weight = weights.at(j, u);
      if constexpr (!KEPT) in_register(weight);
      scale[u] += gamma * weight;
      shift[u] += beta * weight;
    }
  }
}

// What the products need to know of a group of tokens.
template <class A>
struct Tokens {
  int64_t blocks, channels, padded;  // channels, and with zeros after them
  const A *keys, *gamma_beta, *bias;
  const A* constants;  // by channel
  A slope;
};

// Adds channels [begin, end), of which x holds the slots, to the scores of `count` slots.
template <class A, int R>
inline void score_slots(const Tokens<A>& t, int64_t begin, int64_t end, const A* x, int64_t stride,
                        int64_t count, A* p, int64_t p_stride) {
  constexpr int64_t width = UNIT * VecOf<A>::lanes;
  const int64_t whole = count / width * width;
  for (int64_t k = 0; k < t.blocks; ++k) {
    const A* keys = t.keys + (k * t.padded + begin) * R;
    const A* bias = begin == 0 ? t.bias + k * R : nullptr;
    A* rows = p + k * R * p_stride;
    score_block<A, R, UNIT>(keys, bias, x, stride, end - begin, whole, rows, p_stride);
    if (whole < count)
      score_block<A, R, 1>(keys, bias, x + whole, stride, end - begin, count - whole,
                           rows + whole, p_stride);
  }
}

// y over x, in place, for channels [begin, end) of U vectors of slots; x points to the first of
// them. noise: one row of slots.
template <class A, int R, int U, bool ONE_BLOCK>
SCAM_OUTLINE void modulate(const Tokens<A>& t, int64_t begin, int64_t end, const A* p,
                           const A* noise, A* x, int64_t stride) {
  constexpr int lanes = VecOf<A>::lanes;
  const Weights<A, R, U, ONE_BLOCK && HELD<U>> weights(p, stride);
  for (int64_t c = begin; c < end; ++c, x += stride) {
    const A *constant = t.constants + c * CONSTANTS, *tokens = t.gamma_beta + c * 2 * R;
    Vec<A> scale[U], shift[U];
    for (int u = 0; u < U; ++u)
      scale[u] = fill(A(1)), shift[u] = constant[2] * load(noise + u * lanes);
    if constexpr (ONE_BLOCK) {
      mix(tokens, weights, scale, shift);
    } else {
      for (int64_t k = 0; k < t.blocks; ++k)
        mix(tokens + k * t.padded * 2 * R, Weights<A, R, U, false>(p + k * R * stride, stride),
            scale, shift);
    }
    for (int u = 0; u < U; ++u) {
      A* at = x + u * lanes;
      const Vec<A> y = scale[u] * ((load(at) - constant[0]) * constant[1]) + shift[u];
      store(at, y > A(0) ? y : y * t.slope);
    }
  }
}

template <class A, int R, int U = MODULATED>
inline void modulate_slots(const Tokens<A>& t, int64_t begin, int64_t end, const A* p,
                           const A* noise, A* x, int64_t stride, int64_t count) {
  constexpr int64_t width = U * VecOf<A>::lanes;
  int64_t i = 0;
  for (; i + width <= count; i += width)
    if (t.blocks == 1) {
      modulate<A, R, U, true>(t, begin, end, p + i, noise + i, x + i, stride);
    } else {
      modulate<A, R, U, false>(t, begin, end, p + i, noise + i, x + i, stride);
    }
  if constexpr (U > 1)
    if (i < count)
      modulate_slots<A, R, U / 2>(t, begin, end, p + i, noise + i, x + i, stride, count - i);
}

// Turns grad_y into g = grad_y * leaky_relu'(pre) and makes dp_j = <gamma_j, g xhat> + <beta_j, g>
// for one vector of slots.
template <class A, int R, bool ONE_BLOCK>
SCAM_OUTLINE void differentiate(const Tokens<A>& t, const A* p, int64_t p_stride, const A* noise,
                                const A* x, A* g, int64_t stride, A* dp, int64_t dp_stride) {
  const Weights<A, R, 1, ONE_BLOCK && HELD<1>> weights(p, p_stride);
  Vec<A> sums[R];
  for (int j = 0; j < R; ++j) sums[j] = Vec<A>{};
  if constexpr (!ONE_BLOCK)
    for (int64_t j = 0; j < t.blocks * R; ++j) store(dp + j * dp_stride, Vec<A>{});
  const Vec<A> field = load(noise);
  for (int64_t c = 0; c < t.channels; ++c) {
    const A* constant = t.constants + c * CONSTANTS;
    const A* tokens = t.gamma_beta + c * 2 * R;
    Vec<A> scale = fill(A(1)), shift = constant[2] * field;
    if constexpr (ONE_BLOCK) {
      mix(tokens, weights, &scale, &shift);
    } else {
      for (int64_t k = 0; k < t.blocks; ++k)
        mix(tokens + k * t.padded * 2 * R,
            Weights<A, R, 1, false>(p + k * R * p_stride, p_stride), &scale, &shift);
    }
    const Vec<A> xhat = (load(x + c * stride) - constant[0]) * constant[1];
    const Vec<A> given = load(g + c * stride);
    const Vec<A> slope_g = scale * xhat + shift > A(0) ? given : given * t.slope;
    store(g + c * stride, slope_g);
    const Vec<A> gx = slope_g * xhat;
    if constexpr (ONE_BLOCK) {
      for (int j = 0; j < R; ++j) {
        sums[j] += tokens[j] * gx;
        sums[j] += tokens[R + j] * slope_g;
      }
    } else {
      for (int64_t k = 0; k < t.blocks; ++k)
        for (int j = 0; j < R; ++j) {
          const A* of_row = tokens + k * t.padded * 2 * R + j;
          A* at = dp + (k * R + j) * dp_stride;
          store(at, load(at) + (of_row[0] * gx + of_row[R] * slope_g));
        }
    }
  }
  if constexpr (ONE_BLOCK)
    for (int j = 0; j < R; ++j) store(dp + j * dp_stride, sums[j]);
}

// g becomes the local part of grad_x: sum_j ds_j keys_j + rstd g scale, for U vectors of slots.
template <class A, int R, int U>
SCAM_OUTLINE void to_grad_x(const Tokens<A>& t, const A* p, const A* ds, int64_t p_stride, A* g,
                            int64_t stride) {
  constexpr int lanes = VecOf<A>::lanes;
  for (int64_t c = 0; c < t.channels; ++c, g += stride) {
    Vec<A> scale[U], sum[U];
    for (int u = 0; u < U; ++u) scale[u] = fill(A(1)), sum[u] = Vec<A>{};
    for (int64_t k = 0; k < t.blocks; ++k) {
      const A* gamma = t.gamma_beta + (k * t.padded + c) * 2 * R;
      const A* keys = t.keys + (k * t.padded + c) * R;
      for (int j = 0; j < R; ++j)
        for (int u = 0; u < U; ++u) {
          const int64_t at = (k * R + j) * p_stride + u * lanes;
          scale[u] += gamma[j] * load(p + at);
          sum[u] += keys[j] * load(ds + at);
        }
    }
    for (int u = 0; u < U; ++u) {
      A* at = g + u * lanes;
      store(at, t.constants[c * CONSTANTS + 1] * (load(at) * scale[u]) + sum[u]);
    }
  }
}

template <class A, int R, int U = 4>
inline void slots_to_grad_x(const Tokens<A>& t, const A* p, const A* ds, int64_t p_stride, A* g,
                            int64_t stride, int64_t count) {
  constexpr int64_t width = U * VecOf<A>::lanes;
  int64_t i = 0;
  for (; i + width <= count; i += width)
    to_grad_x<A, R, U>(t, p + i, ds + i, p_stride, g + i, stride);
  if constexpr (U > 1)
    if (i < count)
      slots_to_grad_x<A, R, U / 2>(t, p + i, ds + i, p_stride, g + i, stride, count - i);
}
