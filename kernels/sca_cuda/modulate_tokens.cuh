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
  float mean[HELD][2], rstd[HELD][2];
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

  SCA_DEVICE bool single() const {
    return p.tokens.heads == 1 && first < end_token && end_token - first <= 8;
  }

  // Probabilities and gradients of the scores of a unit of several, or of no token: all pixels
  // that see nothing see one and the same.
  SCA_DEVICE void look_at_any(float (&w)[4], float (&d)[4], const Visibility<T, last>& visible,
                              const Noise& noise, const Tile<T, last>& gradient,
                              const Unit& unit) const {
    pass_all(p, visible, noise, gradient, ALL);
    if (unit.count > 0) {
      float sum[2];
      products_of_head(sum, w, d, p, visible, gradient, unit);
      score_gradients(d, w, sum);
      return;
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      w[i] = (lane & 3) == 0 && !(i & 1) ? 1.0f : 0.0f;
      d[i] = 0;
    }
  }

  // What `add` needs of a warp's 16 pixels and one unit.
  SCA_DEVICE void look(int stage, const Unit& unit) {
    const Slots& slots = extras.slots[stage];
    const auto pixel_at = [&](int i) { return slots.pixel[16 * warp + i]; };
    Visibility<T, last> visible{p.tokens, p.channels, 1.0f, tile(stage, 0), tile(stage, 2),
                                p.position.data != nullptr, batch, 16 * warp, 0, p.tokens.heads,
                                {first, end_token}};
    visible.set_logs(p, batch * p.tokens.heads, pixel_at);
    Noise noise;
    noise.set<T>(p, batch, pixel_at);
    float w[4], d[4];
    if (single()) {
      look_at_unit(w, d, p, visible, noise, tile(stage, 1));
      if (block_z() == 0) keep(w, d, visible);
    } else {
      look_at_any(w, d, visible, noise, tile(stage, 1), unit);
    }
    share(w, d, visible);
    if (lane < 16) {
      const int pixel = pixel_at(lane);
      const bool noisy = p.noise.data && pixel >= 0;
      extras.noise[16 * warp + lane] =
          noisy ? load(origin<T>(p.noise, batch, 0) + pixel * p.noise.stride[2])
                : from_float<T>(0.0f);
    }
  }

  // For the gradient of x.
  SCA_DEVICE void keep(const float (&w)[4], const float (&d)[4],
                       const Visibility<T, last>& visible) const {
    const int token = 2 * (lane & 3);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      if (visible.own[r] < 0) continue;
      float* kept = p.kept + (batch * p.pixels + visible.own[r]) * 16 + token;
      store_pair(kept, {w[2 * r], w[2 * r + 1]});
      store_pair(kept + 8, {d[2 * r], d[2 * r + 1]});
    }
  }

  SCA_DEVICE void share(float (&w)[4], float (&d)[4], const Visibility<T, last>& visible) {
    const int row = 16 * warp + (lane >> 2), token = 2 * (lane & 3);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const bool there = visible.own[i >> 1] >= 0;
      w[i] = there ? w[i] : 0.0f;
      d[i] = there ? d[i] : 0.0f;
      bias[i & 1] += d[i];
    }
    const Weights weights = split_weights<T>(w);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      *reinterpret_cast<uint32_t*>(&extras.weights[row + 8 * r][token]) = weights.word[r];
      *reinterpret_cast<uint32_t*>(&extras.residues[row + 8 * r][token]) = weights.word[2 + r];
      *reinterpret_cast<uint32_t*>(&extras.score_gradients[row + 8 * r][token]) =
          pack2<T>(d[2 * r], d[2 * r + 1]);
    }
  }

  // Sums of the tile, for this warp's channels.
  SCA_DEVICE void add(int stage) {
    const Tile<T, last> x = tile(stage, 0), gradient = tile(stage, 1), position = tile(stage, 2);
    for (int at = 0; at < pixels; at += 16) {
      if (!extras.slots[stage].live_in(at)) continue;
      uint32_t weights[4], residues[4];
      const int slot = at + (lane & 15);
      load_matrices<true>(residues, shared_address(extras.residues[slot]));
      const void* row = lane < 16 ? extras.weights[slot] : extras.score_gradients[slot];
      load_matrices<true>(weights, shared_address(row));
      const uint32_t* words = reinterpret_cast<const uint32_t*>(extras.noise + at) + (lane & 3);
      const bool column = lane >> 2 == 0;
      const uint32_t noises[2] = {column ? words[0] : 0u, column ? words[4] : 0u};
#pragma unroll
      for (int k = 0; k < HELD; ++k) {
        const int c = channel_of(k);
        if (c >= p.channels) continue;
        uint32_t a[4], g[4];
        gradient.channels_by_pixels(g, c, at);
        mma16<T>(beta[k], g, weights[0], weights[1]);
        mma16<T>(beta[k], g, residues[0], residues[1]);
        mma16<T>(noise[k], g, noises[0], noises[1]);
        if (p.position.data) {
          position.channels_by_pixels(a, c, at);
          mma16<T>(keys[k], a, weights[2], weights[3]);
        }
        x.channels_by_pixels(a, c, at);
        mma16<T>(keys[k], a, weights[2], weights[3]);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const Pair value = unpack2<T>(a[i]), upper = unpack2<T>(g[i]);
          const float factor = rstd[k][i & 1], centre = mean[k][i & 1];
          a[i] = pack2<T>(upper.low * ((value.low - centre) * factor),
                          upper.high * ((value.high - centre) * factor));
        }
        mma16<T>(gamma[k], a, weights[0], weights[1]);
        mma16<T>(gamma[k], a, residues[0], residues[1]);
      }
    }
  }

  SCA_DEVICE void set_channels() {
#pragma unroll
    for (int k = 0; k < HELD; ++k)
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const int channel = channel_of(k) + 8 * r + (lane >> 2);
        const int64_t at = batch * p.channels + (channel < p.channels ? channel : 0);
        rstd[k][r] = load(p.rstd + at);
        mean[k][r] = load(p.mean + at);
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
          if (16 * warp < pixels && extras.slots[stage].live_in(16 * warp)) look(stage, unit);
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
  const int64_t row = static_cast<int64_t>(block_y()) * p.plan.count + block_x();
  const int32_t* piece = p.plan.pieces + row * 5;
  if (piece[0] >= piece[1]) return;
  const int tiles = 2 + (p.position.data != nullptr);
  char* extras = shared_memory() + g.stages * tiles * Tile<T, last>::bytes(g.pixels, p.channels);
  TokenGradients<T, last> work{p, *reinterpret_cast<GatherExtras<T>*>(extras), g.pixels, g.stages,
                               block_y(), piece[0], piece[1], piece[2], piece[3], piece[4]};
  work.set_channels();
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
