// SPDX-License-Identifier: Apache-2.0
// Tiles of pixels of one label, gathered through the order of a plan. Slot s of a tile holds pixel
// slots[s], or nothing (-1): zeros, or what others own (`fill_whole`). Where channels come last any pixel fits any slot. Where they
// come first memory is read 16 bytes, an octet of pixels, at a time: slots 8 o ... 8 o + 7 are an
// octet of the image, in which pixels of other labels leave gaps.
#pragma once

#include <sca_cuda/tile.cuh>

namespace sca {

constexpr int MAX_PIXELS = 64;

// A kernel's parameters and how its blocks are cut: pixels of a tile, tiles under way.
template <class Params>
struct GatherParams {
  Params params;
  int pixels, stages;
};

struct Slots {
  int pixel[MAX_PIXELS];
  int octet[MAX_PIXELS / 8];  // its first pixel
  int live[MAX_PIXELS / 8];   // which of its slots hold a pixel
  uint4 masks[MAX_PIXELS / 8];  // ones where they do
  int next;                   // place in the order where the next tile begins
  int unused[3];

  // Whether any of slots `first` ... + 15 holds a pixel.
  SCA_DEVICE bool live_in(int first) const { return live[first / 8] | live[first / 8 + 1]; }
};

SCA_DEVICE uint32_t halves(int live, int which) {
  return (live >> which & 1 ? 0xffffu : 0u) | (live >> which & 2 ? 0xffff0000u : 0u);
}

// One warp fills the table with what comes from place `begin` of the order on.
template <bool last>
SCA_DEVICE void choose_slots(Slots& slots, const int32_t* order, int begin, int end, int pixels) {
  const int lane = thread() & 31;
#pragma unroll
  for (int half = 0; half < 2; ++half)
    if (32 * half + lane < pixels) slots.pixel[32 * half + lane] = -1;
  if (lane < pixels / 8) slots.octet[lane] = -1;
  sync_warp();
  int pixel[2], rank[2], taken = 0, before = -8, ranks = 0;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int place = begin + 32 * half + lane;
    const bool valid = place < end && 32 * half + lane < pixels;
    pixel[half] = valid ? load(order + place) : -1;
    if constexpr (last) {
      rank[half] = 0;
    } else {
      const int left = shuffle(pixel[half], (lane - 1) & 31);
      const bool opens = valid && (lane == 0 ? before : left) >> 3 != pixel[half] >> 3;
      const uint32_t openings = ballot(opens);
      rank[half] = ranks + count_bits(openings & ((2u << lane) - 1)) - 1;
      ranks += count_bits(openings);
      before = shuffle(pixel[half], 31);
    }
    const bool accepted = valid && rank[half] < pixels / 8;
    taken += count_bits(ballot(accepted));
    if (accepted) {
      const int slot = last ? 32 * half + lane : 8 * rank[half] + (pixel[half] & 7);
      slots.pixel[slot] = pixel[half];
      if (!last) slots.octet[rank[half]] = pixel[half] & ~7;
    }
  }
  if (lane == 0) slots.next = begin + taken;
  sync_warp();
  if (lane < pixels / 8) {
    int live = 0;
    for (int i = 0; i < 8; ++i) live |= (slots.pixel[8 * lane + i] >= 0) << i;
    slots.live[lane] = live;
    slots.masks[lane] = {halves(live, 0), halves(live, 2), halves(live, 4), halves(live, 6)};
  }
}

SCA_DEVICE void copy_masked(char* to, const void* address, const uint4& mask) {
  const uint4 words = load(static_cast<const uint4*>(address));
  *reinterpret_cast<uint4*>(to) = {words.x & mask.x, words.y & mask.y, words.z & mask.z,
                                   words.w & mask.w};
}

// Start copying the pixels of a table into a tile. Octets with gaps are masked on the way, so
// that nothing of other labels comes in.
template <class T, bool last>
SCA_DEVICE void fill(const Tile<T, last>& tile, const View& view, int64_t batch, int64_t head,
                     int pixels, int channels, const Slots& slots) {
  const T* from = origin<T>(view, batch, head);
  const int row_pieces = (last ? channels : pixels) / 8;
  const int stride = static_cast<int>(view.stride[last ? 2 : 3]);
  const Share<last> share(row_pieces);
  for_each_piece(share, row_pieces, [&](int piece) {
    if constexpr (last) {
      const T* column = from + 8 * piece;
      char* to = tile.at(share.first, 8 * piece);
#pragma unroll 4
      for (int row = share.first; row < pixels; row += share.step) {
        const int pixel = slots.pixel[row];
        const int64_t offset = static_cast<int64_t>(pixel < 0 ? 0 : pixel) * stride;
        copy_async(to, column + offset, pixel >= 0);
        to += share.step * tile.pitch;
      }
    } else {
      const int pixel = slots.octet[piece], live = slots.live[piece];
      const T* column = from + (pixel < 0 ? 0 : pixel);
      if (pixel < 0 || live == 0xff) {
        for_each_row(tile, share, piece, channels, column, stride,
                     [&](char* at, const T* address) { copy_async(at, address, pixel >= 0); });
      } else {
        const uint4 mask = slots.masks[piece];
        for_each_row(tile, share, piece, channels, column, stride,
                     [&](char* at, const T* address) { copy_masked(at, address, mask); });
      }
    }
  });
}

// Start copying the pixels of several tables at once into tiles one behind the other, as they are:
// gaps of octets hold what pixels of other labels own. views[0] ... [count - 1]: without heads.
template <class T, bool last, int most>
SCA_DEVICE void fill_whole(const Tile<T, last>& tile, const View* const (&views)[most], int count,
                           int64_t batch, int pixels, int channels, const Slots& slots) {
  const int row_pieces = (last ? channels : pixels) / 8, rows = last ? pixels : channels;
  const int tile_bytes = Tile<T, last>::bytes(pixels, channels);
  const Share<last> share(row_pieces);
  if (share.first >= share.step) return;
  const int octet = last ? 0 : slots.octet[share.piece];
  const T* from[most];
  int64_t step[most];
#pragma unroll
  for (int i = 0; i < most; ++i) {
    const int stride = static_cast<int>(views[i]->stride[last ? 2 : 3]);
    from[i] = origin<T>(*views[i], batch, 0);
    if constexpr (last) {
      from[i] += 8 * share.piece;
      step[i] = stride;
    } else {
      from[i] += static_cast<int64_t>(share.first) * stride + (octet < 0 ? 0 : octet);
      step[i] = static_cast<int64_t>(share.step) * stride;
    }
  }
  char* at = tile.at(share.first, 8 * share.piece);
#pragma unroll 1
  for (int row = share.first; row < rows; row += share.step) {
    const int pixel = last ? slots.pixel[row] : 0;
#pragma unroll
    for (int i = 0; i < most; ++i) {
      if (i >= count) continue;
      if constexpr (last) {
        const int64_t offset = (pixel < 0 ? 0 : pixel) * step[i];
        copy_async(at + i * tile_bytes, from[i] + offset, pixel >= 0);
      } else {
        copy_async(at + i * tile_bytes, from[i]);
        from[i] += step[i];
      }
    }
    at += share.step * tile.pitch;
  }
}

// Calls fill(stage), then work(stage) for one tile after another of places begin ... end, of which
// there are some; with two stages the next tile is on its way while one is worked on.
template <bool last, class Fill, class Work>
SCA_DEVICE void for_each_tile(Slots* slots, const int32_t* order, int begin, int end,
                              int pixels, int stages, Fill fill, Work work) {
  bool coming = false;  // a tile of the turn before
  int at = begin, turn = 0;
  do {
    const bool more = at < end;
    if (more) {
      Slots& chosen = slots[stages == 2 ? turn & 1 : 0];
      if (thread() < 32) choose_slots<last>(chosen, order, at, end, pixels);
      sync_block();
      fill(stages == 2 ? turn & 1 : 0);
      commit_copies();
      at = chosen.next;
    }
    if (coming || stages == 1) {
      if (more && stages == 2) {
        wait_copies<1>();
      } else {
        wait_copies<0>();
      }
      sync_block();
      work(stages == 2 ? ~turn & 1 : 0);
      sync_block();
    }
    coming = more;
    ++turn;
  } while (stages == 2 ? coming : at < end);
}

SCA_DEVICE void drain_masked(void* address, const char* from, int live) {
  const uint4 words = *reinterpret_cast<const uint4*>(from);
  const uint32_t word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
  for (int i = 0; i < 8; ++i)
    if (live >> i & 1)
      static_cast<uint16_t*>(address)[i] = static_cast<uint16_t>(word[i / 2] >> 16 * (i & 1));
}

// The way back: writes the pixels of the table and no others.
template <class T, bool last>
SCA_DEVICE void drain(const Tile<T, last>& tile, const View& view, int64_t batch, int64_t head,
                      int pixels, int channels, const Slots& slots) {
  T* to = origin<T>(view, batch, head);
  const int row_pieces = (last ? channels : pixels) / 8;
  const int stride = static_cast<int>(view.stride[last ? 2 : 3]);
  const Share<last> share(row_pieces);
  for_each_piece(share, row_pieces, [&](int piece) {
    if constexpr (last) {
      T* column = to + 8 * piece;
      const char* from = tile.at(share.first, 8 * piece);
#pragma unroll 4
      for (int row = share.first; row < pixels; row += share.step) {
        if (const int pixel = slots.pixel[row]; pixel >= 0)
          *reinterpret_cast<uint4*>(column + static_cast<int64_t>(pixel) * stride) =
              *reinterpret_cast<const uint4*>(from);
        from += share.step * tile.pitch;
      }
    } else {
      const int pixel = slots.octet[piece], live = slots.live[piece];
      if (pixel < 0) return;
      const auto move = [&](const char* at, T* address) {
        if (live == 0xff) {
          *reinterpret_cast<uint4*>(address) = *reinterpret_cast<const uint4*>(at);
        } else {
          drain_masked(address, at, live);
        }
      };
      for_each_row(tile, share, piece, channels, to + pixel, stride, move);
    }
  });
}

}  // namespace sca
