// SPDX-License-Identifier: Apache-2.0
#pragma once

template <class A>
SCAM_INLINE Vec<A> leaky_relu(const Vec<A>& z, A slope) {
  return z > A(0) ? z : z * slope;
}

// Pixels of one row, neighbours in memory.
template <class T>
inline void forward_run(const Job& job, int64_t b, const Block<A_of<T>>& block, int64_t i,
                        int64_t count, int32_t row) {
  typedef A_of<T> A;
  constexpr int lanes = VecOf<A>::lanes;
  for (int64_t k = 0; k < block.channels; ++k) {
    const T* x = element<const T>(job.p.x, b, block.first + k, i);
    T* y = element<T>(job.p.y, b, block.first + k, i);
    if (row < 0) {
      memset(y, 0, sizeof(T) * count);
      continue;
    }
    const A scale = block.scale[row * block.scale_stride + k];
    const A shift = block.shift[row * block.shift_stride + k];
    const A mean = block.mean[k], rstd = block.rstd[k];
    for (int64_t j = 0; j < count; j += lanes)
      store(y + j, leaky_relu<A>((load(x + j) - mean) * rstd * scale + shift, block.slope));
  }
}

template <class A>
inline void forward_tile(const Block<A>& block, const int32_t* rows, int64_t count, A* tile) {
  constexpr int lanes = VecOf<A>::lanes;
  for (int64_t j = 0; j < count; ++j, tile += BLOCK) {
    if (rows[j] < 0) {
      memset(tile, 0, sizeof(A) * BLOCK);
      continue;
    }
    const A* scale = block.scale + rows[j] * block.scale_stride;
    const A* shift = block.shift + rows[j] * block.shift_stride;
    for (int64_t k = 0; k < BLOCK; k += lanes) {
      const Vec<A> hat = (load(tile + k) - load(block.mean + k)) * load(block.rstd + k);
      store(tile + k, leaky_relu<A>(hat * load(scale + k) + load(shift + k), block.slope));
    }
  }
}

template <class T>
int forward(const Job& job, int64_t begin, int64_t end) {
  typedef A_of<T> A;
  alignas(64) A tile[BLOCK * BLOCK];
  const bool in_runs = pixels_are_neighbours(job.p.x) && pixels_are_neighbours(job.p.y);
  for (int64_t item = begin; item < end; ++item) {
    const int64_t span = item % job.spans, w = item / job.spans % job.windows;
    const int64_t b = item / job.spans / job.windows, last = (span + 1) * job.span;
    const int32_t* rows = rows_of(job, b, w);
    const int64_t first = w * job.window, pixels = pixels_of(job, w);
    for (int64_t n = span * job.span; n < (last < job.blocks ? last : job.blocks); ++n) {
      const Block<A> block(job, b, n);
      for (int64_t i = 0; i < pixels;) {
        const int64_t run = in_runs ? run_end(rows, i, pixels) - i : 0;
        if (run > 0) {
          forward_run<T>(job, b, block, first + i, run, rows[i]);
          i += run;
          continue;
        }
        const int64_t count = pixels - i < BLOCK ? pixels - i : BLOCK;
        tile_in<T>(job.p.x, b, block.first, block.channels, first + i, count, tile);
        forward_tile<A>(block, rows + i, count, tile);
        tile_out<T>(tile, job.p.y, b, block.first, block.channels, first + i, count);
        i += count;
      }
    }
  }
  return SCA_OK;
}
