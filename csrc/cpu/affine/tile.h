// SPDX-License-Identifier: Apache-2.0
// Tiles, [pixel][channel] for BLOCK channels, and where runs of pixels with one row end.
#pragma once

// Beyond `channels` a tile holds zeros.
template <class T>
inline void tile_in(const ScaTensor& map, int64_t b, int64_t c, int64_t channels, int64_t i,
                    int64_t count, A_of<T>* tile) {
  typedef A_of<T> A;
  constexpr int lanes = VecOf<A>::lanes;
  const int64_t by_channel = map.stride[1], by_pixel = map.stride[2];
  const T* from = element<const T>(map, b, c, i);
  if (by_pixel == 1 && channels == BLOCK && count == BLOCK) {
    for (int64_t k = 0; k < BLOCK; k += lanes)
      for (int64_t j = 0; j < BLOCK; j += lanes) {
        Vec<A> square[lanes];
        for (int l = 0; l < lanes; ++l) square[l] = load(from + (k + l) * by_channel + j);
        transpose<A>(square);
        for (int l = 0; l < lanes; ++l) store(tile + (j + l) * BLOCK + k, square[l]);
      }
  } else if (by_channel == 1 && channels == BLOCK) {
    for (int64_t j = 0; j < count; ++j)
      for (int64_t k = 0; k < BLOCK; k += lanes)
        store(tile + j * BLOCK + k, load(from + j * by_pixel + k));
  } else {
    memset(tile, 0, sizeof(A) * BLOCK * BLOCK);
    for (int64_t k = 0; k < channels; ++k)
      for (int64_t j = 0; j < count; ++j)
        tile[j * BLOCK + k] = widen(from[k * by_channel + j * by_pixel]);
  }
}

template <class T>
inline void tile_out(const A_of<T>* tile, const ScaTensor& map, int64_t b, int64_t c,
                     int64_t channels, int64_t i, int64_t count) {
  typedef A_of<T> A;
  constexpr int lanes = VecOf<A>::lanes;
  const int64_t by_channel = map.stride[1], by_pixel = map.stride[2];
  T* to = element<T>(map, b, c, i);
  if (by_pixel == 1 && channels == BLOCK && count == BLOCK) {
    for (int64_t k = 0; k < BLOCK; k += lanes)
      for (int64_t j = 0; j < BLOCK; j += lanes) {
        Vec<A> square[lanes];
        for (int l = 0; l < lanes; ++l) square[l] = load(tile + (j + l) * BLOCK + k);
        transpose<A>(square);
        for (int l = 0; l < lanes; ++l) store(to + (k + l) * by_channel + j, square[l]);
      }
  } else if (by_channel == 1 && channels == BLOCK) {
    for (int64_t j = 0; j < count; ++j)
      for (int64_t k = 0; k < BLOCK; k += lanes)
        store(to + j * by_pixel + k, load(tile + j * BLOCK + k));
  } else {
    for (int64_t k = 0; k < channels; ++k)
      for (int64_t j = 0; j < count; ++j)
        shorten(tile[j * BLOCK + k], to + k * by_channel + j * by_pixel);
  }
}

inline bool same_row(const int32_t* rows, int32_t row) {
  int32_t differing = 0;
  for (int64_t j = 0; j < BLOCK; ++j) differing |= rows[j] ^ row;
  return differing == 0;
}

// Where whole tiles of the row at `i` end: `i` itself if the next tile is not of one row.
inline int64_t run_end(const int32_t* rows, int64_t i, int64_t count) {
  const int32_t row = rows[i];
  while (i + BLOCK <= count && same_row(rows + i, row)) i += BLOCK;
  return i;
}

inline bool pixels_are_neighbours(const ScaTensor& map) { return map.stride[2] == 1; }
