// SPDX-License-Identifier: Apache-2.0
// How launchers cut the work.
#pragma once

#include <sca_cuda/gather.cuh>

namespace sca {

// Pixels of a tile so that `tiles` of them stay small enough for several blocks per SM.
template <bool last>
int pixels_for(int channels, int tiles) {
  for (int pixels = 64; pixels > 16; pixels /= 2)
    if (tiles * Tile<Bf16, last>::bytes(pixels, channels) <= 72 * 1024) return pixels;
  return 16;
}

inline unsigned divide_up(int64_t a, int64_t b) { return static_cast<unsigned>((a + b - 1) / b); }

// Two stages where blocks stay small enough for several per SM, else one.
template <class T, bool last, class Params>
GatherParams<Params> gather(const Params& p, int tiles, size_t extras, size_t& bytes) {
  const int limit = 72 * 1024, channels = p.channels;
  int pixels = 64, stages = 2;
  while (pixels > 16 && stages * tiles * Tile<T, last>::bytes(pixels, channels) > limit)
    pixels /= 2;
  if (stages * tiles * Tile<T, last>::bytes(pixels, channels) > limit) stages = 1;
  bytes = stages * tiles * Tile<T, last>::bytes(pixels, channels) + extras;
  return {p, pixels, stages};
}

}  // namespace sca
