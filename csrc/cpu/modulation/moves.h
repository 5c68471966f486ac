// SPDX-License-Identifier: Apache-2.0
// The way of numbers from maps to the slots of a window and back.
#pragma once

// Some rows of a map over pixels (channels, heads, or just one).
template <class T>
struct Rows {
  T* data;
  int64_t row_stride, pixel_stride, count;

  T* at(int64_t row, int64_t pixel) const {
    return data + row * row_stride + pixel * pixel_stride;
  }
  bool along_pixels() const { return pixel_stride == 1; }
  bool along_rows() const { return row_stride == 1 && pixel_stride != 1; }
};

// Rows to be asked for while one is moved: they lie far apart. Into L2, as L1 would hold few lines
// of maps whose rows are a power of two apart.
constexpr int64_t ROWS_AHEAD = 2;

// Rows [begin, end) of a map into slots[row - begin][slot]; padding holds numbers of pixels or
// nothing meaningful.
template <class T, class A, int LANES>
inline void move_in(const Rows<const T>& map, int64_t begin, int64_t end, const Window<LANES>& w,
                    A* slots) {
  if (map.along_pixels()) {
    for (int64_t r = begin; r < end; ++r, slots += w.stride) {
      const T* row = map.at(r, w.first);
      const T* later = map.at(r + ROWS_AHEAD < map.count ? r + ROWS_AHEAD : r, w.first);
      if (w.scattered) {
        for (int64_t i = 0; i < w.count; i += 64 / int64_t(sizeof(T)))
          __builtin_prefetch(later + i, 0, 2);
        for (int64_t s = 0; s < w.segment_count; ++s)
          for (int32_t i = w.segments[s].slot; i < w.segments[s].end; ++i)
            slots[i] = widen(row[w.pixel_of[i]]);
      } else {
        for (int64_t k = 0; k < w.vector_copies; ++k) {
          __builtin_prefetch(later + w.copies[k].pixel, 0, 2);
          store(slots + w.copies[k].slot, load(row + w.copies[k].pixel));
        }
        for (int64_t k = w.vector_copies; k < w.copy_count; ++k)
          slots[w.copies[k].slot] = widen(row[w.copies[k].pixel]);
      }
    }
    return;
  }
  const int64_t whole = map.along_rows() ? begin + (end - begin) / LANES * LANES : begin;
  for (int64_t s = 0; s < w.segment_count; ++s)
    for (int32_t i = w.segments[s].slot; i < w.segments[s].end; i += LANES) {
      for (int64_t r = begin; r < whole; r += LANES) {
        Vec<A> tile[LANES];
        for (int l = 0; l < LANES; ++l) tile[l] = load(map.at(r, w.first + w.pixel_of[i + l]));
        transpose<A>(tile);
        for (int l = 0; l < LANES; ++l) store(slots + (r - begin + l) * w.stride + i, tile[l]);
      }
      for (int64_t r = whole; r < end; ++r)
        for (int l = 0; l < LANES; ++l)
          slots[(r - begin) * w.stride + i + l] = widen(*map.at(r, w.first + w.pixel_of[i + l]));
    }
}

// Rows of two maps: those of the first into `slots`, their sums into `sums`.
template <class T, class A, int LANES>
inline void move_in_both(const Rows<const T>& one, const Rows<const T>& two, int64_t begin,
                         int64_t end, const Window<LANES>& w, A* slots, A* sums) {
  for (int64_t r = begin; r < end; ++r, slots += w.stride, sums += w.stride) {
    const int64_t later = r + ROWS_AHEAD < one.count ? r + ROWS_AHEAD : r;
    const T *x = one.at(r, w.first), *x_later = one.at(later, w.first);
    const T *add = two.at(r, w.first), *add_later = two.at(later, w.first);
    for (int64_t k = 0; k < w.vector_copies; ++k) {
      const Copy& copy = w.copies[k];
      __builtin_prefetch(x_later + copy.pixel, 0, 2);
      __builtin_prefetch(add_later + copy.pixel, 0, 2);
      const Vec<A> number = load(x + copy.pixel);
      store(slots + copy.slot, number);
      store(sums + copy.slot, number + load(add + copy.pixel));
    }
    for (int64_t k = w.vector_copies; k < w.copy_count; ++k) {
      const Copy& copy = w.copies[k];
      slots[copy.slot] = widen(x[copy.pixel]);
      sums[copy.slot] = slots[copy.slot] + A(widen(add[copy.pixel]));
    }
  }
}

// One row of slots to its pixels.
template <class T, class A, int LANES>
inline void to_pixels(const A* slots, const Window<LANES>& w, T* row) {
  if (w.scattered) {
    for (int64_t i = 0; i < w.count; ++i) shorten(slots[w.slot_of[i]], row + i);
    return;
  }
  for (int64_t k = 0; k < w.vector_copies; ++k)
    store(row + w.copies[k].pixel, load(slots + w.copies[k].slot));
  for (int64_t k = w.vector_copies; k < w.copy_count; ++k)
    shorten(slots[w.copies[k].slot], row + w.copies[k].pixel);
}

// The way back.
template <class T, class A, int LANES>
inline void move_out(const A* slots, const Window<LANES>& w, int64_t begin, int64_t end,
                     const Rows<T>& map) {
  if (map.along_pixels()) {
    for (int64_t r = begin; r < end; ++r, slots += w.stride) {
      const T* later = map.at(r + ROWS_AHEAD < map.count ? r + ROWS_AHEAD : r, w.first);
      for (int64_t i = 0; i < w.count; i += 64 / int64_t(sizeof(T)))
        __builtin_prefetch(later + i, 1, 2);
      to_pixels(slots, w, map.at(r, w.first));
    }
    return;
  }
  const int64_t whole = map.along_rows() ? begin + (end - begin) / LANES * LANES : begin;
  for (int64_t s = 0; s < w.segment_count; ++s) {
    const Segment& segment = w.segments[s];
    for (int32_t i = segment.slot; i < segment.end; i += LANES) {
      const int64_t left = segment.slot + segment.count - i, valid = left < LANES ? left : LANES;
      for (int64_t r = begin; r < whole; r += LANES) {
        Vec<A> tile[LANES];
        for (int l = 0; l < LANES; ++l) tile[l] = load(slots + (r - begin + l) * w.stride + i);
        transpose<A>(tile);
        for (int l = 0; l < LANES; ++l)
          if (l < valid) store(map.at(r, w.first + w.pixel_of[i + l]), tile[l]);
      }
      for (int64_t r = whole; r < end; ++r)
        for (int64_t l = 0; l < valid; ++l)
          shorten(slots[(r - begin) * w.stride + i + l], map.at(r, w.first + w.pixel_of[i + l]));
    }
  }
}

// The way back for a map that this pass does not read: past the caches where rows are whole lines,
// which need not be fetched then. row: room for the pixels of a window.
template <class T, class A, int LANES>
inline void write_out(const A* slots, const Window<LANES>& w, int64_t begin, int64_t end,
                      const Rows<T>& map, T* row) {
  const int64_t bytes = w.count * int64_t(sizeof(T));
  const size_t start = reinterpret_cast<size_t>(map.at(0, w.first));
  if (!map.along_pixels() || (start | bytes | map.row_stride * int64_t(sizeof(T))) % 64)
    return move_out(slots, w, begin, end, map);
  for (int64_t r = begin; r < end; ++r, slots += w.stride) {
    to_pixels(slots, w, row);
    const char* from = reinterpret_cast<const char*>(row);
    char* to = reinterpret_cast<char*>(map.at(r, w.first));
    for (int64_t i = 0; i < bytes; i += SCAM_VECTOR_BYTES)
      stream(to + i, load_bytes<Vec<A>>(from + i));
  }
}

// Zeros in the padding of every segment.
template <class A, int LANES>
inline void clear_padding(const Window<LANES>& w, int64_t rows, A* slots) {
  for (int64_t s = 0; s < w.segment_count; ++s) {
    const Segment& segment = w.segments[s];
    const int32_t last = segment.end - LANES;
    if (segment.slot + segment.count == segment.end) continue;
    const IntVec<A> valid = first_lanes<A>(segment.slot + segment.count - last);
    for (int64_t r = 0; r < rows; ++r) {
      A* at = slots + r * w.stride + last;
      store(at, bit_cast<Vec<A>>(bit_cast<IntVec<A>>(load(at)) & valid));
    }
  }
}
