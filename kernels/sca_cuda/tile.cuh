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

  // From 16 pixels and channel c on.
  SCA_DEVICE Reader<!last> reader(int pixel, int c = 0) const {
    const int lane = thread() & 31;
    if constexpr (last) return {shared_address(at(pixel + (lane & 15), c + (lane >> 4) * 8)), 32};
    return {shared_address(at(c + (lane & 7) + (lane >> 4) * 8, pixel + ((lane >> 3) & 1) * 8)),
            16 * pitch};
  }

  SCA_DEVICE Writer<!last> writer(int pixel, int c = 0) const {
    const int group = (thread() & 31) >> 2, pair = 2 * (thread() & 3);
    if constexpr (last) return {shared_address(at(pixel + group, c + pair)), 32, 8 * pitch};
    return {shared_address(at(c + group, pixel + pair)), 16 * pitch, 8 * pitch};
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

// The part of a thread in moving a tile, 16 bytes at a time: rows first, first + step, ... of one
// piece after another. Adjacent threads have adjacent pieces.
template <bool last>
struct Share {
  int wide, step, first, piece;

  SCA_DEVICE explicit Share(int row_pieces) {
    if constexpr (last) {
      wide = row_pieces < threads() ? row_pieces : threads();
      step = static_cast<unsigned>(threads()) / static_cast<unsigned>(wide);
      first = static_cast<unsigned>(thread()) / static_cast<unsigned>(wide);
    } else {  // octets of pixels: 2, 4 or 8
      wide = row_pieces;
      step = threads() >> lowest_bit(wide);
      first = thread() >> lowest_bit(wide);
    }
    piece = thread() - first * wide;
  }
};

// Calls work(piece) for the pieces of a thread.
template <bool last, class Work>
SCA_DEVICE void for_each_piece(const Share<last>& share, int row_pieces, Work work) {
  if (share.first >= share.step) return;
#pragma unroll 1
  for (int piece = share.piece; piece < row_pieces; piece += share.wide) work(piece);
}

// Calls work(at, address) for a thread's rows below `rows` of one piece: where they are in the
// tile, and in memory whose rows are `stride` apart and begin at `memory`.
template <class T, bool last, class V, class Work>
SCA_DEVICE void for_each_row(const Tile<T, last>& tile, const Share<last>& share, int piece,
                             int rows, V* memory, int stride, Work work) {
  char* at = tile.at(share.first, 8 * piece);
  V* address = memory + static_cast<int64_t>(share.first) * stride;
  const int step_at = share.step * tile.pitch;
  const int64_t step_address = static_cast<int64_t>(share.step) * stride;
#pragma unroll 4
  for (int row = share.first; row < rows; row += share.step) {
    work(at, address);
    at += step_at;
    address += step_address;
  }
}

}  // namespace sca
