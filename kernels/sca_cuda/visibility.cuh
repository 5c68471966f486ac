// SPDX-License-Identifier: Apache-2.0
// The tokens of one label that pixels of a warp see, and with what probabilities.
#pragma once

#include <sca_cuda/warp.cuh>

namespace sca {

template <class T, bool last>
struct Visibility {
  const Tokens& tokens;
  int channels;
  float scale;                // of the scores
  Tile<T, last> x, position;  // what is compared with keys; the latter if `positioned`
  bool positioned;
  int64_t batch;
  int tile_pixel;            // of the warp's first pixel, in the tile
  int first_head, end_head;  // of the tokens
  Range range;               // of the label's tokens; may be empty
  float *lse, *lse_rest;     // (rows, pixels)
  int64_t row;               // of first_head
  int pixels, own[2];        // of a row; pixels group and group + 8, -1: none

  // Where logs of first_head are, and which pixels the warp's 16 places hold.
  template <class Params, class PixelAt>
  SCA_DEVICE void set_logs(const Params& p, int64_t row_of_first_head, PixelAt pixel_at) {
    lse = p.lse;
    lse_rest = p.lse_rest;
    row = row_of_first_head;
    pixels = p.pixels;
#pragma unroll
    for (int r = 0; r < 2; ++r) own[r] = pixel_at(8 * r + ((thread() & 31) >> 2));
  }

  SCA_DEVICE Logs logs_at(int r, int head) const {
    const int64_t at = (row + head - first_head) * pixels + (own[r] < 0 ? 0 : own[r]);
    return {own[r] < 0 ? infinity() : lse[at], lse_rest[at]};  // infinite: weights of 0
  }

  SCA_DEVICE bool has_one_unit() const {
    return end_head - first_head == 1 && range.last - range.first <= 8 && range.first < range.last;
  }

  SCA_DEVICE Unit first_unit() const {
    const int count = range.last - range.first;
    return {first_head, range.first, count < 8 ? count : 8};
  }

  SCA_DEVICE void score(float (&s)[4], const Unit& unit) const {
    const Rows<T> keys(tokens, batch, unit, 0, channels);
#pragma unroll
    for (int i = 0; i < 4; ++i) s[i] = 0;
    if (positioned) {
      multiply_both(s, x, position, tile_pixel, keys, channels);
    } else {
      multiply_rows(s, x, tile_pixel, keys, channels);
    }
    finish_scores(s, unit, scale, scalars_of(tokens, batch, unit, 0));
  }

  // Probabilities where there is one unit, and the logs of their sums.
  SCA_DEVICE void attend_to_unit(float (&w)[4], Logs (&logs)[2]) const {
    score(w, first_unit());
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float top = quad_max(w[2 * r] > w[2 * r + 1] ? w[2 * r] : w[2 * r + 1]);
#pragma unroll
      for (int i = 0; i < 2; ++i) w[2 * r + i] = exp(w[2 * r + i] - top);
      const float sum = quad_sum(w[2 * r] + w[2 * r + 1]), factor = reciprocal(sum);
#pragma unroll
      for (int i = 0; i < 2; ++i) w[2 * r + i] *= factor;
      logs[r] = log_of_sum(top, sum);
    }
  }

  // Probabilities of any unit from the logs that the forward pass left.
  SCA_DEVICE void recompute(float (&w)[4], const Unit& unit) const {
    score(w, unit);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const Logs logs = logs_at(r, unit.head);
      w[2 * r] = weight_of(w[2 * r], logs);
      w[2 * r + 1] = weight_of(w[2 * r + 1], logs);
    }
  }

  // Calls work(unit) for all of all heads.
  template <class Work>
  SCA_DEVICE void for_each(Work work) const {
#pragma unroll 1
    for (int head = first_head; head < end_head; ++head)
      for_each_unit(head, range.first, range.last, work);
  }

  // Pixels that see nothing.
  SCA_DEVICE void store_no_logs() const {
    const Logs logs[2] = {no_logs(), no_logs()};
#pragma unroll 1
    for (int head = first_head; head < end_head; ++head) store_logs(head, logs);
  }

  SCA_DEVICE void store_logs(int head, const Logs (&logs)[2]) const {
    const int64_t first = (row + head - first_head) * pixels;
    const bool writes = (thread() & 3) == 0;
#pragma unroll
    for (int r = 0; r < 2; ++r)
      if (writes && own[r] >= 0) {
        lse[first + own[r]] = logs[r].lse;
        lse_rest[first + own[r]] = logs[r].rest;
      }
  }

  // The forward pass where there are several units: logs alone.
  SCA_DEVICE void attend_to_all() const {
#pragma unroll 1
    for (int head = first_head; head < end_head; ++head) {
      float top[2] = {-infinity(), -infinity()}, sum[2] = {0, 0}, s[4];
      for_each_unit(head, range.first, range.last, [&](const Unit& unit) {
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
      const Logs logs[2] = {log_of_sum(top[0], sum[0]), log_of_sum(top[1], sum[1])};
      store_logs(head, logs);
    }
    sync_warp();
  }
};

// Store a block past the tile, where the tile is still read. Slow, and rare.
// `pixel_at` names the pixel of each of the warp's 16 places, -1: none.
template <class T, class PixelAt>
SCA_DEVICE void store_block(const Block& block, const View& view, int64_t batch, int64_t head,
                            int c, PixelAt pixel_at) {
  T* to = origin<T>(view, batch, head);
  const int lane = thread() & 31;
#pragma unroll
  for (int e = 0; e < 2; ++e)
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int64_t channel = c + 8 * e + 2 * (lane & 3) + (i & 1);
      const int64_t pixel = pixel_at(8 * (i >> 1) + (lane >> 2));
      if (pixel >= 0)
        to[pixel * view.stride[2] + channel * view.stride[3]] = from_float<T>(block.v[e][i]);
    }
}

}  // namespace sca
