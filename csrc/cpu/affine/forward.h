// SPDX-License-Identifier: Apache-2.0
#pragma once

template <class A>
SCAM_INLINE Vec<A> leaky_relu(const Vec<A>& z, A slope) {
  return z > A(0) ? z : z * slope;
}

// Channel by channel: long streams, and one at a time, since maps whose channels are a power of
// two apart meet in the same places of a cache.
template <class T>
inline void forward_segments(const Job& job, int64_t b, const Block<A_of<T>>& block,
                             int64_t first, const Segments<A_of<T>>& list) {
  typedef A_of<T> A;
  constexpr int lanes = VecOf<A>::lanes;
  for (int64_t k = 0; k < block.channels; ++k) {
    const T* x = element<const T>(job.p.x, b, block.first + k, first);
    T* y = element<T>(job.p.y, b, block.first + k, first);
    const A mean = block.mean[k], rstd = block.rstd[k], slope = block.slope;
    for (int64_t n = 0; n < list.count; ++n) {
      const Segment& of = list.of[n];
      const A(*pair)[TILE] = list.pairs[k] + 2 * n;
      if (of.row == MIXED) {
        for (int64_t j = 0; j < TILE; j += lanes) {
          const Vec<A> hat = (load(x + of.begin + j) - mean) * rstd;
          const Vec<A> z = hat * load(pair[0] + j) + load(pair[1] + j);
          store(y + of.begin + j, leaky_relu<A>(z, slope));
        }
        continue;
      }
      const A scale = block.scale[of.row * block.scale_stride + k];
      const A shift = block.shift[of.row * block.shift_stride + k];
      for (int64_t i = of.begin; i < of.end; i += lanes)
        store(y + i, leaky_relu<A>((load(x + i) - mean) * rstd * scale + shift, slope));
    }
  }
}

// Pixels `x_step` and `y_step` numbers apart, whose channels adjoin.
template <class T>
inline void forward_pixels(const Block<A_of<T>>& block, const int32_t* rows, int64_t count,
                           const T* x, int64_t x_step, T* y, int64_t y_step) {
  typedef A_of<T> A;
  constexpr int lanes = VecOf<A>::lanes;
  for (int64_t j = 0; j < count; ++j, x += x_step, y += y_step) {
    if (rows[j] < 0) {
      memset(y, 0, sizeof(T) * block.width);
      continue;
    }
    const A* scale = block.scale + rows[j] * block.scale_stride;
    const A* shift = block.shift + rows[j] * block.shift_stride;
    for (int64_t k = 0; k < block.width; k += lanes) {
      const Vec<A> hat = (load(x + k) - load(block.mean + k)) * load(block.rstd + k);
      store(y + k, leaky_relu<A>(hat * load(scale + k) + load(shift + k), block.slope));
    }
  }
}

template <class T>
inline void forward_block(const Job& job, int64_t b, int64_t w, const Block<A_of<T>>& block) {
  typedef A_of<T> A;
  const ScaTensor &x = job.p.x, &y = job.p.y;
  const int32_t* rows = rows_of(job, b, w);
  const int64_t first = w * job.window, pixels = pixels_of(job, w);
  if (channels_adjoin(x) && channels_adjoin(y) && block.channels == block.width)
    return forward_pixels<T>(block, rows, pixels, element<const T>(x, b, block.first, first),
                             x.stride[2], element<T>(y, b, block.first, first), y.stride[2]);
  alignas(64) A tile[TILE * MAX_WIDTH];
  const auto turned = [&](int64_t i, int64_t count) {
    tile_in<T>(x, b, block, first + i, count, tile);
    forward_pixels<A>(block, rows + i, count, tile, block.width, tile, block.width);
    tile_out<T>(tile, y, b, block, first + i, count);
  };
  if (pixels_adjoin(x) && pixels_adjoin(y) && block.width == TILE) {
    Segments<A> list;
    for (int64_t i = 0; i < pixels;) {
      i = list_segments(rows, i, pixels, &list, turned);
      gather_tables<A>(block, rows, &list);
      forward_segments<T>(job, b, block, first, list);
    }
  } else {
    for (int64_t i = 0; i < pixels; i += TILE)
      turned(i, pixels < i + TILE ? pixels - i : TILE);
  }
}

template <class T>
int forward(const Job& job, int64_t begin, int64_t end) {
  for (int64_t item = begin; item < end; ++item) {
    const int64_t b = item / job.blocks / job.windows, w = item / job.blocks % job.windows;
    forward_block<T>(job, b, w, Block<A_of<T>>(job, b, item % job.blocks));
  }
  return SCA_OK;
}
