// SPDX-License-Identifier: Apache-2.0
// The arithmetic of the modulation on slots: lanes are pixels of one label, token numbers are
// broadcast. R token rows are handled at a time and U vectors of slots.
#pragma once

constexpr int UNIT = SCAM_VECTOR_BYTES == 64 ? 2 : 1;

// What a channel brings along: mean, rstd, noise_scale, nothing.
constexpr int64_t CONSTANTS = 4;

// p[j][slot] = <x[slot], keys_j> + bias_j for one block of rows. keys: [channel][row].
template <class A, int R, int U>
inline void score_block(const A* keys, const A* bias, const A* x, int64_t stride, int64_t channels,
                        A* p, int64_t p_stride) {
  constexpr int lanes = VecOf<A>::lanes;
  Vec<A> sum[R][U];
  for (int j = 0; j < R; ++j)
    for (int u = 0; u < U; ++u) sum[j][u] = fill(bias[j]);
  for (int64_t c = 0; c < channels; ++c) {
    Vec<A> pixel[U];
    for (int u = 0; u < U; ++u) pixel[u] = load(x + c * stride + u * lanes);
    for (int j = 0; j < R; ++j)
      for (int u = 0; u < U; ++u) sum[j][u] += keys[c * R + j] * pixel[u];
  }
  for (int j = 0; j < R; ++j)
    for (int u = 0; u < U; ++u) store(p + j * p_stride + u * lanes, sum[j][u]);
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

// Scale and shift of one channel, added to what they hold. tokens: gamma and beta, [2][row].
template <class A, int R, int U>
SCAM_INLINE void mix(const A* tokens, const Vec<A> (&p)[R][U], Vec<A>* scale, Vec<A>* shift) {
  for (int j = 0; j < R; ++j)
    for (int u = 0; u < U; ++u) {
      scale[u] += tokens[j] * p[j][u];
      shift[u] += tokens[R + j] * p[j][u];
    }
}

template <class A, int R, int U>
SCAM_INLINE void load_rows(const A* p, int64_t p_stride, Vec<A> (&rows)[R][U]) {
  for (int j = 0; j < R; ++j)
    for (int u = 0; u < U; ++u) rows[j][u] = load(p + j * p_stride + u * VecOf<A>::lanes);
}

// What the products need to know of a group of tokens.
template <class A>
struct Tokens {
  int64_t blocks, channels, padded;  // channels, and with zeros after them
  const A *keys, *gamma_beta, *bias;
  const A* constants;  // by channel
  A slope;
};

// All scores of `count` slots.
template <class A, int R>
inline void score_slots(const Tokens<A>& t, const A* x, int64_t stride, int64_t count, A* p,
                        int64_t p_stride) {
  constexpr int lanes = VecOf<A>::lanes;
  for (int64_t k = 0; k < t.blocks; ++k) {
    const A *keys = t.keys + k * t.padded * R, *bias = t.bias + k * R;
    A* rows = p + k * R * p_stride;
    int64_t i = 0;
    for (; i + UNIT * lanes <= count; i += UNIT * lanes)
      score_block<A, R, UNIT>(keys, bias, x + i, stride, t.channels, rows + i, p_stride);
    if constexpr (UNIT > 1)
      for (; i < count; i += lanes)
        score_block<A, R, 1>(keys, bias, x + i, stride, t.channels, rows + i, p_stride);
  }
}

// y over x, in place, for U vectors of slots. noise: one row of slots.
template <class A, int R, int U, bool ONE_BLOCK>
inline void modulate(const Tokens<A>& t, const A* p, int64_t p_stride, const A* noise, A* x,
                     int64_t stride) {
  constexpr int lanes = VecOf<A>::lanes;
  Vec<A> rows[R][U], field[U];
  if constexpr (ONE_BLOCK) load_rows<A, R, U>(p, p_stride, rows);
  for (int u = 0; u < U; ++u) field[u] = load(noise + u * lanes);
  for (int64_t c = 0; c < t.channels; ++c) {
    const A* constant = t.constants + c * CONSTANTS;
    Vec<A> scale[U], shift[U];
    for (int u = 0; u < U; ++u) scale[u] = fill(A(1)), shift[u] = constant[2] * field[u];
    if constexpr (ONE_BLOCK) {
      mix<A, R, U>(t.gamma_beta + c * 2 * R, rows, scale, shift);
    } else {
      for (int64_t k = 0; k < t.blocks; ++k) {
        load_rows<A, R, U>(p + k * R * p_stride, p_stride, rows);
        mix<A, R, U>(t.gamma_beta + (k * t.padded + c) * 2 * R, rows, scale, shift);
      }
    }
    for (int u = 0; u < U; ++u) {
      A* at = x + c * stride + u * lanes;
      const Vec<A> y = scale[u] * ((load(at) - constant[0]) * constant[1]) + shift[u];
      store(at, y > A(0) ? y : y * t.slope);
    }
  }
}

// Turns grad_y into g = grad_y * leaky_relu'(pre) and makes dp_j = <gamma_j, g xhat> + <beta_j, g>
// for one vector of slots.
template <class A, int R, bool ONE_BLOCK>
inline void differentiate(const Tokens<A>& t, const A* p, int64_t p_stride, const A* noise,
                          const A* x, A* g, int64_t stride, A* dp, int64_t dp_stride) {
  Vec<A> rows[R][1], sums[R];
  if constexpr (ONE_BLOCK) load_rows<A, R, 1>(p, p_stride, rows);
  for (int j = 0; j < R; ++j) sums[j] = Vec<A>{};
  if constexpr (!ONE_BLOCK)
    for (int64_t j = 0; j < t.blocks * R; ++j) store(dp + j * dp_stride, Vec<A>{});
  const Vec<A> field = load(noise);
  for (int64_t c = 0; c < t.channels; ++c) {
    const A* constant = t.constants + c * CONSTANTS;
    const A* tokens = t.gamma_beta + c * 2 * R;
    Vec<A> scale = fill(A(1)), shift = constant[2] * field;
    if constexpr (ONE_BLOCK) {
      mix<A, R, 1>(tokens, rows, &scale, &shift);
    } else {
      for (int64_t k = 0; k < t.blocks; ++k) {
        load_rows<A, R, 1>(p + k * R * p_stride, p_stride, rows);
        mix<A, R, 1>(tokens + k * t.padded * 2 * R, rows, &scale, &shift);
      }
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

// g becomes the local part of grad_x: sum_j ds_j keys_j + rstd g scale. One vector of slots.
template <class A, int R, bool ONE_BLOCK>
inline void to_grad_x(const Tokens<A>& t, const A* p, const A* ds, int64_t p_stride, A* g,
                      int64_t stride) {
  Vec<A> rows[R][1], slopes[R][1];
  if constexpr (ONE_BLOCK) {
    load_rows<A, R, 1>(p, p_stride, rows);
    load_rows<A, R, 1>(ds, p_stride, slopes);
  }
  for (int64_t c = 0; c < t.channels; ++c) {
    Vec<A> scale = fill(A(1)), sum = Vec<A>{};
    for (int64_t k = 0; k < (ONE_BLOCK ? 1 : t.blocks); ++k) {
      if constexpr (!ONE_BLOCK) {
        load_rows<A, R, 1>(p + k * R * p_stride, p_stride, rows);
        load_rows<A, R, 1>(ds + k * R * p_stride, p_stride, slopes);
      }
      const A* gamma = t.gamma_beta + (k * t.padded + c) * 2 * R;
      const A* keys = t.keys + (k * t.padded + c) * R;
      for (int j = 0; j < R; ++j) {
        scale += gamma[j] * rows[j][0];
        sum += keys[j] * slopes[j][0];
      }
    }
    const Vec<A> own = t.constants[c * CONSTANTS + 1] * (load(g + c * stride) * scale);
    store(g + c * stride, own + sum);
  }
}
