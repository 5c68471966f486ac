// SPDX-License-Identifier: Apache-2.0
// The tokens that a warp's 16 pixels see, and with what probabilities.
#pragma once

#include <sca_cuda/warp.cuh>

namespace sca {

template <class T, bool last>
struct Visibility {
  const Tokens& tokens;
  int channels;
  float scale;               // of the scores
  Tile<T, last> x, position;  // what is compared with keys; the latter if `positioned`
  bool positioned;
  int64_t batch;
  int tile_pixel;            // of the warp's first pixel, in the tile
  int first_head, end_head;  // of the tokens
  float *lse, *lse_rest;     // (rows, pixels)
  int64_t row;               // of first_head
  int pixels, own[2];        // of a row; pixels group and group + 8, -1: none
  Range range;               // of pixel lane % 16
  uint32_t blind;            // pixels that see nothing
  bool single;               // all see one unit at most: `weights` are its probabilities
  float weights[4];

  SCA_DEVICE Visibility(const Tokens& tokens, int channels, float scale, const Tile<T, last>& x,
                        const Tile<T, last>& position, bool positioned, int64_t batch,
                        int tile_pixel, int first_head, int end_head)
      : tokens(tokens), channels(channels), scale(scale), x(x), position(position),
        positioned(positioned), batch(batch), tile_pixel(tile_pixel), first_head(first_head),
        end_head(end_head) {}

  // Of adjacent pixels, from `first` on; `row`: of first_head, among all heads.
  template <class Params>
  SCA_DEVICE void set_logs(const Params& p, int64_t row, int first) {
    for (int r = 0; r < 2; ++r) {
      const int pixel = first + 8 * r + ((thread() & 31) >> 2);
      own[r] = pixel < p.pixels ? pixel : -1;
    }
    set_logs(p, row);
  }

  // Of a warp's pixels in a table.
  template <class Params>
  SCA_DEVICE void set_logs(const Params& p, int64_t row, const int (&pixels)[64]) {
    for (int r = 0; r < 2; ++r) own[r] = pixels[tile_pixel + 8 * r + ((thread() & 31) >> 2)];
    set_logs(p, row);
  }

  template <class Params>
  SCA_DEVICE void set_logs(const Params& p, int64_t of_first_head) {
    lse = p.lse;
    lse_rest = p.lse_rest;
    pixels = p.pixels;
    row = of_first_head;
  }

  SCA_DEVICE Logs logs_at(int r, int head) const {
    const int64_t at = (row + head - first_head) * pixels + (own[r] < 0 ? 0 : own[r]);
    return {own[r] < 0 ? infinity() : lse[at], lse_rest[at]};  // infinite: weights of 0
  }

  SCA_DEVICE void set_logs_at(int r, int head, const Logs& logs) const {
    if (own[r] < 0 || (thread() & 3) != 0) return;
    const int64_t at = (row + head - first_head) * pixels + own[r];
    lse[at] = logs.lse;
    lse_rest[at] = logs.rest;
  }

  SCA_DEVICE void set_range(const Range& mine) {
    range = mine;
    blind = ~ballot(mine.first < mine.last) & ALL;
    single = end_head - first_head == 1 && !ballot(mine.last - mine.first > 8);
#pragma unroll
    for (int i = 0; i < 4; ++i) weights[i] = 0;
  }

  SCA_DEVICE void score(float (&s)[4], const Unit& unit) const {
    const Rows<T> keys(tokens, batch, unit, 0, channels);
#pragma unroll
    for (int i = 0; i < 4; ++i) s[i] = 0;
    Tile<T, last> tile = x;
    for (int left = positioned; left >= 0; --left) {
      multiply_rows(s, tile, tile_pixel, keys, channels);
      tile = position;
    }
    finish_scores(s, unit, scale, scalars_of(tokens, batch, unit, 0));
  }

  // Probabilities of a unit from the logs that the forward pass left.
  SCA_DEVICE void probabilities(float (&w)[4], const Unit& unit) const {
    if (single) {
#pragma unroll
      for (int i = 0; i < 4; ++i) w[i] = weights[i];
      return;
    }
    recompute(w, unit);
  }

  SCA_DEVICE void recompute(float (&w)[4], const Unit& unit) const {
    score(w, unit);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const Logs logs = logs_at(r, unit.head);
      w[2 * r] = weight_of(w[2 * r], logs);
      w[2 * r + 1] = weight_of(w[2 * r + 1], logs);
    }
  }

  SCA_DEVICE void remember(const float (&w)[4], uint32_t members) {
#pragma unroll
    for (int i = 0; i < 4; ++i)
      if (row_in(members, i >> 1)) weights[i] = w[i];
  }

  // For backward passes: the probabilities of the forward pass, where they are few.
  SCA_DEVICE void recall() {
    if (!single) return;
    for_each_range(range, [&](int first, int end, uint32_t members) {
      float w[4];
      recompute(w, Unit{first_head, first, end - first});
      remember(w, members);
    });
  }

  template <class Work>
  SCA_DEVICE void for_each(Work work) const {
    for_each_range(range, [&](int first, int end, uint32_t members) {
      for (int head = first_head; head < end_head; ++head)
        for_each_unit(head, first, end, [&](const Unit& unit) { work(unit, members); });
    });
  }

  // The forward pass: the logs of the sums, and probabilities where they are few.
  SCA_DEVICE void attend() {
    for_each_range(range, [&](int first, int end, uint32_t members) {
      for (int head = first_head; head < end_head; ++head) {
        float top[2] = {-infinity(), -infinity()}, sum[2] = {0, 0}, s[4];
        for_each_unit(head, first, end, [&](const Unit& unit) {
          score(s, unit);
#pragma unroll
          for (int r = 0; r < 2; ++r) {
            const float highest = quad_max(s[2 * r] > s[2 * r + 1] ? s[2 * r] : s[2 * r + 1]);
            const float before = top[r];
            top[r] = before > highest ? before : highest;
            sum[r] = sum[r] * exp(before - top[r]) +
                     quad_sum(exp(s[2 * r] - top[r]) + exp(s[2 * r + 1] - top[r]));
          }
        });
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          const Logs logs = log_of_sum(top[r], sum[r]);
          s[2 * r] = weight_of(s[2 * r], logs);
          s[2 * r + 1] = weight_of(s[2 * r + 1], logs);
          if (row_in(members, r)) set_logs_at(r, head, logs);
        }
        if (single) remember(s, members);
      }
    });
    for (int head = first_head; head < end_head; ++head)
#pragma unroll
      for (int r = 0; r < 2; ++r)
        if (row_in(blind, r)) set_logs_at(r, head, no_logs());
    sync_warp();
  }
};

// Store a block past the tile, where the tile is still read. Slow, and rare. `pixels` names the
// pixel of each of the warp's 16 places, -1: none.
template <class T, bool last, class PixelAt>
SCA_DEVICE void store_block(const Block& block, const View& view, int64_t batch, int64_t head,
                            int c, PixelAt pixel_at) {
  using A = Axes<last>;
  T* to = origin<T>(view, batch, head);
#pragma unroll
  for (int e = 0; e < 2; ++e)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int64_t channel = c + A::channel(A::which_channel(i >> 1, e, i & 1));
      const int64_t pixel = pixel_at(A::pixel(A::which_pixel(i >> 1, e, i & 1)));
      if (pixel >= 0)
        to[pixel * view.stride[2] + channel * view.stride[3]] = from_float<T>(block.v[e][i]);
    }
}

}  // namespace sca
