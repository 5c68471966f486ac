// SPDX-License-Identifier: Apache-2.0
// The index as row numbers, the tables as vectors read them, and the norm of a block.
#pragma once

template <class I>
inline void number_pixels(const I* index, int64_t stride, int64_t count, int64_t rows,
                          int32_t* to) {
  for (int64_t i = 0; i < count; ++i) {
    const int64_t row = int64_t(index[i * stride]);
    to[i] = row >= 0 && row < rows ? int32_t(row) : -1;
  }
}

inline int64_t pixels_of(const Job& job, int64_t window) {
  const int64_t left = job.p.pixels - window * job.window;
  return left < job.window ? left : job.window;
}

inline const int32_t* rows_of(const Job& job, int64_t b, int64_t window) {
  return job.rows + b * job.rows_stride + window * job.window;
}

inline int number(const Job& job, int64_t begin, int64_t end) {
  const ScaLabels& index = job.p.index;
  for (int64_t item = begin; item < end; ++item) {
    const int64_t b = item / job.windows, first = item % job.windows * job.window;
    const int64_t stride = index.stride[1], at = b * index.stride[0] + first * stride;
    const int64_t count = pixels_of(job, item % job.windows), rows = job.p.rows;
    int32_t* to = job.rows + b * job.rows_stride + first;
    switch (index.dtype) {
      case SCA_UINT8:
        number_pixels(static_cast<const uint8_t*>(index.data) + at, stride, count, rows, to);
        break;
      case SCA_INT8:
        number_pixels(static_cast<const int8_t*>(index.data) + at, stride, count, rows, to);
        break;
      case SCA_INT16:
        number_pixels(static_cast<const int16_t*>(index.data) + at, stride, count, rows, to);
        break;
      case SCA_INT32:
        number_pixels(static_cast<const int32_t*>(index.data) + at, stride, count, rows, to);
        break;
      default:
        number_pixels(static_cast<const int64_t*>(index.data) + at, stride, count, rows, to);
    }
  }
  return SCA_OK;
}

inline int64_t first_row(const Job& job, int64_t piece) {
  return piece * job.p.rows / job.row_pieces;
}

template <class T>
int pack(const Job& job, int64_t begin, int64_t end) {
  typedef A_of<T> A;
  const int64_t channels = job.p.channels, padding = job.blocks * job.width - channels;
  for (int64_t r = first_row(job, begin); r < first_row(job, end); ++r) {
    A* scale = static_cast<A*>(job.packed_scale) + r * job.scale_stride;
    A* shift = static_cast<A*>(job.packed_shift) + r * job.shift_stride;
    for (int64_t c = 0; c < channels; ++c) {
      scale[c] = widen(*element<const T>(job.p.scale, r, c));
      shift[c] = widen(*element<const T>(job.p.shift, r, c));
    }
    memset(scale + channels, 0, sizeof(A) * padding);
    memset(shift + channels, 0, sizeof(A) * padding);
  }
  return SCA_OK;
}

// One block of channels of one image.
template <class A>
struct Block {
  int64_t first, channels, width;
  const A *scale, *shift;  // from channel `first` on
  int64_t scale_stride, shift_stride;
  A slope;
  alignas(64) A mean[MAX_WIDTH];
  alignas(64) A rstd[MAX_WIDTH];

  Block(const Job& job, int64_t b, int64_t block)
      : first(block * job.width),
        channels(job.p.channels - first < job.width ? job.p.channels - first : job.width),
        width(job.width),
        scale(static_cast<const A*>(job.scale) + first),
        shift(static_cast<const A*>(job.shift) + first),
        scale_stride(job.scale_stride),
        shift_stride(job.shift_stride),
        slope(A(job.p.negative_slope)) {
    for (int64_t k = 0; k < width; ++k) {
      const bool given = job.p.mean.data && k < channels;
      mean[k] = given ? *element<const A>(job.p.mean, b, first + k) : A(0);
      rstd[k] = given ? *element<const A>(job.p.rstd, b, first + k) : A(1);
    }
  }
};
