// SPDX-License-Identifier: Apache-2.0
// The backward pass over groups of windows. Sums over the pixels of a run are taken in registers
// and added in fp64: a row may hold millions of pixels.
#pragma once

SCAM_INLINE void add_wide(double* to, const Vec<double>& v) { store(to, load(to) + v); }
SCAM_INLINE void add_wide(double* to, const Vec<float>& v) {
  typedef float Half __attribute__((vector_size(SCAM_VECTOR_BYTES / 2)));
  constexpr int half = VecOf<double>::lanes;
  alignas(64) float numbers[2 * half];
  store(numbers, v);
  for (int i = 0; i < 2; ++i) {
    const Half part = load_bytes<Half>(numbers + i * half);
    add_wide(to + i * half, __builtin_convertvector(part, Vec<double>));
  }
}

// Sums over some pixels of one row: `g` of the gradient after the activation, `gd` of g (x - mean).
template <class A>
SCAM_INLINE void add_sums(const Block<A>& block, int32_t row, int64_t k, const Vec<A>& g,
                          const Vec<A>& gd, double* sums, double* statistics) {
  double* of_row = sums + row * 2 * BLOCK + k;
  add_wide(of_row, g);
  add_wide(of_row + BLOCK, gd * load(block.rstd + k));
  if (statistics) {
    const Vec<A> scale = load(block.scale + row * block.scale_stride + k);
    add_wide(statistics + k, scale * g);
    add_wide(statistics + BLOCK + k, scale * gd);
  }
}

// Pixels of one row, neighbours in memory.
template <class T>
inline void backward_run(const Job& job, int64_t b, const Block<A_of<T>>& block, int64_t i,
                         int64_t count, int32_t row, double* sums, double* statistics) {
  typedef A_of<T> A;
  constexpr int lanes = VecOf<A>::lanes;
  Vec<A> sum_g[BLOCK] = {}, sum_gd[BLOCK] = {};
  for (int64_t k = 0; k < block.channels; ++k) {
    const T* x = element<const T>(job.p.x, b, block.first + k, i);
    const T* dy = element<const T>(job.p.grad_y, b, block.first + k, i);
    T* dx = element<T>(job.p.grad_x, b, block.first + k, i);
    if (row < 0) {
      memset(dx, 0, sizeof(T) * count);
      continue;
    }
    const A scale = block.scale[row * block.scale_stride + k];
    const A shift = block.shift[row * block.shift_stride + k];
    const A mean = block.mean[k], rstd = block.rstd[k];
    Vec<A> of_g = {}, of_gd = {};
    for (int64_t j = 0; j < count; j += lanes) {
      const Vec<A> d = load(x + j) - mean, dz = load(dy + j);
      const Vec<A> g = d * rstd * scale + shift > A(0) ? dz : dz * block.slope;
      of_g += g;
      of_gd += g * d;
      store(dx + j, g * scale * rstd);
    }
    sum_g[k] = of_g, sum_gd[k] = of_gd;
  }
  if (row < 0) return;
  for (int64_t k = 0; k < BLOCK; k += lanes)
    add_sums<A>(block, row, k, sum_each<A>(sum_g + k), sum_each<A>(sum_gd + k), sums, statistics);
}

// The gradient of x is written over that of y.
template <class A>
inline void backward_tile(const Block<A>& block, const int32_t* rows, int64_t count, const A* x,
                          A* grad, double* sums, double* statistics) {
  constexpr int lanes = VecOf<A>::lanes;
  for (int64_t j = 0; j < count;) {
    const int32_t row = rows[j];
    int64_t end = j + 1;
    while (end < count && rows[end] == row) ++end;
    if (row < 0) {
      memset(grad + j * BLOCK, 0, sizeof(A) * BLOCK * (end - j));
      j = end;
      continue;
    }
    for (int64_t k = 0; k < BLOCK; k += lanes) {
      const Vec<A> scale = load(block.scale + row * block.scale_stride + k);
      const Vec<A> shift = load(block.shift + row * block.shift_stride + k);
      const Vec<A> mean = load(block.mean + k), rstd = load(block.rstd + k);
      Vec<A> sum_g = {}, sum_gd = {};
      for (int64_t q = j * BLOCK + k; q < end * BLOCK; q += BLOCK) {
        const Vec<A> d = load(x + q) - mean, dz = load(grad + q);
        const Vec<A> g = d * rstd * scale + shift > A(0) ? dz : dz * block.slope;
        sum_g += g;
        sum_gd += g * d;
        store(grad + q, g * scale * rstd);
      }
      add_sums<A>(block, row, k, sum_g, sum_gd, sums, statistics);
    }
    j = end;
  }
}

template <class T>
inline void backward_window(const Job& job, int64_t b, int64_t w, int64_t n, double* sums) {
  typedef A_of<T> A;
  alignas(64) A x[BLOCK * BLOCK];
  alignas(64) A grad[BLOCK * BLOCK];
  const AffineParams& p = job.p;
  const bool in_runs = pixels_are_neighbours(p.x) && pixels_are_neighbours(p.grad_y) &&
                       pixels_are_neighbours(p.grad_x);
  const Block<A> block(job, b, n);
  const int32_t* rows = rows_of(job, b, w);
  const int64_t first = w * job.window, pixels = pixels_of(job, w), channels = block.channels;
  double* statistics = nullptr;
  if (job.statistics) {
    statistics = job.statistics + ((b * job.windows + w) * job.blocks + n) * 2 * BLOCK;
    memset(statistics, 0, sizeof(double) * 2 * BLOCK);
  }
  for (int64_t i = 0; i < pixels;) {
    const int64_t run = in_runs ? run_end(rows, i, pixels) - i : 0;
    if (run > 0) {
      backward_run<T>(job, b, block, first + i, run, rows[i], sums, statistics);
      i += run;
      continue;
    }
    const int64_t count = pixels - i < BLOCK ? pixels - i : BLOCK;
    tile_in<T>(p.x, b, block.first, channels, first + i, count, x);
    tile_in<T>(p.grad_y, b, block.first, channels, first + i, count, grad);
    backward_tile<A>(block, rows + i, count, x, grad, sums, statistics);
    tile_out<T>(grad, p.grad_x, b, block.first, channels, first + i, count);
    i += count;
  }
}
