// SPDX-License-Identifier: Apache-2.0
// Maps as one row of channels for each pixel of a window: where they lie, or copied.
#pragma once

// A map of one image, of any strides.
template <class T>
struct Map {
  T* data;
  int64_t channel_stride, pixel_stride, channels;

  T* at(int64_t channel, int64_t pixel) const {
    return data + channel * channel_stride + pixel * pixel_stride;
  }
  // Whether rows can be used where they lie: channels are neighbours and fill whole vectors.
  bool has_rows() const { return channel_stride == 1 && channels == padded_channels(channels); }
};

template <class T>
inline Map<T> map_of(const ScaTensor& map, int64_t b, int64_t channels) {
  return {static_cast<T*>(map.data) + b * map.stride[0], map.stride[1], map.stride[2], channels};
}

template <class T>
inline Map<const T> position_of(const Job& job) {
  const ScaTensor& code = job.p.position;
  return {static_cast<const T*>(code.data), code.stride[0], code.stride[1], job.p.channels};
}

// Rows by pixel of a window, padded channels each; those beyond the map's hold zeros.
template <class T>
struct PixelRows {
  T* data;
  int64_t step;

  T* of(int64_t pixel) const { return data + pixel * step; }
};

// Pixels of a map, and channels once they are numbers to compute with, that fill a cache line.
template <class T>
constexpr int64_t LINE = 64 / int64_t(sizeof(T));

// How far ahead in a map its lines are asked for. Into L2, as L1 holds few lines of maps whose
// channels are a power of two apart.
constexpr int64_t PIXELS_AHEAD = 64;

// A line of channels, `stride` apart, of a line of pixels become rows. Loops are unrolled because
// GCC would pass the tile through memory. later: the square to ask for.
template <class T>
SCAM_OUTLINE void square_in(const T* from, const T* later, int64_t stride, T* rows,
                            int64_t step) {
  typedef A_of<T> A;
  constexpr int lanes = VecOf<A>::lanes;
  for (int l = 0; l < LINE<A>; ++l) __builtin_prefetch(later + l * stride, 0, 2);
  for (int i = 0; i < LINE<T>; i += lanes)
    for (int c = 0; c < LINE<A>; c += lanes) {
      Vec<A> tile[lanes];
#pragma GCC unroll 16
      for (int l = 0; l < lanes; ++l) tile[l] = load(from + (c + l) * stride + i);
      transpose(tile);
#pragma GCC unroll 16
      for (int l = 0; l < lanes; ++l) store(rows + (i + l) * step + c, tile[l]);
    }
}

// The way back; past the caches if STREAM.
template <bool STREAM, class T>
SCAM_OUTLINE void square_out(const T* rows, int64_t step, T* to, int64_t stride) {
  typedef A_of<T> A;
  constexpr int lanes = VecOf<A>::lanes;
  for (int c = 0; c < LINE<A>; c += lanes)
    for (int i = 0; i < LINE<T>; i += lanes) {
      Vec<A> tile[lanes];
#pragma GCC unroll 16
      for (int l = 0; l < lanes; ++l) tile[l] = load(rows + (i + l) * step + c);
      transpose(tile);
#pragma GCC unroll 16
      for (int l = 0; l < lanes; ++l) put<STREAM>(to + (c + l) * stride + i, tile[l]);
    }
}

// Rows of the `count` pixels of a window that begins at `first`.
template <class T>
inline void copy_in(const Map<const T>& map, int64_t first, int64_t count, T* rows) {
  constexpr int64_t line = LINE<A_of<T>>, pixels = LINE<T>;
  const int64_t padded = padded_channels(map.channels);
  const int64_t whole = map.pixel_stride == 1 ? map.channels / line * line : 0;
  for (int64_t c = 0; c < whole; c += line) {
    int64_t i = 0;
    for (; i + pixels <= count; i += pixels) {
      const T *from = map.at(c, first + i), *later = from;
      if (i + PIXELS_AHEAD < count) later = from + PIXELS_AHEAD;
      else if (c + line < whole) later = map.at(c + line, first + i % PIXELS_AHEAD);
      square_in(from, later, map.channel_stride, rows + i * padded + c, padded);
    }
    for (; i < count; ++i)
      for (int64_t l = 0; l < line; ++l) rows[i * padded + c + l] = *map.at(c + l, first + i);
  }
  for (int64_t i = 0; i < count; ++i) {
    T* row = rows + i * padded;
    for (int64_t c = whole; c < map.channels; ++c) row[c] = *map.at(c, first + i);
    memset(static_cast<void*>(row + map.channels), 0, sizeof(T) * (padded - map.channels));
  }
}

template <bool STREAM, class T>
inline void copy_out(const T* rows, int64_t first, int64_t count, const Map<T>& map) {
  constexpr int64_t line = LINE<A_of<T>>, pixels = LINE<T>;
  const int64_t padded = padded_channels(map.channels);
  const int64_t whole = map.pixel_stride == 1 ? map.channels / line * line : 0;
  for (int64_t c = 0; c < whole; c += line) {
    int64_t i = 0;
    for (; i + pixels <= count; i += pixels)
      square_out<STREAM>(rows + i * padded + c, padded, map.at(c, first + i), map.channel_stride);
    for (; i < count; ++i)
      for (int64_t l = 0; l < line; ++l) *map.at(c + l, first + i) = rows[i * padded + c + l];
  }
  for (int64_t i = 0; i < count; ++i)
    for (int64_t c = whole; c < map.channels; ++c) *map.at(c, first + i) = rows[i * padded + c];
}

// Where the rows of a window of a map are: in the map if they can be used there, else in `room`.
template <class T>
inline PixelRows<T> rows_for(const Map<T>& map, const Window& w, T* room) {
  if (map.has_rows()) return {map.at(0, w.first), map.pixel_stride};
  return {room, padded_channels(map.channels)};
}

template <class T>
inline PixelRows<const T> rows_in(const Map<const T>& map, const Window& w, T* room) {
  if (!map.has_rows()) copy_in(map, w.first, w.count, room);
  return rows_for<const T>(map, w, room);
}

// What both passes read of a window.
template <class T>
struct WindowRows {
  Window window;
  PixelRows<const T> x, code;  // code is x if there is no position
  T *room_of_x, *room_of_code;

  static int64_t room(const Job& job) { return job.window * padded_channels(job.p.channels); }
  static size_t bytes(const Job& job) {
    return Window::bytes(job) + 2 * Workspace::bytes_of<T>(room(job));
  }
  WindowRows(const Job& job, Workspace* workspace)
      : window(job, workspace),
        room_of_x(workspace->take<T>(room(job))),
        room_of_code(workspace->take<T>(room(job))) {}

  void open(const Job& job, int64_t b, int64_t index) {
    window.sort(job, b, index);
    x = rows_in(map_of<const T>(job.p.x, b, job.p.channels), window, room_of_x);
    code = job.p.position.data ? rows_in(position_of<T>(job), window, room_of_code) : x;
  }
};
