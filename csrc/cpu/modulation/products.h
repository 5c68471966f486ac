// SPDX-License-Identifier: Apache-2.0
// The arithmetic of the modulation on rows: lanes are channels. The pixels of one label and the
// tokens they see are multiplied some at a time, so that what was loaded is used more than once.
#pragma once

// Registers that hold weights while the others sum.
constexpr int WEIGHTS = SCAM_VECTOR_BYTES == 64 ? 16 : 8;

// Tokens and pixels taken at a time, out of blocks of B tokens.
template <class A, int B>
struct Shape {
  static constexpr int lanes = VecOf<A>::lanes, HALF = lanes > 2 ? lanes / 2 : 1;
  // dot: the sums over all lanes fill a vector
  static constexpr int DOT_TOKENS = B < HALF ? B : HALF;
  static constexpr int DOT_PIXELS = lanes / DOT_TOKENS < 4 ? lanes / DOT_TOKENS : 4;
  // modulate and combine
  static constexpr int PIXELS = WEIGHTS / B < 4 ? WEIGHTS / B : 4;
  // outer
  static constexpr int OUTER_TOKENS = WEIGHTS / 2 < B ? WEIGHTS / 2 : B;
};

// One row for each pixel of a piece: x, or x + code.
template <class T, bool CODED>
struct Operand {
  const int32_t* order;
  PixelRows<const T> x, code;

  const T* x_of(int64_t i) const { return x.of(order[i]); }
  const T* code_of(int64_t i) const { return CODED ? code.of(order[i]) : nullptr; }
  SCAM_INLINE Vec<A_of<T>> at(const T* of_x, const T* of_code, int64_t c) const {
    if constexpr (CODED) return load(of_x + c) + load(of_code + c);
    return load(of_x + c);
  }
};

// s[i][j] = bias_j + <row_i, token_j> for R tokens, P pixels at a time from i on. Returns where
// fewer than P are left.
template <class A, int R, int P, class T, bool CODED>
SCAM_OUTLINE int64_t dot(const A* tokens, int64_t length, const Vec<A>& bias,
                         const Operand<T, CODED>& in, int64_t i, int64_t count, A* s,
                         int64_t s_step) {
  for (; i + P <= count; i += P) {
    const T *x[P], *code[P], *later[P];
    for (int q = 0; q < P; ++q)
      x[q] = in.x_of(i + q), code[q] = in.code_of(i + q), later[q] = in.x_of(i + q + AHEAD);
    Vec<A> sum[P * R];
    for (int k = 0; k < P * R; ++k) sum[k] = Vec<A>{};
    for (int64_t c = 0; c < length; c += VecOf<A>::lanes) {
      Vec<A> pixel[P];
      for (int q = 0; q < P; ++q) {
        pixel[q] = in.at(x[q], code[q], c);
        __builtin_prefetch(later[q] + c, 0, 2);
      }
      for (int j = 0; j < R; ++j) {
        Vec<A> token = load(tokens + j * length + c);
        if constexpr (P > 1) in_register(token);
        for (int q = 0; q < P; ++q) sum[q * R + j] += token * pixel[q];
      }
    }
    const Vec<A> total = sum_each<A, P * R>(sum) + bias;
    for (int q = 0; q < P; ++q)
      __builtin_memcpy(s + (i + q) * s_step, reinterpret_cast<const A*>(&total) + q * R,
                       R * sizeof(A));
  }
  return i;
}

// s: [pixel][row of tokens]. bias: null for none.
template <class A, int B, class T, bool CODED>
inline void dots(const A* tokens, int64_t rows, int64_t length, const A* bias,
                 const Operand<T, CODED>& in, int64_t count, A* s) {
  constexpr int R = Shape<A, B>::DOT_TOKENS, P = Shape<A, B>::DOT_PIXELS;
  for (int64_t r = 0; r < rows; r += R) {
    Vec<A> biases = {};
    for (int k = 0; k < P * R && bias; ++k) biases[k] = bias[r + k % R];
    const A* of_rows = tokens + r * length;
    const int64_t left = dot<A, R, P>(of_rows, length, biases, in, 0, count, s + r, rows);
    dot<A, R, 1>(of_rows, length, biases, in, left, count, s + r, rows);
  }
}

// Weights of R tokens for P pixels, in every lane; in registers if KEPT.
template <class A, int R, int P, bool KEPT>
struct Weights {
  const A* w;
  int64_t step;
  Vec<A> kept[KEPT ? P * R : 1];

  SCAM_INLINE Weights(const A* from, int64_t rows) : w(from), step(rows) {
    for (int k = 0; k < P * R && KEPT; ++k) {
      kept[k] = fill(w[k / R * step + k % R]);
      in_register(kept[k]);
    }
  }
  SCAM_INLINE Vec<A> at(int q, int j) const {
    if constexpr (KEPT) return kept[q * R + j];
    Vec<A> weight = fill(w[q * step + j]);
    in_register(weight);
    return weight;
  }
};

// What the products need to know of a group of tokens.
template <class A>
struct Tokens {
  int64_t rows, span, padded;          // rows in all and of a head, channels of each
  const A *keys, *gamma_beta, *bias;   // [row][padded], [row][2][padded], [row]
  const A *mean, *rstd, *noise_scale;  // [padded]
  A slope;
};

// Scale and shift of P pixels at one vector of channels, added to what they hold.
template <class A, int R, int P, bool KEPT>
SCAM_INLINE void mix(const A* gamma_beta, int64_t padded, const Weights<A, R, P, KEPT>& weights,
                     Vec<A>* scale, Vec<A>* shift) {
  for (int j = 0; j < R; ++j) {
    Vec<A> gamma = load(gamma_beta + 2 * j * padded);
    Vec<A> beta = load(gamma_beta + (2 * j + 1) * padded);
    if constexpr (P > 1) in_register(gamma), in_register(beta);
    for (int q = 0; q < P; ++q) {
      const Vec<A> weight = weights.at(q, j);
      scale[q] += gamma * weight;
      shift[q] += beta * weight;
    }
  }
}

// to.of<P>(i)(q, c, xhat, rstd, scale, shift) for P pixels at a time and all vectors of channels.
template <class A, int B, int P, bool ONE_BLOCK, class T, class To>
SCAM_OUTLINE int64_t modulate(const Tokens<A>& t, const A* p, const A* noise,
                              const WindowRows<T>& rows, const int32_t* order, int64_t i,
                              int64_t count, const To& to) {
  for (; i + P <= count; i += P) {
    const Weights<A, B, P, ONE_BLOCK> weights(p + i * t.rows, t.rows);
    const T *x[P], *later[P];
    for (int q = 0; q < P; ++q)
      x[q] = rows.x.of(order[i + q]), later[q] = rows.code.of(order[i + q + AHEAD]);
    const auto put = to.template of<P>(i);
    for (int64_t c = 0; c < t.padded; c += VecOf<A>::lanes) {
      Vec<A> scale[P], shift[P];
      for (int q = 0; q < P; ++q)
        scale[q] = fill(A(1)), shift[q] = load(t.noise_scale + c) * noise[i + q];
      const A* gamma_beta = t.gamma_beta + c;
      if constexpr (ONE_BLOCK) {
        mix(gamma_beta, t.padded, weights, scale, shift);
      } else {
        for (int64_t r = 0; r < t.rows; r += B)
          mix(gamma_beta + 2 * r * t.padded, t.padded,
              Weights<A, B, P, false>(p + i * t.rows + r, t.rows), scale, shift);
      }
      const Vec<A> mean = load(t.mean + c), rstd = load(t.rstd + c);
      for (int q = 0; q < P; ++q) {
        __builtin_prefetch(later[q] + c, 0, 2);
        put(q, c, (load(x[q] + c) - mean) * rstd, rstd, scale[q], shift[q]);
      }
    }
  }
  return i;
}

template <class A, int B, class T, class To>
inline void modulate_all(const Tokens<A>& t, const A* p, const A* noise,
                         const WindowRows<T>& rows, const int32_t* order, int64_t count,
                         const To& to) {
  constexpr int P = Shape<A, B>::PIXELS;
  if (t.rows == B) {
    const int64_t left = modulate<A, B, P, true>(t, p, noise, rows, order, 0, count, to);
    modulate<A, B, 1, true>(t, p, noise, rows, order, left, count, to);
  } else {
    const int64_t left = modulate<A, B, WEIGHTS / 4, false>(t, p, noise, rows, order, 0, count, to);
    modulate<A, B, 1, false>(t, p, noise, rows, order, left, count, to);
  }
}

// row_i += sum_j w_ij token_j for R tokens, P pixels at a time.
template <class A, int R, int P>
SCAM_OUTLINE int64_t combine(const A* tokens, int64_t length, const A* w, int64_t w_step,
                             const PixelRows<A>& rows, const int32_t* order, int64_t i,
                             int64_t count) {
  for (; i + P <= count; i += P) {
    const Weights<A, R, P, true> weights(w + i * w_step, w_step);
    A* to[P];
    for (int q = 0; q < P; ++q) to[q] = rows.of(order[i + q]);
    for (int64_t c = 0; c < length; c += VecOf<A>::lanes) {
      Vec<A> sum[P];
      for (int q = 0; q < P; ++q) sum[q] = load(to[q] + c);
      for (int j = 0; j < R; ++j) {
        Vec<A> token = load(tokens + j * length + c);
        if constexpr (P > 1) in_register(token);
        for (int q = 0; q < P; ++q) sum[q] += token * weights.at(q, j);
      }
      for (int q = 0; q < P; ++q) store(to[q] + c, sum[q]);
    }
  }
  return i;
}

template <class A, int B>
inline void combine_all(const A* tokens, int64_t rows, int64_t length, const A* w,
                        const PixelRows<A>& to, const int32_t* order, int64_t count) {
  for (int64_t r = 0; r < rows; r += B) {
    const A* of_rows = tokens + r * length;
    const int64_t left =
        combine<A, B, Shape<A, B>::PIXELS>(of_rows, length, w + r, rows, to, order, 0, count);
    combine<A, B, 1>(of_rows, length, w + r, rows, to, order, left, count);
  }
}

// sums_j (+)= sum_i w_ij row_i for R tokens and U vectors of channels from c on.
template <class A, int R, int U, class T, bool CODED>
SCAM_OUTLINE void outer(const A* w, int64_t w_step, const Operand<T, CODED>& in, int64_t count,
                        int64_t c, A* sums, int64_t length, bool add) {
  constexpr int lanes = VecOf<A>::lanes;
  Vec<A> sum[R * U];
  for (int k = 0; k < R * U; ++k) sum[k] = Vec<A>{};
  for (int64_t i = 0; i < count; ++i) {
    const T *x = in.x_of(i), *code = in.code_of(i);
    Vec<A> row[U];
    for (int u = 0; u < U; ++u) row[u] = in.at(x, code, c + u * lanes);
    for (int j = 0; j < R; ++j) {
      Vec<A> weight = fill(w[i * w_step + j]);
      if constexpr (U > 1) in_register(weight);
      for (int u = 0; u < U; ++u) sum[j * U + u] += weight * row[u];
    }
  }
  for (int j = 0; j < R; ++j)
    for (int u = 0; u < U; ++u) {
      A* at = sums + j * length + c + u * lanes;
      store(at, add ? load(at) + sum[j * U + u] : sum[j * U + u]);
    }
}

// sums: [row of tokens][length].
template <class A, int B, class T, bool CODED>
inline void outers(const A* w, int64_t rows, const Operand<T, CODED>& in, int64_t count,
                   int64_t length, A* sums, bool add) {
  constexpr int R = Shape<A, B>::OUTER_TOKENS, U = 2, lanes = VecOf<A>::lanes;
  for (int64_t r = 0; r < rows; r += R) {
    A* of_rows = sums + r * length;
    int64_t c = 0;
    for (; c + U * lanes <= length; c += U * lanes)
      outer<A, R, U>(w + r, rows, in, count, c, of_rows, length, add);
    for (; c < length; c += lanes)
      outer<A, R, 1>(w + r, rows, in, count, c, of_rows, length, add);
  }
}
