// SPDX-License-Identifier: Apache-2.0
// Mean and variance in one reading. Numbers are summed less one of them, so that a mean far from
// zero costs no digits: the median of three, lest it be an outlier. Pieces are joined in fp64.
#pragma once

// n numbers, their mean, and the sum of squares about it.
struct Moments {
  double n, mean, squares;

  void join(const Moments& other) {
    if (other.n == 0) return;
    const double total = n + other.n, apart = other.mean - mean;
    mean += apart * (other.n / total);
    squares += other.squares + apart * apart * (n * other.n / total);
    n = total;
  }
};

inline Moments moments(double shift, double n, double sum, double squares) {
  const double rest = squares - sum * sum / n;
  return {n, shift + sum / n, rest < 0 ? 0 : rest};  // NaN stays
}

template <class A>
inline double sum_wide(const Vec<A>& v) {
  double sum = 0;
  for (int i = 0; i < VecOf<A>::lanes; ++i) sum += double(v[i]);
  return sum;
}

template <class N>
SCAM_INLINE N median(N a, N b, N c) {
  const N low = a < b ? a : b, high = a < b ? b : a, rest = high < c ? high : c;
  return low > rest ? low : rest;
}

// Up to 4096 consecutive numbers.
template <class A, class T>
inline Moments moments_of_piece(const T* x, int64_t count) {
  constexpr int lanes = VecOf<A>::lanes, U = 4;
  const int64_t whole = count / lanes * lanes;
  const A near = median<A>(widen(x[0]), widen(x[count / 2]), widen(x[count - 1]));
  const Vec<A> shift = fill(near);
  Vec<A> sum[U] = {}, square[U] = {};
  int64_t i = 0;
  for (; i + U * lanes <= whole; i += U * lanes)
    for (int u = 0; u < U; ++u) {
      const Vec<A> d = load(x + i + u * lanes) - shift;
      sum[u] += d;
      square[u] += d * d;
    }
  for (; i < whole; i += lanes) {
    const Vec<A> d = load(x + i) - shift;
    sum[0] += d;
    square[0] += d * d;
  }
  double total = sum_wide<A>(sum[0] + sum[1] + (sum[2] + sum[3]));
  double squares = sum_wide<A>(square[0] + square[1] + (square[2] + square[3]));
  for (; i < count; ++i) {
    const double d = double(A(widen(x[i])) - near);
    total += d;
    squares += d * d;
  }
  return moments(near, double(count), total, squares);
}

template <class A>
inline void set_statistics(const Job& job, int64_t b, int64_t c, const Moments& m) {
  const ModulationParams& p = job.p;
  const double variance = p.pixels ? m.squares / double(p.pixels) : __builtin_nan("");
  const double mean = p.pixels ? m.mean : variance;
  static_cast<A*>(p.mean.data)[b * p.mean.stride[0] + c * p.mean.stride[1]] = A(mean);
  static_cast<A*>(p.rstd.data)[b * p.rstd.stride[0] + c * p.rstd.stride[1]] =
      A(1.0 / __builtin_sqrt(variance + p.eps));
}

template <class T>
int statistics_of_channels(const Job& job, int64_t begin, int64_t end) {
  typedef typename Accumulate<T>::type A;
  constexpr int64_t PIECE = 4096;
  const ModulationParams& p = job.p;
  A gathered[PIECE];
  for (int64_t item = begin; item < end; ++item) {
    const int64_t b = item / p.channels, c = item % p.channels, step = p.x.stride[2];
    const T* x = static_cast<const T*>(p.x.data) + b * p.x.stride[0] + c * p.x.stride[1];
    Moments all = {0, 0, 0};
    for (int64_t i = 0; i < p.pixels; i += PIECE) {
      const int64_t count = p.pixels - i < PIECE ? p.pixels - i : PIECE;
      if (step == 1) {
        all.join(moments_of_piece<A>(x + i, count));
      } else {
        for (int64_t k = 0; k < count; ++k) gathered[k] = widen(x[(i + k) * step]);
        all.join(moments_of_piece<A>(gathered, count));
      }
    }
    set_statistics<A>(job, b, c, all);
  }
  return SCA_OK;
}

// The next of U vectors of channels for `count` pixels: their sums less `shift`, and squares.
template <class A, int U, class T>
SCAM_INLINE void add_pixels(const T* x, int64_t step, int64_t count, const A* shift, A* sum,
                            A* square) {
  constexpr int lanes = VecOf<A>::lanes;
  Vec<A> part[U], part_square[U];
  for (int u = 0; u < U; ++u) part[u] = part_square[u] = Vec<A>{};
  for (int64_t k = 0; k < count; ++k)
    for (int u = 0; u < U; ++u) {
      const Vec<A> d = load(x + k * step + u * lanes) - load(shift + u * lanes);
      part[u] += d;
      part_square[u] += d * d;
    }
  for (int u = 0; u < U; ++u) {
    store(sum + u * lanes, load(sum + u * lanes) + part[u]);
    store(square + u * lanes, load(square + u * lanes) + part_square[u]);
  }
}

template <class T>
int statistics_of_pixels(const Job& job, int64_t begin, int64_t end) {
  typedef A_of<T> A;
  constexpr int lanes = VecOf<A>::lanes, U = SCAM_VECTOR_BYTES == 64 ? 8 : 4;
  constexpr int64_t STRETCH = 32;  // pixels: sums of few numbers lose fewer digits
  const ModulationParams& p = job.p;
  Workspace workspace(3 * Workspace::bytes_of<A>(p.channels));
  if (!workspace.ok()) return SCA_OUT_OF_MEMORY;
  A *shift = workspace.take<A>(p.channels), *sum = workspace.take<A>(p.channels);
  A* square = workspace.take<A>(p.channels);
  for (int64_t item = begin; item < end; ++item) {
    const int64_t b = item / job.stat_chunks, first = item % job.stat_chunks * job.stat_chunk;
    const int64_t left = p.pixels - first, count = left < job.stat_chunk ? left : job.stat_chunk;
    const int64_t step = p.x.stride[2];
    const T* x = element<const T>(p.x, b) + first * step;
    const T *middle = x + count / 2 * step, *last = x + (count - 1) * step;
    for (int64_t c = 0; c < p.channels; ++c) {
      shift[c] = median<A>(widen(x[c]), widen(middle[c]), widen(last[c]));
      sum[c] = square[c] = 0;
    }
    for (int64_t i = 0; i < count; i += STRETCH) {
      const int64_t pixels = count - i < STRETCH ? count - i : STRETCH;
      const T* from = x + i * step;
      int64_t c = 0;
      for (; c + U * lanes <= p.channels; c += U * lanes)
        add_pixels<A, U>(from + c, step, pixels, shift + c, sum + c, square + c);
      for (; c + U / 2 * lanes <= p.channels; c += U / 2 * lanes)
        add_pixels<A, U / 2>(from + c, step, pixels, shift + c, sum + c, square + c);
      for (; c + lanes <= p.channels; c += lanes)
        add_pixels<A, 1>(from + c, step, pixels, shift + c, sum + c, square + c);
      for (; c < p.channels; ++c) {
        A part = 0, part_square = 0;
        for (int64_t k = 0; k < pixels; ++k) {
          const A d = A(widen(from[k * step + c])) - shift[c];
          part += d, part_square += d * d;
        }
        sum[c] += part, square[c] += part_square;
      }
    }
    double* stats = job.stats + item * p.channels * 2;
    for (int64_t c = 0; c < p.channels; ++c) {
      const Moments m = moments(shift[c], double(count), sum[c], square[c]);
      stats[2 * c] = m.mean, stats[2 * c + 1] = m.squares;
    }
  }
  return SCA_OK;
}

template <class T>
int statistics(const Job& job, int64_t begin, int64_t end) {
  return channels_last(job.p.x) ? statistics_of_pixels<T>(job, begin, end)
                                : statistics_of_channels<T>(job, begin, end);
}

template <class T>
int join_statistics(const Job& job, int64_t begin, int64_t end) {
  typedef typename Accumulate<T>::type A;
  const ModulationParams& p = job.p;
  for (int64_t b = begin; b < end; ++b)
    for (int64_t c = 0; c < p.channels; ++c) {
      Moments all = {0, 0, 0};
      for (int64_t k = 0; k < job.stat_chunks; ++k) {
        const double* piece = job.stats + ((b * job.stat_chunks + k) * p.channels + c) * 2;
        const int64_t left = p.pixels - k * job.stat_chunk;
        all.join({double(left < job.stat_chunk ? left : job.stat_chunk), piece[0], piece[1]});
      }
      set_statistics<A>(job, b, c, all);
    }
  return SCA_OK;
}
