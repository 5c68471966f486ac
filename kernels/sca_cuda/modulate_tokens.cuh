// SPDX-License-Identifier: Apache-2.0
// Modulation, backward: one sweep over the pixels of a label, for the sums over them that make the
// tokens' gradients, and for the gradient of x without the norm's means.
#pragma once

#include <sca_cuda/gather.cuh>
#include <sca_cuda/modulate_pixels.cuh>

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

  // (heads, pixels of the tile), of labels of several units.
  SCA_DEVICE float* sums() { return reinterpret_cast<float*>(this + 1); }
};

// One block sums one piece of a label's pixels. grid: pieces, batch, channels / SLICE.
template <class T, bool last>
struct ModulationGradients {
  const ModulationParams& p;
  GatherExtras<T>& extras;
  int pixels, stages;
  int64_t batch;
  int begin, end, first, end_token, partial_row;
  int warp = thread() >> 5, lane = thread() & 31;
  float keys[HELD][4], gamma[HELD][4], beta[HELD][4], noise[HELD][4];  // 16 channels x 8 tokens
  float bias[2];
  Weights of_w, of_d;  // of the unit and the pixels looked at last

  // x, gradient, position; of pixels looked at: x + position, g, g * norm(x).
  SCA_DEVICE Tile<T, last> tile(int stage, int which) const {
    const int bytes = Tile<T, last>::bytes(pixels, p.channels);
    return Tile<T, last>(shared_memory() + (3 * stage + which) * bytes, pixels, p.channels);
  }

  SCA_DEVICE Range channels() const {
    const int first = block_z() * SLICE, rest = p.channels - first;
    return {first, first + (rest < SLICE ? rest : SLICE)};
  }

  SCA_DEVICE void fill_stage(int stage) const {
    const View* views[3] = {&p.x, &p.grad_y, &p.position};
    fill_whole(tile(stage, 0), views, 2 + (p.position.data != nullptr), batch, pixels, p.channels,
               extras.slots[stage]);
  }

  SCA_DEVICE bool single() const {
    return p.tokens.heads == 1 && first < end_token && end_token - first <= 8;
  }

  // Probabilities and gradients of the scores of a unit of several, or of no token: all pixels
  // that see nothing see one and the same. The gradient of x, once.
  SCA_DEVICE void look_at_any(float (&w)[4], float (&d)[4], const Visibility<T, last>& visible,
                              const Noise& noise, int stage, const Unit& unit) const {
    const Tile<T, last> gradient = tile(stage, 1);
    pass_all(p, visible, noise, gradient);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      w[i] = (lane & 3) == 0 && !(i & 1) ? 1.0f : 0.0f;
      d[i] = 0;
    }
    if (unit.count > 0) {
      float sum[2];
      products_of_head(sum, w, d, p, visible, gradient, unit);
      score_gradients(d, w, sum);
    }
    if (is_first(unit))
      input_gradient_of_all(p, visible, gradient, extras.sums(), pixels, channels(),
                            pixels_of_warp(stage));
    leave_operands(p, visible, gradient);
  }

  SCA_DEVICE bool is_first(const Unit& unit) const { return unit.head == 0 && unit.first == first; }

  SCA_DEVICE auto pixels_of_warp(int stage) const {
    return [&slots = extras.slots[stage], first = 16 * warp](int i) {
      return slots.pixel[first + i];
    };
  }

  SCA_DEVICE Visibility<T, last> seen_by_warp(int stage) const {
    Visibility<T, last> visible{p.tokens, p.channels, 1.0f, tile(stage, 0), tile(stage, 2),
                                p.position.data != nullptr, batch, 16 * warp, 0, p.tokens.heads,
                                {first, end_token}};
    visible.set_logs(p, batch * p.tokens.heads, pixels_of_warp(stage));
    return visible;
  }

  // What `add` and `finish` need of a warp's 16 pixels and one unit.
  SCA_DEVICE void look(int stage, const Unit& unit) {
    const auto pixel_at = pixels_of_warp(stage);
    const Visibility<T, last> visible = seen_by_warp(stage);
    Noise noise;
    noise.set<T>(p, batch, pixel_at);
    float d[4];
    if (single()) {
      look_at_unit(of_w, d, p, visible, noise, tile(stage, 1));
    } else {
      float w[4];
      look_at_any(w, d, visible, noise, stage, unit);
      of_w = split_weights<T>(w);
    }
    share(d, visible);
    for (int r = 0; r < 2; ++r)
      if ((lane & 3) == 0)
        extras.noise[16 * warp + 8 * r + (lane >> 2)] = from_float<T>(noise.of[r]);
  }

  SCA_DEVICE void share(float (&d)[4], const Visibility<T, last>& visible) {
    const int row = 16 * warp + (lane >> 2), token = 2 * (lane & 3);
    clear_others(of_w.word, visible.own);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      d[i] = visible.own[i >> 1] < 0 ? 0.0f : d[i];
      bias[i & 1] += d[i];
    }
    of_d = split_weights<T>(d);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      *reinterpret_cast<uint32_t*>(&extras.weights[row + 8 * r][token]) = of_w.word[r];
      *reinterpret_cast<uint32_t*>(&extras.residues[row + 8 * r][token]) = of_w.word[2 + r];
      *reinterpret_cast<uint32_t*>(&extras.score_gradients[row + 8 * r][token]) = of_d.word[r];
    }
  }

  // The gradient of x without means, in place of g * norm(x), once all is added up.
  SCA_DEVICE void finish(int stage, bool seeing) const {
    const Range own = channels();
    const Unit unit = {0, first, end_token - first};
    Tile<T, last> result = tile(stage, 2);
    sync_block();
    if (seeing)
      input_gradient_of_unit(p, batch, unit, tile(stage, 1), result, 16 * warp, of_w, of_d, own);
    sync_block();
    result.base = last ? result.at(0, own.first) : result.at(own.first, 0);
    View out = p.pixel_out;
    out.data = static_cast<T*>(out.data) + own.first * out.stride[3];
    drain(result, out, batch, 0, pixels, own.last - own.first, extras.slots[stage]);
  }

  // Sums of the tile, for this warp's channels.
  SCA_DEVICE void add(int stage) {
    const Tile<T, last> x = tile(stage, 0), gradient = tile(stage, 1), product = tile(stage, 2);
    const int end_channel = channels().last;
#pragma unroll 1
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
        if (c >= end_channel) continue;
        uint32_t a[4], g[4];
        gradient.channels_by_pixels(g, c, at);
        mma16<T>(beta[k], g, weights[0], weights[1]);
        mma16<T>(beta[k], g, residues[0], residues[1]);
        mma16<T>(noise[k], g, noises[0], noises[1]);
        x.channels_by_pixels(a, c, at);
        mma16<T>(keys[k], a, weights[2], weights[3]);
        product.channels_by_pixels(a, c, at);
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
          const bool seeing = 16 * warp < pixels && extras.slots[stage].live_in(16 * warp);
          if (seeing) look(stage, unit);
          sync_block();
          add(stage);
          if (single()) finish(stage, seeing);
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
        if (token == 0 && is_first(unit)) own[channel] = noise[k][i];
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
SCA_KERNEL(128, 3) modulation_gradients(SCA_PARAMS(GatherParams<ModulationParams>) g) {
  const ModulationParams& p = g.params;
  const int64_t row = static_cast<int64_t>(block_y()) * p.plan.count + block_x();
  const int32_t* piece = p.plan.pieces + row * 5;
  if (piece[0] >= piece[1]) return;
  const int bytes = 3 * g.stages * Tile<T, last>::bytes(g.pixels, p.channels);
  char* extras = shared_memory() + bytes;
  ModulationGradients<T, last> work{
      p, *reinterpret_cast<GatherExtras<T>*>(extras), g.pixels, g.stages, block_y(),
      piece[0], piece[1], piece[2], piece[3], piece[4]};
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
