// SPDX-License-Identifier: Apache-2.0
// A tile of pixels x channels in shared memory, in the memory order of the tensor it comes from:
// rows of pixels (channels last) or rows of channels (channels first). The number of pixels is 16,
// 32 or 64, the number of channels a multiple of 16. Rows are 16 bytes longer than their contents,
// an odd multiple of 16 bytes, so that eight rows meet all banks.
#pragma once

#include <sca_cuda/device.cuh>
#include <sca_cuda/params.h>

namespace sca {

// What one lane holds of 16 x 16 elements: row 8 * r + group, column 8 * e + 2 * quad + i is
// v[e][2 * r + i]; columns run along memory.
struct Block {
  float v[2][4];
};

SCA_DEVICE Block no_block() { return {{{0, 0, 0, 0}, {0, 0, 0, 0}}}; }

template <class T, bool last>
struct Tile {
  char* base;
  int pitch;  // bytes

  SCA_DEVICE Tile(char* base, int pixels, int channels)
      : base(base), pitch(2 * (last ? channels : pixels) + 16) {}

  static SCA_ANYWHERE int bytes(int pixels, int channels) {
    return last ? pixels * (2 * channels + 16) : channels * (2 * pixels + 16);
  }

  SCA_DEVICE char* at(int row, int column) const { return base + row * pitch + 2 * column; }

  // Word (r, e) of the block at pixel p, channel c.
  SCA_DEVICE uint32_t* word(int p, int c, int r, int e) const {
    const int lane = thread() & 31;
    const int row = (last ? p : c) + 8 * r + (lane >> 2);
    return reinterpret_cast<uint32_t*>(at(row, (last ? c : p) + 8 * e + 2 * (lane & 3)));
  }

  SCA_DEVICE Block block(int p, int c) const {
    Block result;
#pragma unroll
    for (int r = 0; r < 2; ++r)
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const Pair pair = unpack2<T>(*word(p, c, r, e));
        result.v[e][2 * r] = pair.low;
        result.v[e][2 * r + 1] = pair.high;
      }
    return result;
  }

  SCA_DEVICE void set_block(int p, int c, const Block& block) const {
#pragma unroll
    for (int r = 0; r < 2; ++r)
#pragma unroll
      for (int e = 0; e < 2; ++e)
        *word(p, c, r, e) = pack2<T>(block.v[e][2 * r], block.v[e][2 * r + 1]);
  }

  // Fragments of A for mma16: rows are pixels, or channels.
  SCA_DEVICE void pixels_by_channels(uint32_t (&a)[4], int p, int c) const {
    if constexpr (last) {
      along_rows(a, p, c);
    } else {
      along_columns(a, c, p);
    }
  }

  SCA_DEVICE void channels_by_pixels(uint32_t (&a)[4], int c, int p) const {
    if constexpr (last) {
      along_columns(a, p, c);
    } else {
      along_rows(a, c, p);
    }
  }

 private:
  SCA_DEVICE void along_rows(uint32_t (&a)[4], int row, int column) const {
    const int lane = thread() & 31;
    load_matrices<false>(a, at(row + (lane & 15), column + (lane >> 4) * 8));
  }

  SCA_DEVICE void along_columns(uint32_t (&a)[4], int row, int column) const {
    const int lane = thread() & 31;
    load_matrices<true>(a,
                        at(row + (lane & 7) + (lane >> 4) * 8, column + ((lane >> 3) & 1) * 8));
  }
};

// Which pixel, and which channel, of a block an element is; `which` numbers what a lane meets: its
// two rows or its four columns.
template <bool last>
struct Axes {
  static constexpr int PIXELS = last ? 2 : 4, CHANNELS = last ? 4 : 2;

  static SCA_DEVICE int which_pixel(int r, int e, int i) { return last ? r : 2 * e + i; }
  static SCA_DEVICE int which_channel(int r, int e, int i) { return last ? 2 * e + i : r; }
  static SCA_DEVICE int pixel(int which) { return place(last, which); }
  static SCA_DEVICE int channel(int which) { return place(!last, which); }

 private:
  static SCA_DEVICE int place(bool row, int which) {
    const int lane = thread() & 31;
    return row ? 8 * which + (lane >> 2) : 8 * (which >> 1) + 2 * (lane & 3) + (which & 1);
  }
};

template <class T>
SCA_DEVICE T* origin(const View& view, int64_t batch, int64_t head) {
  return static_cast<T*>(view.data) + batch * view.stride[0] + head * view.stride[1];
}

// Start copying pixels `first` ... of an image into a tile; zeros beyond `count`.
template <class T, bool last>
SCA_DEVICE void fill(const Tile<T, last>& tile, const View& view, int64_t batch, int64_t head,
                     int pixels, int channels, int first, int count) {
  const T* from = origin<T>(view, batch, head);
  const int row_pieces = (last ? channels : pixels) / 8, rows = last ? pixels : channels;
  for (int i = thread(); i < rows * row_pieces; i += threads()) {
    const int row = i / row_pieces, column = i % row_pieces * 8;
    const int64_t pixel = first + (last ? row : column), channel = last ? column : row;
    const bool valid = pixel < count;
    const T* address = from + (valid ? pixel * view.stride[2] + channel * view.stride[3] : 0);
    copy_async(tile.at(row, column), address, valid);
  }
}

// The way back.
template <class T, bool last>
SCA_DEVICE void drain(const Tile<T, last>& tile, const View& view, int64_t batch, int64_t head,
                      int pixels, int channels, int first, int count) {
  T* to = origin<T>(view, batch, head);
  const int row_pieces = (last ? channels : pixels) / 8, rows = last ? pixels : channels;
  for (int i = thread(); i < rows * row_pieces; i += threads()) {
    const int row = i / row_pieces, column = i % row_pieces * 8;
    const int64_t pixel = first + (last ? row : column), channel = last ? column : row;
    if (pixel >= count) continue;
    *reinterpret_cast<uint4*>(to + pixel * view.stride[2] + channel * view.stride[3]) =
        *reinterpret_cast<const uint4*>(tile.at(row, column));
  }
}

}  // namespace sca
