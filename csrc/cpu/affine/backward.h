// SPDX-License-Identifier: Apache-2.0
// The backward pass over one block of channels of a window.
#pragma once

// What the sums over pixels are of takes the place of scale and shift in the segments' pairs: of a
// MIXED one for each pixel, else summed into a vector.
template <class T>
inline void backward_segments(const Job& job, int64_t b, const Block<A_of<T>>& block,
                              int64_t first, Segments<A_of<T>>* list) {
  typedef A_of<T> A;
  constexpr int lanes = VecOf<A>::lanes;
  for (int64_t k = 0; k < block.channels; ++k) {
    const T* x = element<const T>(job.p.x, b, block.first + k, first);
    const T* dy = element<const T>(job.p.grad_y, b, block.first + k, first);
    T* dx = element<T>(job.p.grad_x, b, block.first + k, first);
    const A mean = block.mean[k], rstd = block.rstd[k], slope = block.slope;
    for (int64_t n = 0; n < list->count; ++n) {
      const Segment& of = list->of[n];
      A(*pair)[TILE] = list->pairs[k] + 2 * n;
      if (of.row == MIXED) {
        for (int64_t j = 0; j < TILE; j += lanes) {
          const Vec<A> scale = load(pair[0] + j), shift = load(pair[1] + j);
          const Vec<A> d = load(x + of.begin + j) - mean, dz = load(dy + of.begin + j);
          const Vec<A> g = d * rstd * scale + shift > A(0) ? dz : dz * slope;
          store(dx + of.begin + j, g * scale * rstd);
          store(pair[0] + j, g);
          store(pair[1] + j, g * d);
        }
        continue;
      }
      const A scale = block.scale[of.row * block.scale_stride + k];
      const A shift = block.shift[of.row * block.shift_stride + k];
      Vec<A> sum_g = {}, sum_gd = {};
      for (int64_t i = of.begin; i < of.end; i += lanes) {
        const Vec<A> d = load(x + i) - mean, dz = load(dy + i);
        const Vec<A> g = d * rstd * scale + shift > A(0) ? dz : dz * slope;
        sum_g += g;
        sum_gd += g * d;
        store(dx + i, g * scale * rstd);
      }
      store(pair[0], sum_g);
      store(pair[1], sum_gd);
    }
  }
}

template <class A>
inline void add_segments(const Block<A>& block, const int32_t* rows, const Segments<A>& list,
                         const Sums& sums) {
  constexpr int lanes = VecOf<A>::lanes;
  alignas(64) A g[TILE][TILE];
  alignas(64) A gd[TILE][TILE];
  for (int64_t n = 0; n < list.count; ++n) {
    const Segment& of = list.of[n];
    if (of.row == MIXED) {
      const A *of_g[TILE], *of_gd[TILE];
      for (int64_t k = 0; k < TILE; ++k)
        of_g[k] = list.pairs[k][2 * n], of_gd[k] = list.pairs[k][2 * n + 1];
      turn<A>(of_g, g[0], TILE);
      turn<A>(of_gd, gd[0], TILE);
      add_pixels<A>(block, rows + of.begin, g, gd, sums);
      continue;
    }
    for (int64_t k = 0; k < TILE; k += lanes) {
      Vec<A> of_g[lanes], of_gd[lanes];
      for (int l = 0; l < lanes; ++l) {
        of_g[l] = load(list.pairs[k + l][2 * n]);
        of_gd[l] = load(list.pairs[k + l][2 * n + 1]);
      }
      add_sums<A>(block, of.row, k, sum_each<A>(of_g), sum_each<A>(of_gd), sums);
    }
  }
}

// A map whose pixels are `step` numbers apart and whose channels adjoin.
template <class T>
struct Pixels {
  T* data;
  int64_t step;
};

// Pixels [j, end) of one row, and the channels of U vectors from k on; dx may be dy. `of_mean` and
// `of_rstd`: sums over a few pixels, so that no digits are lost.
template <int U, class T>
inline void backward_run(const Block<A_of<T>>& block, int32_t row, int64_t k, int64_t j,
                         int64_t end, Pixels<const T> x, Pixels<const T> dy, Pixels<T> dx,
                         const Sums& sums, A_of<T>* of_mean, A_of<T>* of_rstd) {
  typedef A_of<T> A;
  constexpr int lanes = VecOf<A>::lanes;
  const A* scales = block.scale + row * block.scale_stride + k;
  const A* shifts = block.shift + row * block.shift_stride + k;
  Vec<A> sum_g[U] = {}, sum_gd[U] = {};
  for (int64_t i = j; i < end; ++i) {
    const T *from = x.data + i * x.step + k, *given = dy.data + i * dy.step + k;
    T* to = dx.data + i * dx.step + k;
    for (int u = 0; u < U; ++u) {
      const Vec<A> d = load(from + u * lanes) - load(block.mean + k + u * lanes);
      const Vec<A> rstd = load(block.rstd + k + u * lanes), scale = load(scales + u * lanes);
      const Vec<A> dz = load(given + u * lanes);
      const Vec<A> g = d * rstd * scale + load(shifts + u * lanes) > A(0) ? dz : dz * block.slope;
      sum_g[u] += g;
      sum_gd[u] += g * d;
      store(to + u * lanes, g * scale * rstd);
    }
  }
  for (int u = 0; u < U; ++u) {
    const int64_t c = k + u * lanes;
    const Vec<A> scale = load(scales + u * lanes);
    add_to_row<A>(block, row, c, sum_g[u], sum_gd[u], sums);
    store(of_mean + c, load(of_mean + c) + scale * sum_g[u]);
    store(of_rstd + c, load(of_rstd + c) + scale * sum_gd[u]);
  }
}

// At most TILE pixels.
template <class T>
inline void backward_pixels(const Block<A_of<T>>& block, const int32_t* rows, int64_t count,
                            Pixels<const T> x, Pixels<const T> dy, Pixels<T> dx,
                            const Sums& sums) {
  typedef A_of<T> A;
  constexpr int lanes = VecOf<A>::lanes, U = 4;
  alignas(64) A of_mean[MAX_WIDTH] = {};
  alignas(64) A of_rstd[MAX_WIDTH] = {};
  for (int64_t j = 0; j < count;) {
    const int32_t row = rows[j];
    int64_t end = j + 1, k = 0;
    while (end < count && rows[end] == row) ++end;
    for (; row < 0 && j < end; ++j) memset(dx.data + j * dx.step, 0, sizeof(T) * block.width);
    if (row < 0) continue;
    for (; k + U * lanes <= block.width; k += U * lanes)
      backward_run<U, T>(block, row, k, j, end, x, dy, dx, sums, of_mean, of_rstd);
    for (; k < block.width; k += lanes)
      backward_run<1, T>(block, row, k, j, end, x, dy, dx, sums, of_mean, of_rstd);
    j = end;
  }
  for (int64_t k = 0; k < block.width && sums.statistics; k += lanes) {
    add_wide(sums.statistics + k, load(of_mean + k));
    add_wide(sums.statistics + block.width + k, load(of_rstd + k));
  }
}

template <class T>
inline Pixels<T> pixels_at(const ScaTensor& map, int64_t b, int64_t c, int64_t i) {
  return {element<T>(map, b, c, i), map.stride[2]};
}

template <class T>
inline void backward_block(const Job& job, int64_t b, int64_t w, const Block<A_of<T>>& block,
                           const Sums& sums) {
  typedef A_of<T> A;
  const ScaTensor &x = job.p.x, &dy = job.p.grad_y, &dx = job.p.grad_x;
  const int32_t* rows = rows_of(job, b, w);
  const int64_t first = w * job.window, pixels = pixels_of(job, w), c = block.first;
  if (channels_adjoin(x) && channels_adjoin(dy) && channels_adjoin(dx) &&
      block.channels == block.width) {
    for (int64_t i = 0; i < pixels; i += TILE)
      backward_pixels<T>(block, rows + i, pixels - i < TILE ? pixels - i : TILE,
                         pixels_at<const T>(x, b, c, first + i),
                         pixels_at<const T>(dy, b, c, first + i),
                         pixels_at<T>(dx, b, c, first + i), sums);
    return;
  }
  alignas(64) A tile[TILE * MAX_WIDTH];
  alignas(64) A grad[TILE * MAX_WIDTH];
  const auto turned = [&](int64_t i, int64_t count) {
    tile_in<T>(x, b, block, first + i, count, tile);
    tile_in<T>(dy, b, block, first + i, count, grad);
    backward_pixels<A>(block, rows + i, count, {tile, block.width}, {grad, block.width},
                       {grad, block.width}, sums);
    tile_out<T>(grad, dx, b, block, first + i, count);
  };
  if (pixels_adjoin(x) && pixels_adjoin(dy) && pixels_adjoin(dx) && block.width == TILE) {
    Segments<A> list;
    for (int64_t k = block.channels; k < TILE; ++k)  // channels that are not there add zeros
      memset(list.pairs[k], 0, sizeof list.pairs[k]);
    for (int64_t i = 0; i < pixels;) {
      i = list_segments(rows, i, pixels, &list, turned);
      gather_tables<A>(block, rows, &list);
      backward_segments<T>(job, b, block, first, &list);
      add_segments<A>(block, rows, list, sums);
    }
  } else {
    for (int64_t i = 0; i < pixels; i += TILE)
      turned(i, pixels < i + TILE ? pixels - i : TILE);
  }
}
