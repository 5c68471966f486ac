// SPDX-License-Identifier: Apache-2.0
// Latents read pixels, forward: a softmax over the pixels of a label, piece by piece, then the
// pieces of a label together.
#pragma once

#include <sca_cuda/gather.cuh>
#include <sca_cuda/warp.cuh>

namespace sca {

constexpr int WIDE = 4;  // blocks of 16 channels whose sums a warp holds: 4 warps, 256 channels

template <class T>
struct AttentionExtras {
  Slots slots[2];
  T weights[MAX_PIXELS][8], score_gradients[MAX_PIXELS][8];
  float of_warps[4][8];
};

// The tiles of a block: what is compared with tokens, and what else pixels own, if anything.
template <class T, bool last>
SCA_DEVICE Tile<T, last> tile_of(const AttentionParams& p, int pixels, int stage, int which) {
  const int tiles = 1 + (p.z.data != nullptr);
  const int place = stage * tiles + (which < tiles ? which : tiles - 1);
  const int bytes = Tile<T, last>::bytes(pixels, p.channels);
  return Tile<T, last>(shared_memory() + place * bytes, pixels, p.channels);
}

template <class T, bool last>
SCA_DEVICE void fill_tiles(const AttentionParams& p, int pixels, int stage, int64_t batch,
                           int head, const Slots& slots) {
  fill(tile_of<T, last>(p, pixels, stage, 0), p.x, batch, head, pixels, p.channels, slots);
  if (p.z.data)
    fill(tile_of<T, last>(p, pixels, stage, 1), p.z, batch, head, pixels, p.channels, slots);
}

// A word of two tokens' weights for each of a lane's two pixels.
template <class T>
SCA_DEVICE void share_weights(T (&shared)[MAX_PIXELS][8], int warp, const float (&w)[4]) {
  const int lane = thread() & 31, row = 16 * warp + (lane >> 2);
#pragma unroll
  for (int r = 0; r < 2; ++r)
    *reinterpret_cast<uint32_t*>(&shared[row + 8 * r][2 * (lane & 3)]) =
        pack2<T>(w[2 * r], w[2 * r + 1]);
}

// One piece of a label's pixels. A partial row: channels of the sum, its maximum, its weight.
// grid: pieces, batch * heads of the pixels.
template <class T, bool last>
SCA_KERNEL(128, 4) latents_read(SCA_PARAMS(GatherParams<AttentionParams>) g) {
  const AttentionParams& p = g.params;
  const int64_t batch = block_y() / p.heads;
  const int head = block_y() % p.heads, warp = thread() >> 5, lane = thread() & 31;
  const int32_t* piece = p.plan.pieces + (batch * p.plan.count + block_x()) * 5;
  const int first = piece[2], end_token = piece[3], width = p.channels + 2;
  if (piece[0] >= piece[1]) return;
  const int tiles = 1 + (p.z.data != nullptr);
  auto& extras = *reinterpret_cast<AttentionExtras<T>*>(
      shared_memory() + g.stages * tiles * Tile<T, last>::bytes(g.pixels, p.channels));
  const int per_head = p.tokens.heads / p.heads;
  for (int token_head = head * per_head; token_head < (head + 1) * per_head; ++token_head) {
    for (int at = first; at < end_token; at += 8) {
      const Unit unit = {token_head, at, end_token - at < 8 ? end_token - at : 8};
      const Rows<T> queries(p.tokens, batch, unit, 0, p.channels);
      float acc[WIDE][4] = {}, top[2] = {-infinity(), -infinity()}, sum[2] = {0, 0};
      const auto work = [&](int stage) {
        const Tile<T, last> x = tile_of<T, last>(p, g.pixels, stage, 0);
        const Tile<T, last> z = tile_of<T, last>(p, g.pixels, stage, 1);
        const Slots& slots = extras.slots[stage];
        float s[4] = {-infinity(), -infinity(), -infinity(), -infinity()};
        if (16 * warp < g.pixels) {
#pragma unroll
          for (int i = 0; i < 4; ++i) s[i] = 0;
          multiply_rows(s, x, 16 * warp, queries, p.channels);
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            const bool there = slots.pixel[16 * warp + 8 * (i >> 1) + (lane >> 2)] >= 0;
            s[i] = there ? product(s[i], p.scale) : -infinity();
          }
        }
        float highest[2];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          highest[i] = s[i] > s[2 + i] ? s[i] : s[2 + i];
          for (int step = 4; step < 32; step *= 2) {
            const float other = shuffle_xor(highest[i], step);
            highest[i] = highest[i] > other ? highest[i] : other;
          }
          if (lane < 4) extras.of_warps[warp][2 * lane + i] = highest[i];
        }
        sync_block();
        float factor[2];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float now = top[i];
          for (int other = 0; other < 4; ++other) {
            const float of_warp = extras.of_warps[other][2 * (lane & 3) + i];
            now = now > of_warp ? now : of_warp;
          }
          factor[i] = exp(top[i] - now);
          top[i] = now;
          sum[i] *= factor[i];
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          s[i] = exp(s[i] - top[i & 1]);
          sum[i & 1] += s[i];
        }
        if (16 * warp < g.pixels) share_weights(extras.weights, warp, s);
        sync_block();
#pragma unroll
        for (int k = 0; k < WIDE; ++k) {
          const int c = 16 * (warp + 4 * k);
          if (c >= p.channels) continue;
#pragma unroll
          for (int i = 0; i < 4; ++i) acc[k][i] *= factor[i & 1];
          for (int from = 0; from < g.pixels; from += 16) {
            uint32_t a[4], b[4];
            load_matrices<true>(b, shared_address(extras.weights[from + (lane & 15)]));
            z.channels_by_pixels(a, c, from);
            mma16<T>(acc[k], a, b[0], b[1]);
          }
        }
      };
      for_each_tile<last>(
          extras.slots, p.plan.order + batch * p.pixels, piece[0], piece[1], g.pixels, g.stages,
          [&](int stage) {
            fill_tiles<T, last>(p, g.pixels, stage, batch, head, extras.slots[stage]);
          },
          work);
      float* rows = p.partials + ((batch * p.tokens.heads + token_head) * p.plan.rows + piece[4] +
                                  at - first) * width;
#pragma unroll
      for (int k = 0; k < WIDE; ++k) {
        const int c = 16 * (warp + 4 * k);
        if (c >= p.channels) continue;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int token = 2 * (lane & 3) + (i & 1);
          if (token < unit.count) rows[token * width + c + 8 * (i >> 1) + (lane >> 2)] = acc[k][i];
        }
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        for (int step = 4; step < 32; step *= 2) sum[i] += shuffle_xor(sum[i], step);
        if (lane < 4) extras.of_warps[warp][2 * lane + i] = sum[i];
      }
      sync_block();
      if (warp == 0 && lane < 4) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          if (2 * lane + i >= unit.count) continue;
          float total = 0;
          for (int other = 0; other < 4; ++other) total += extras.of_warps[other][2 * lane + i];
          rows[(2 * lane + i) * width + p.channels] = top[i];
          rows[(2 * lane + i) * width + p.channels + 1] = total;
        }
      }
      sync_block();
    }
  }
}

// grid: tokens, token heads, batch.
template <class T>
SCA_KERNEL(128, 1) combine_latents(SCA_PARAMS(AttentionParams) p) {
  const int64_t batch = block_z(), head = block_y(), place = block_x();
  const int32_t* span = p.plan.spans + (batch * p.tokens.count + place) * 3;
  const int width = p.channels + 2;
  const int64_t token = p.tokens.sources[batch * p.tokens.count + place];
  const int64_t step = static_cast<int64_t>(span[1]) * width;
  const float* rows =
      p.partials + ((batch * p.tokens.heads + head) * p.plan.rows + span[0]) * width;
  float top = -infinity(), weight = 0;
  for (int k = 0; k < span[2]; ++k) {
    const float other = rows[k * step + p.channels];
    top = top > other ? top : other;
  }
  for (int k = 0; k < span[2]; ++k)
    weight += rows[k * step + p.channels + 1] * exp(rows[k * step + p.channels] - top);
  const View& view = p.token_out[0];
  T* to = origin<T>(view, batch, head) + token * view.stride[2];
  for (int channel = thread(); channel < p.channels; channel += threads()) {
    float sum = 0;
    for (int k = 0; k < span[2]; ++k)
      sum += rows[k * step + channel] * exp(rows[k * step + p.channels] - top);
    to[channel * view.stride[3]] = from_float<T>(span[2] ? sum / weight : 0.0f);
  }
  if (thread() == 0) {
    const int64_t at = (batch * p.tokens.heads + head) * p.tokens.count + token;
    const Logs logs = span[2] ? log_of_sum(top, weight) : no_logs();
    p.lse[at] = logs.lse;
    p.lse_rest[at] = logs.rest;
  }
}

}  // namespace sca
