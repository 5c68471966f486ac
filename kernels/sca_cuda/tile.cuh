// SPDX-License-Identifier: Apache-2.0
// A tile of pixels x channels in shared memory, in the memory order of the tensor it comes from:
// rows of pixels (channels last) or rows of channels (channels first). The number of pixels is 16,
// 32 or 64, the number of channels a multiple of 16. Rows are 16 bytes longer than their contents,
// an odd multiple of 16 bytes, so that eight rows meet all banks.
#pragma once

#include <sca_cuda/device.cuh>
#include <sca_cuda/params.h>

namespace sca {

// What one lane holds of 16 pixels x 16 channels: pixel 8 * r + group, channel 8 * e + 2 * quad + i
// is v[e][2 * r + i]. Packed, word r + 2 * e holds both i: a fragment of A.
struct Block {
  float v[2][4];
};

SCA_DEVICE Block no_block() { return {{{0, 0, 0, 0}, {0, 0, 0, 0}}}; }

template <class T>
SCA_DEVICE Block unpack_block(const uint32_t (&a)[4]) {
  Block result;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const Pair pair = unpack2<T>(a[i]);
    result.v[i >> 1][2 * (i & 1)] = pair.low;
    result.v[i >> 1][2 * (i & 1) + 1] = pair.high;
  }
  return result;
}

template <class T>
SCA_DEVICE void pack_block(uint32_t (&a)[4], const Block& block) {
#pragma unroll
  for (int i = 0; i < 4; ++i)
    a[i] = pack2<T>(block.v[i >> 1][2 * (i & 1)], block.v[i >> 1][2 * (i & 1) + 1]);
}

// Blocks of 16 pixels, one after another along the channels, as fragments of A.
template <bool transposed>
struct Reader {
  SharedAddress at;
  int step;

  SCA_DEVICE void next(uint32_t (&a)[4]) {
    load_matrices<transposed>(a, at);
    at += step;
  }
};

// The way back.
template <bool transposed>
struct Writer {
  SharedAddress at;
  int step, half;  // half: from a lane's word to that of 8 rows further on

  SCA_DEVICE void next(const uint32_t (&a)[4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int down = transposed ? i >> 1 : i & 1, right = transposed ? i & 1 : i >> 1;
      store_shared(at + down * half + 16 * right, transposed ? transpose(a[i]) : a[i]);
    }
    at += step;
  }
};

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

  SCA_DEVICE Reader<!last> reader(int pixel) const {
    const int lane = thread() & 31;
    if constexpr (last) return {shared_address(at(pixel + (lane & 15), (lane >> 4) * 8)), 32};
    return {shared_address(at((lane & 7) + (lane >> 4) * 8, pixel + ((lane >> 3) & 1) * 8)),
            16 * pitch};
  }

  SCA_DEVICE Writer<!last> writer(int pixel) const {
    const int group = (thread() & 31) >> 2, pair = 2 * (thread() & 3);
    if constexpr (last) return {shared_address(at(pixel + group, pair)), 32, 8 * pitch};
    return {shared_address(at(group, pixel + pair)), 16 * pitch, 8 * pitch};
  }

  // A fragment of A whose rows are channels.
  SCA_DEVICE void channels_by_pixels(uint32_t (&a)[4], int c, int p) const {
    const int lane = thread() & 31;
    if constexpr (last) {
      load_matrices<true>(a, shared_address(at(p + (lane & 7) + (lane >> 4) * 8,
                                               c + ((lane >> 3) & 1) * 8)));
    } else {
      load_matrices<false>(a, shared_address(at(c + (lane & 15), p + (lane >> 4) * 8)));
    }
  }
};

template <class T>
SCA_DEVICE T* origin(const View& view, int64_t batch, int64_t head) {
  return static_cast<T*>(view.data) + batch * view.stride[0] + head * view.stride[1];
}

// Calls work(piece, first, step) for 16 bytes side by side: a thread has those of rows `first`,
// first + step, ... of a tile; adjacent threads have adjacent pieces.
template <class Work>
SCA_DEVICE void for_each_column(int row_pieces, Work work) {
  const unsigned wide = row_pieces < threads() ? row_pieces : threads();
  const int step = threads() / wide, first = thread() / wide;
  if (first >= step) return;
#pragma unroll 1
  for (int piece = thread() % wide; piece < row_pieces; piece += wide) work(piece, first, step);
}

// Calls work(row, piece) for every 16 bytes of a tile's rows.
template <class Work>
SCA_DEVICE void for_each_piece(int rows, int row_pieces, Work work) {
  for_each_column(row_pieces, [&](int piece, int first, int step) {
#pragma unroll 4
    for (int row = first; row < rows; row += step) work(row, piece);
  });
}

// Start copying pixels `first` ... of an image into a tile; zeros beyond `count`.
template <class T, bool last>
SCA_DEVICE void fill(const Tile<T, last>& tile, const View& view, int64_t batch, int64_t head,
                     int pixels, int channels, int first, int count) {
  const T* from = origin<T>(view, batch, head) + first * view.stride[2];
  const int64_t stride = view.stride[last ? 2 : 3];
  for_each_piece(last ? pixels : channels, (last ? channels : pixels) / 8, [&](int row, int piece) {
    const bool valid = first + (last ? row : 8 * piece) < count;
    copy_async(tile.at(row, 8 * piece), from + (valid ? row * stride + 8 * piece : 0), valid);
  });
}

// The way back.
template <class T, bool last>
SCA_DEVICE void drain(const Tile<T, last>& tile, const View& view, int64_t batch, int64_t head,
                      int pixels, int channels, int first, int count) {
  T* to = origin<T>(view, batch, head) + first * view.stride[2];
  const int64_t stride = view.stride[last ? 2 : 3];
  for_each_piece(last ? pixels : channels, (last ? channels : pixels) / 8, [&](int row, int piece) {
    if (first + (last ? row : 8 * piece) >= count) return;
    *reinterpret_cast<uint4*>(to + row * stride + 8 * piece) =
        *reinterpret_cast<const uint4*>(tile.at(row, 8 * piece));
  });
}

}  // namespace sca
