// SPDX-License-Identifier: Apache-2.0
// Modulation, backward, tokens' side: sums over the pixels of a label, in two stages.
#pragma once

#include <sca_cuda/gather.cuh>
#include <sca_cuda/modulation_gradient.cuh>

namespace sca {

constexpr int HELD = 2;             // blocks of 16 channels whose sums a warp holds in registers
constexpr int SLICE = 4 * HELD * 16;  // channels of a block's four warps

// Shared memory of a block, from its start: stages of tiles, then what follows.
template <class T>
struct GatherExtras {
  Slots slots[2];
  // What rounding leaves of weights counts: the instance norm's means come from their sums.
  T weights[MAX_PIXELS][8], residues[MAX_PIXELS][8], score_gradients[MAX_PIXELS][8];
  T noise[MAX_PIXELS];
  float bias[4][8];
};

// One block sums one piece of a label's pixels. grid: pieces, batch, channels / SLICE.
template <class T, bool last>
struct TokenGradients {
  const ModulationParams& p;
  GatherExtras<T>& extras;
  int pixels, stages;
  int64_t batch;
  int begin, end, first, end_token, partial_row;
  int warp = thread() >> 5, lane = thread() & 31;
  float keys[HELD][4], gamma[HELD][4], beta[HELD][4], noise[HELD][4];  // 16 channels x 8 tokens
  float bias[2];

  SCA_DEVICE Tile<T, last> tile(int stage, int which) const {
    const int tiles = 2 + (p.position.data != nullptr);
    const int bytes = Tile<T, last>::bytes(pixels, p.channels);
    return Tile<T, last>(shared_memory() + (stage * tiles + which) * bytes, pixels, p.channels);
  }

  SCA_DEVICE void fill_stage(int stage) const {
    const Slots& slots = extras.slots[stage];
    fill(tile(stage, 0), p.x, batch, 0, pixels, p.channels, slots);
    fill(tile(stage, 1), p.grad_y, batch, 0, pixels, p.channels, slots);
    if (p.position.data) fill(tile(stage, 2), p.position, 0, 0, pixels, p.channels, slots);
  }

  // Probabilities and gradients of the scores of one unit, for 16 pixels of a warp.
  SCA_DEVICE void look(int stage, const Unit& unit) {
    const Slots& slots = extras.slots[stage];
    const int row = 16 * warp + (lane >> 2);
    const Tile<T, last> gradient = tile(stage, 1);
    Visibility<T, last> visible(p.tokens, p.channels, 1.0f, tile(stage, 0), tile(stage, 2),
                                p.position.data, batch, 16 * warp, 0, p.tokens.heads);
    visible.set_logs(p, batch * p.tokens.heads, slots.pixel);
    const bool there = slots.pixel[16 * warp + (lane & 15)] >= 0;
    visible.set_range(there ? Range{first, end_token} : Range{0, 0});
    visible.single = p.tokens.heads == 1 && end_token - first <= 8;
    visible.recall();
    Lane<T, last> own;
#pragma unroll
    for (int i = 0; i < Axes<last>::PIXELS; ++i)
      own.set_pixel(i, p, batch, slots.pixel[16 * warp + Axes<last>::pixel(i)]);
    pass_activation(p, visible, own, gradient);

    float w[4] = {0, 0, 0, 0}, d[4] = {0, 0, 0, 0};
    if (unit.count > 0) {
      float sum[2];
      products_of_head(sum, w, d, p, visible, gradient, unit, first, end_token);
      score_gradients(d, w, sum);
    } else if ((lane & 3) == 0) {  // pixels that see nothing: as one token that all of them see
      w[0] = visible.own[0] < 0 ? 0.0f : 1.0f;
      w[2] = visible.own[1] < 0 ? 0.0f : 1.0f;
    }
    const Weights weights = split_weights<T>(w);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int token = 2 * (lane & 3);
      *reinterpret_cast<uint32_t*>(&extras.weights[row + 8 * r][token]) = weights.word[r];
      *reinterpret_cast<uint32_t*>(&extras.residues[row + 8 * r][token]) = weights.word[2 + r];
      *reinterpret_cast<uint32_t*>(&extras.score_gradients[row + 8 * r][token]) =
          pack2<T>(d[2 * r], d[2 * r + 1]);
      bias[0] += d[2 * r];
      bias[1] += d[2 * r + 1];
    }
    if (lane < 16) {
      const int pixel = slots.pixel[16 * warp + lane];
      const bool noisy = p.noise.data && pixel >= 0;
      extras.noise[16 * warp + lane] =
          noisy ? load(origin<T>(p.noise, batch, 0) + pixel * p.noise.stride[2])
                : from_float<T>(0.0f);
    }
  }

  // Sums of the tile, for this warp's channels.
  SCA_DEVICE void add(int stage) {
    const Tile<T, last> x = tile(stage, 0), gradient = tile(stage, 1), position = tile(stage, 2);
#pragma unroll
    for (int k = 0; k < HELD; ++k) {
      const int c = channel_of(k);
      if (c >= p.channels) continue;
      float mean[2], rstd[2];
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        mean[r] = load(p.mean + batch * p.channels + c + 8 * r + (lane >> 2));
        rstd[r] = load(p.rstd + batch * p.channels + c + 8 * r + (lane >> 2));
      }
      for (int at = 0; at < pixels; at += 16) {
        uint32_t weights[4], residues[4], a[4], g[4];
        const int slot = at + (lane & 15);
        load_matrices<true>(residues, extras.residues[slot]);
        load_matrices<true>(weights,
                            lane < 16 ? extras.weights[slot] : extras.score_gradients[slot]);
        gradient.channels_by_pixels(g, c, at);
        mma16<T>(beta[k], g, weights[0], weights[1]);
        mma16<T>(beta[k], g, residues[0], residues[1]);
        if (p.noise.data) {
          const uint32_t* words = reinterpret_cast<const uint32_t*>(extras.noise + at);
          const bool column = lane >> 2 == 0;
          mma16<T>(noise[k], g, column ? words[lane & 3] : 0u, column ? words[4 + (lane & 3)] : 0u);
        }
        if (p.position.data) {
          position.channels_by_pixels(a, c, at);
          mma16<T>(keys[k], a, weights[2], weights[3]);
        }
        x.channels_by_pixels(a, c, at);
        mma16<T>(keys[k], a, weights[2], weights[3]);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const Pair value = unpack2<T>(a[i]), upper = unpack2<T>(g[i]);
          a[i] = pack2<T>(upper.low * (value.low - mean[i & 1]) * rstd[i & 1],
                          upper.high * (value.high - mean[i & 1]) * rstd[i & 1]);
        }
        mma16<T>(gamma[k], a, weights[0], weights[1]);
        mma16<T>(gamma[k], a, residues[0], residues[1]);
      }
    }
  }

  SCA_DEVICE int channel_of(int k) const { return block_z() * SLICE + 16 * (warp + 4 * k); }

  // All pixels of the piece for one unit.
  SCA_DEVICE void sum(const Unit& unit) {
    clear(keys);
    clear(gamma);
    clear(beta);
    clear(noise);
    bias[0] = bias[1] = 0;
    for_each_tile<last>(
        extras.slots, p.plan.order + batch * p.pixels, begin, end, pixels, stages,
        [&](int stage) { fill_stage(stage); },
        [&](int stage) {
          if (16 * warp < pixels) look(stage, unit);
          sync_block();
          add(stage);
        });
  }

  SCA_DEVICE void store(const Unit& unit) {
    for (int step = 4; step < 32; step *= 2) {
      bias[0] += shuffle_xor(bias[0], step);
      bias[1] += shuffle_xor(bias[1], step);
    }
    if (lane < 4) {
      extras.bias[warp][2 * lane] = bias[0];
      extras.bias[warp][2 * lane + 1] = bias[1];
    }
    sync_block();
    const int width = 3 * p.channels + 1;
    float* rows = p.partials +
                  ((batch * p.tokens.heads + unit.head) * p.plan.rows + partial_row +
                   unit.first - first) * static_cast<int64_t>(width);
    if (thread() < unit.count && block_z() == 0) {
      float total = 0;
      for (int other = 0; other < 4; ++other) total += extras.bias[other][thread()];
      rows[thread() * width + 3 * p.channels] = total;
    }
    float* own = p.piece_partials +
                 (batch * p.plan.count + block_x()) * static_cast<int64_t>(3 * p.channels);
#pragma unroll
    for (int k = 0; k < HELD; ++k) {
      if (channel_of(k) >= p.channels) continue;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int channel = channel_of(k) + 8 * (i >> 1) + (lane >> 2);
        const int token = 2 * (lane & 3) + (i & 1);
        if (token < unit.count) {
          rows[token * width + channel] = keys[k][i];
          rows[token * width + p.channels + channel] = gamma[k][i];
          rows[token * width + 2 * p.channels + channel] = beta[k][i];
        }
        if (token == 0 && unit.head == 0 && unit.first == first) own[channel] = noise[k][i];
        if (token == 0 && unit.count == 0) {
          own[p.channels + channel] = gamma[k][i];
          own[2 * p.channels + channel] = beta[k][i];
        }
      }
    }
    sync_block();
  }

 private:
  static SCA_DEVICE void clear(float (&block)[HELD][4]) {
#pragma unroll
    for (int k = 0; k < HELD; ++k)
#pragma unroll
      for (int i = 0; i < 4; ++i) block[k][i] = 0;
  }
};

template <class T, bool last>
SCA_KERNEL(128, 3) modulation_gradient_of_tokens(SCA_PARAMS(GatherParams<ModulationParams>) g) {
  const ModulationParams& p = g.params;
  const int32_t* piece = p.plan.pieces + (static_cast<int64_t>(block_y()) * p.plan.count + block_x()) * 5;
  if (piece[0] >= piece[1]) return;
  const int tiles = 2 + (p.position.data != nullptr);
  char* extras = shared_memory() + g.stages * tiles * Tile<T, last>::bytes(g.pixels, p.channels);
  TokenGradients<T, last> work{p, *reinterpret_cast<GatherExtras<T>*>(extras), g.pixels, g.stages,
                               block_y(), piece[0], piece[1], piece[2], piece[3], piece[4]};
  // Pixels that see nothing are summed once, for no token.
  const bool blind = work.first == work.end_token;
  for (int head = 0; head < (blind ? 1 : p.tokens.heads); ++head) {
    for (int at = work.first; at < work.end_token + blind; at += 8) {
      const int rest = work.end_token - at;
      const Unit unit = {head, at, rest < 8 ? rest : 8};
      work.sum(unit);
      work.store(unit);
    }
  }
}

}  // namespace sca
