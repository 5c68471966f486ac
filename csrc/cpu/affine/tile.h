// SPDX-License-Identifier: Apache-2.0
// Tiles, [pixel][channel of a block], and the segments of a window whose pixels adjoin.
#pragma once

// Up to TILE pixels; beyond the channels there are, zeros.
template <class T, class A>
inline void tile_in(const ScaTensor& map, int64_t b, const Block<A>& block, int64_t i,
                    int64_t count, A* tile) {
  constexpr int lanes = VecOf<A>::lanes;
  const int64_t by_channel = map.stride[1], by_pixel = map.stride[2], width = block.width;
  const T* from = element<const T>(map, b, block.first, i);
  if (by_pixel == 1 && block.channels == width && count == TILE) {
    for (int64_t k = 0; k < width; k += lanes)
      for (int64_t j = 0; j < TILE; j += lanes) {
        Vec<A> square[lanes];
        for (int l = 0; l < lanes; ++l) square[l] = load(from + (k + l) * by_channel + j);
        transpose(square);
        for (int l = 0; l < lanes; ++l) store(tile + (j + l) * width + k, square[l]);
      }
  } else if (by_channel == 1 && block.channels == width) {
    for (int64_t j = 0; j < count; ++j)
      for (int64_t k = 0; k < width; k += lanes)
        store(tile + j * width + k, load(from + j * by_pixel + k));
  } else {
    memset(tile, 0, sizeof(A) * count * width);
    for (int64_t k = 0; k < block.channels; ++k)
      for (int64_t j = 0; j < count; ++j)
        tile[j * width + k] = widen(from[k * by_channel + j * by_pixel]);
  }
}

template <class T, class A>
inline void tile_out(const A* tile, const ScaTensor& map, int64_t b, const Block<A>& block,
                     int64_t i, int64_t count) {
  constexpr int lanes = VecOf<A>::lanes;
  const int64_t by_channel = map.stride[1], by_pixel = map.stride[2], width = block.width;
  T* to = element<T>(map, b, block.first, i);
  if (by_pixel == 1 && block.channels == width && count == TILE) {
    for (int64_t k = 0; k < width; k += lanes)
      for (int64_t j = 0; j < TILE; j += lanes) {
        Vec<A> square[lanes];
        for (int l = 0; l < lanes; ++l) square[l] = load(tile + (j + l) * width + k);
        transpose(square);
        for (int l = 0; l < lanes; ++l) store(to + (k + l) * by_channel + j, square[l]);
      }
  } else if (by_channel == 1 && block.channels == width) {
    for (int64_t j = 0; j < count; ++j)
      for (int64_t k = 0; k < width; k += lanes)
        store(to + j * by_pixel + k, load(tile + j * width + k));
  } else {
    for (int64_t k = 0; k < block.channels; ++k)
      for (int64_t j = 0; j < count; ++j)
        shorten(tile[j * width + k], to + k * by_channel + j * by_pixel);
  }
}

constexpr int32_t MIXED = -2;

// Pixels [begin, end) of a window: whole tiles of one row, or one tile of MIXED rows.
struct Segment {
  int64_t begin, end;
  int32_t row;
};

// Consecutive segments, and for each channel a pair of TILE numbers to each: scale and shift of the
// pixels of a MIXED one on the way in, what is to be summed on the way out. Channels lie an odd
// number of 64-byte lines apart, lest they meet in a cache.
template <class A>
struct Segments {
  static constexpr int64_t MOST = 32;
  Segment of[MOST];
  int64_t count;
  static constexpr int64_t LINES = 2 * MOST + 1;
  alignas(64) A pairs[TILE][LINES][TILE];
};

// Whether a tile is of its first row alone, of MIXED rows, or, -1, has pixels outside.
inline int32_t row_of_tile(const int32_t* rows) {
  int32_t differing = 0, outside = 0;
  for (int64_t j = 0; j < TILE; ++j) differing |= rows[j] ^ rows[0], outside |= rows[j];
  return outside < 0 ? -1 : differing ? MIXED : rows[0];
}

// Lists segments from pixel `i` on and calls `other(i, count)` for pixels between them, those of
// tiles that are not whole or have pixels outside. Returns where it stopped.
template <class A, class F>
inline int64_t list_segments(const int32_t* rows, int64_t i, int64_t pixels, Segments<A>* list,
                             F other) {
  list->count = 0;
  while (i < pixels && list->count < Segments<A>::MOST) {
    const int64_t count = pixels - i < TILE ? pixels - i : TILE;
    const int32_t row = count == TILE ? row_of_tile(rows + i) : -1;
    int64_t end = i + count;
    if (row == -1) {
      other(i, count);
    } else {
      while (row >= 0 && end + TILE <= pixels && row_of_tile(rows + end) == row) end += TILE;
      list->of[list->count++] = {i, end, row};
    }
    i = end;
  }
  return i;
}

// TILE rows of TILE numbers to columns, which lie `to_step` apart.
template <class A>
SCAM_INLINE void turn(const A* const* from, A* to, int64_t to_step) {
  constexpr int lanes = VecOf<A>::lanes;
  for (int64_t k = 0; k < TILE; k += lanes)
    for (int64_t j = 0; j < TILE; j += lanes) {
      Vec<A> square[lanes];
      for (int l = 0; l < lanes; ++l) square[l] = load(from[j + l] + k);
      transpose(square);
      for (int l = 0; l < lanes; ++l) store(to + (k + l) * to_step + j, square[l]);
    }
}

// Fills in scale and shift of the MIXED segments.
template <class A>
inline void gather_tables(const Block<A>& block, const int32_t* rows, Segments<A>* list) {
  for (int64_t n = 0; n < list->count; ++n) {
    if (list->of[n].row != MIXED) continue;
    const A *scale[TILE], *shift[TILE];
    for (int64_t j = 0; j < TILE; ++j) {
      const int64_t row = rows[list->of[n].begin + j];
      scale[j] = block.scale + row * block.scale_stride;
      shift[j] = block.shift + row * block.shift_stride;
    }
    turn<A>(scale, list->pairs[0][2 * n], Segments<A>::LINES * TILE);
    turn<A>(shift, list->pairs[0][2 * n + 1], Segments<A>::LINES * TILE);
  }
}

inline bool pixels_adjoin(const ScaTensor& map) { return map.stride[2] == 1; }
inline bool channels_adjoin(const ScaTensor& map) { return map.stride[1] == 1; }
