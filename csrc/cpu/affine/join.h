// SPDX-License-Identifier: Apache-2.0
// The sums of groups of windows, and what becomes of them.
#pragma once

// Gradients of rows [begin, end) and one block of channels from the sums of `groups` groups.
template <class T>
inline void put_rows(const Job& job, int64_t n, int64_t begin, int64_t end, const double* sums,
                     int64_t groups) {
  typedef A_of<T> A;
  const int64_t width = job.width, first = n * width, left = job.p.channels - first;
  const int64_t channels = left < width ? left : width, step = job.blocks * sums_of_block(job);
  for (int64_t r = begin; r < end; ++r) {
    double all[2 * MAX_WIDTH] = {};
    for (int64_t g = 0; g < groups; ++g)
      for (int64_t k = 0; k < 2 * width; ++k) all[k] += sums[g * step + r * 2 * width + k];
    for (int64_t k = 0; k < channels; ++k) {
      shorten(A(all[k]), element<T>(job.p.grad_shift, r, first + k));
      shorten(A(all[width + k]), element<T>(job.p.grad_scale, r, first + k));
    }
  }
}

template <class T>
int backward(const Job& job, int64_t begin, int64_t end) {
  const int64_t total = job.p.batch * job.windows, size = sums_of_block(job);
  Workspace workspace(job.partial ? 0 : sizeof(double) * size);
  if (!workspace.ok()) return SCA_OUT_OF_MEMORY;
  double* own = workspace.take<double>(0);
  for (int64_t item = begin; item < end; ++item) {
    const int64_t group = item / job.blocks, n = item % job.blocks;
    const int64_t last = (group + 1) * total / job.groups;
    double* rows = job.partial ? job.partial + item * size : own;
    memset(rows, 0, sizeof(double) * size);
    for (int64_t w = group * total / job.groups; w < last; ++w) {
      double* statistics = nullptr;
      if (job.statistics) {
        statistics = job.statistics + (w * job.blocks + n) * 2 * job.width;
        memset(statistics, 0, sizeof(double) * 2 * job.width);
      }
      const int64_t b = w / job.windows;
      backward_block<T>(job, b, w % job.windows, Block<A_of<T>>(job, b, n), {rows, statistics});
    }
    if (!job.partial) put_rows<T>(job, n, 0, job.p.rows, rows, 1);
  }
  return SCA_OK;
}

template <class T>
int join(const Job& job, int64_t begin, int64_t end) {
  for (int64_t item = begin; item < end; ++item) {
    const int64_t n = item / job.row_pieces, piece = item % job.row_pieces;
    put_rows<T>(job, n, first_row(job, piece), first_row(job, piece + 1),
                job.partial + n * sums_of_block(job), job.groups);
  }
  return SCA_OK;
}

template <class T>
int join_statistics(const Job& job, int64_t begin, int64_t end) {
  typedef A_of<T> A;
  const AffineParams& p = job.p;
  const int64_t width = job.width, step = job.blocks * 2 * width;
  for (int64_t b = begin; b < end; ++b)
    for (int64_t c = 0; c < p.channels; ++c) {
      const double* part = job.statistics + b * job.windows * step + c / width * 2 * width;
      double of_g = 0, of_gd = 0;
      for (int64_t w = 0; w < job.windows; ++w) {
        of_g += part[w * step + c % width];
        of_gd += part[w * step + width + c % width];
      }
      *element<A>(p.grad_mean, b, c) = A(-of_g * double(*element<const A>(p.rstd, b, c)));
      *element<A>(p.grad_rstd, b, c) = A(of_gd);
    }
  return SCA_OK;
}
