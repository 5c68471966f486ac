// SPDX-License-Identifier: Apache-2.0
// Attention, backward, for both directions: pixels are read once, their own gradients written, and
// those of the tokens summed piece by piece.
//   dS_ij = P_ij (dP_ij - D) scale, dP_ij = <z_i, b_j>
//   pixels read (x queries, z gradients of out; tokens keys a, values b): D = sum_j P dP - dlse_i,
//     dx_i = sum_j dS a_j; da_j = sum_i dS x_i, db_j = sum_i P z_i
//   latents read (x keys, z values; tokens queries a, gradients of out b):
//     D = <out_j, b_j> - dlse_j,
//     dx_i = sum_j dS a_j, dz_i = sum_j P b_j, both at once where the values are the keys;
//     da_j = sum_i dS x_i
#pragma once

#include <sca_cuda/attention_latents.cuh>
#include <sca_cuda/visibility.cuh>

namespace sca {

template <class T, bool last, bool pixels_read>
struct AttentionGradients {
  const AttentionParams& p;
  AttentionExtras<T>& extras;
  int pixels, stages;
  int64_t batch;
  int head, first_head, end_head;  // of the pixels; of the tokens
  int begin, end, first, end_token, partial_row;
  int warp = thread() >> 5, lane = thread() & 31;
  float sums[pixels_read ? 2 : 1][WIDE][4];
  float w[4], d[4];  // of the unit looked at last

  SCA_DEVICE Tile<T, last> tile(int stage, int which) const {
    return tile_of<T, last>(p, pixels, stage, which);
  }

  SCA_DEVICE Visibility<T, last> seen_by_warp(int stage, int token_head) const {
    const Tile<T, last> x = tile(stage, 0);
    Visibility<T, last> visible{p.tokens, p.channels, p.scale, x, x, false, batch, 16 * warp,
                                token_head, token_head + 1, {first, end_token}};
    const Slots& slots = extras.slots[stage];
    visible.set_logs(p, batch * p.heads + head, [&](int i) { return slots.pixel[16 * warp + i]; });
    return visible;
  }

  // Products of what else pixels own with a unit's second rows.
  SCA_DEVICE void multiply_others(float (&gradients)[4], int stage, const Unit& unit) const {
    const Rows<T> rows(p.tokens, batch, unit, 1, p.channels);
#pragma unroll
    for (int i = 0; i < 4; ++i) gradients[i] = 0;
    multiply_rows(gradients, tile(stage, 1), 16 * warp, rows, p.channels);
  }

  // Pixels read: what is taken from gradients of probabilities, sum_j P dP - dlse.
  SCA_DEVICE float offset_of(int stage, int r, float sum) const {
    if (!p.grad_lse.data) return sum;
    const int pixel = extras.slots[stage].pixel[16 * warp + 8 * r + (lane >> 2)];
    if (pixel < 0) return sum;
    const float* from = static_cast<const float*>(p.grad_lse.data) +
                        batch * p.grad_lse.stride[0] + head * p.grad_lse.stride[1];
    return sum - load(from + pixel * p.grad_lse.stride[2]);
  }

  // Pixels read a label of one unit.
  SCA_DEVICE void look_at_unit(int stage, const Unit& unit) {
    const Visibility<T, last> visible = seen_by_warp(stage, unit.head);
    Logs logs[2];
    visible.attend_to_unit(w, logs);
    multiply_others(d, stage, unit);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float sum = quad_sum(w[2 * r] * d[2 * r] + w[2 * r + 1] * d[2 * r + 1]);
      const float offset = offset_of(stage, r, sum);
#pragma unroll
      for (int i = 2 * r; i < 2 * r + 2; ++i) {
        w[i] = visible.own[r] < 0 ? 0.0f : w[i];
        d[i] = visible.own[r] < 0 ? 0.0f : w[i] * (d[i] - offset) * p.scale;
      }
    }
  }

  // Pixels read a label of several units.
  SCA_DEVICE void look_at_all(int stage, const Unit& unit) {
    const Visibility<T, last> visible = seen_by_warp(stage, unit.head);
    float sum[2] = {0, 0};
    visible.for_each([&](const Unit& other) {
      float weights[4], gradients[4];
      visible.recompute(weights, other);
      multiply_others(gradients, stage, other);
#pragma unroll
      for (int r = 0; r < 2; ++r)
        sum[r] += quad_sum(weights[2 * r] * gradients[2 * r] +
                           weights[2 * r + 1] * gradients[2 * r + 1]);
      if (other.first != unit.first) return;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        w[i] = weights[i];
        d[i] = gradients[i];
      }
    });
#pragma unroll
    for (int r = 0; r < 2; ++r) sum[r] = offset_of(stage, r, sum[r]);
#pragma unroll
    for (int i = 0; i < 4; ++i) d[i] = w[i] * (d[i] - sum[i >> 1]) * p.scale;
  }

  // Pixels are read: every unit has its own logs.
  SCA_DEVICE void look_at_readers(int stage, const Unit& unit) {
    const Slots& slots = extras.slots[stage];
    const Pair lse = scalars_of(p.tokens, batch, unit, 0);
    const Pair rest = scalars_of(p.tokens, batch, unit, 1);
    const Pair offset = scalars_of(p.tokens, batch, unit, 2);
    const Rows<T> rows(p.tokens, batch, unit, 0, p.channels);
#pragma unroll
    for (int i = 0; i < 4; ++i) w[i] = 0;
    multiply_rows(w, tile(stage, 0), 16 * warp, rows, p.channels);
    multiply_others(d, stage, unit);
    const int token = 2 * (lane & 3);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int pixel = slots.pixel[16 * warp + 8 * (i >> 1) + (lane >> 2)];
      const bool there = pixel >= 0 && token + (i & 1) < unit.count;
      const Logs logs = i & 1 ? Logs{lse.high, rest.high} : Logs{lse.low, rest.low};
      w[i] = there ? weight_of(product(w[i], p.scale), logs) : 0.0f;
      d[i] = w[i] * (d[i] + (i & 1 ? offset.high : offset.low)) * p.scale;
    }
  }

  // w and d: probabilities of a unit and gradients of its products.
  SCA_DEVICE void look(int stage, const Unit& unit) {
    if constexpr (!pixels_read) {
      look_at_readers(stage, unit);
    } else if (single()) {
      look_at_unit(stage, unit);
    } else {
      look_at_all(stage, unit);
    }
  }

  SCA_DEVICE void add(int stage) {
    const Tile<T, last> x = tile(stage, 0), z = tile(stage, 1);
    for (int at = 0; at < pixels; at += 16) {
      if (!extras.slots[stage].live_in(at)) continue;
      uint32_t weights[4], a[4];
      const int slot = at + (lane & 15);
      const void* row = lane < 16 ? extras.weights[slot] : extras.score_gradients[slot];
      load_matrices<true>(weights, shared_address(row));
#pragma unroll
      for (int k = 0; k < WIDE; ++k) {
        const int c = 16 * (warp + 4 * k);
        if (c >= p.channels) continue;
        x.channels_by_pixels(a, c, at);
        mma16<T>(sums[0][k], a, weights[2], weights[3]);
        if constexpr (pixels_read) {
          z.channels_by_pixels(a, c, at);
          mma16<T>(sums[1][k], a, weights[0], weights[1]);
        }
      }
    }
  }

  // One unit: tiles are free once w and d are known.
  SCA_DEVICE bool single() const {
    return end_head - first_head == 1 && !blind() && end_token - first <= 8;
  }

  SCA_DEVICE bool blind() const { return first == end_token; }

  // Gradients of the warp's own pixels where w and d are of their only unit, in place.
  SCA_DEVICE void scatter_unit(int stage) {
    const Tile<T, last> x = tile(stage, 0), z = tile(stage, 1);
    const Unit unit = {first_head, first, end_token - first};
    const Weights of_d = split_weights<T>(d), of_w = split_weights<T>(w);
    const Rows<T> a(p.tokens, batch, unit, 0, p.channels), b(p.tokens, batch, unit, 1, p.channels);
    auto to_x = x.writer(16 * warp), to_z = z.writer(16 * warp);
    for (int c = 0; c < p.channels; c += 16) {
      uint32_t words[4];
      Block dx = no_block();
      mix<T>(dx, of_d, a.at(c));
      if constexpr (!pixels_read) {
        if (p.z.data) {
          Block dz = no_block();
          mix<T>(dz, of_w, b.at(c));
          pack_block<T>(words, dz);
          to_z.next(words);
        } else {  // the values are the keys
          mix<T>(dx, of_w, b.at(c));
        }
      }
      pack_block<T>(words, dx);
      to_x.next(words);
    }
  }

  SCA_DEVICE void scatter_zeros(int stage) const {
    const uint32_t zeros[4] = {0, 0, 0, 0};
    auto to_x = tile(stage, 0).writer(16 * warp), to_z = tile(stage, 1).writer(16 * warp);
    for (int c = 0; c < p.channels; c += 16) {
      to_x.next(zeros);
      if (!pixels_read && p.z.data) to_z.next(zeros);
    }
  }

  // Of several units: written past the tiles, which are still read.
  SCA_DEVICE void scatter_all(int stage) {
    const bool values = !pixels_read && p.z.data;
    const auto pixel_at = [&](int i) { return extras.slots[stage].pixel[16 * warp + i]; };
    for (int c = 0; c < p.channels; c += 16) {
      Block dx = no_block(), dz = no_block();
      for (int token_head = first_head; token_head < end_head; ++token_head)
        for_each_unit(token_head, first, end_token, [&](const Unit& unit) {
          look(stage, unit);
          mix<T>(dx, split_weights<T>(d), Rows<T>(p.tokens, batch, unit, 0, p.channels).at(c));
          if constexpr (!pixels_read) {
            const uint2 rows = Rows<T>(p.tokens, batch, unit, 1, p.channels).at(c);
            if (values) {
              mix<T>(dz, split_weights<T>(w), rows);
            } else {
              mix<T>(dx, split_weights<T>(w), rows);
            }
          }
        });
      store_block<T>(dx, p.pixel_out, batch, head, c, pixel_at);
      if (values) store_block<T>(dz, p.grad_z, batch, head, c, pixel_at);
    }
  }

  // All tiles of the piece: token sums of a unit, pixels' gradients, or both.
  SCA_DEVICE void pass(const Unit& unit, bool sum, bool write) {
#pragma unroll
    for (int which = 0; which < (pixels_read ? 2 : 1); ++which)
#pragma unroll
      for (int k = 0; k < WIDE; ++k)
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[which][k][i] = 0;
    const auto work = [&](int stage) {
      if (sum) {
        if (16 * warp < pixels && extras.slots[stage].live_in(16 * warp)) {
          look(stage, unit);
          share_weights(extras.weights, warp, w);
          share_weights(extras.score_gradients, warp, d);
        }
        sync_block();
        add(stage);
        sync_block();
      }
      if (!write) return;
      if (16 * warp < pixels && extras.slots[stage].live_in(16 * warp)) {
        if (blind()) {
          scatter_zeros(stage);
        } else if (single()) {
          scatter_unit(stage);
        } else {
          scatter_all(stage);
        }
      }
      if (!single() && !blind()) return;
      sync_block();
      const Slots& slots = extras.slots[stage];
      drain(tile(stage, 0), p.pixel_out, batch, head, pixels, p.channels, slots);
      if (!pixels_read && p.z.data)
        drain(tile(stage, 1), p.grad_z, batch, head, pixels, p.channels, slots);
    };
    for_each_tile<last>(
        extras.slots, p.plan.order + batch * p.pixels, begin, end, pixels, stages,
        [&](int stage) {
          fill_tiles<T, last>(p, pixels, stage, batch, head, extras.slots[stage]);
        },
        work);
  }

  SCA_DEVICE void store(const Unit& unit) {
    constexpr int roles = pixels_read ? 2 : 1;
    const int heads = pixels_read ? p.heads : p.tokens.heads;
    const int64_t owner = batch * heads + (pixels_read ? head : unit.head);
    const int width = roles * p.channels;
    float* rows = p.partials + (owner * p.plan.rows + partial_row + unit.first - first) * width;
#pragma unroll
    for (int which = 0; which < roles; ++which)
#pragma unroll
      for (int k = 0; k < WIDE; ++k) {
        const int c = 16 * (warp + 4 * k);
        if (c >= p.channels) continue;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const int token = 2 * (lane & 3) + (i & 1);
          if (token < unit.count)
            rows[token * width + which * p.channels + c + 8 * (i >> 1) + (lane >> 2)] =
                sums[which][k][i];
        }
      }
  }
};

// grid: pieces, batch * heads of the pixels.
template <class T, bool last, bool pixels_read>
SCA_KERNEL(128, 3) attention_gradients(SCA_PARAMS(GatherParams<AttentionParams>) g) {
  const AttentionParams& p = g.params;
  const int64_t batch = block_y() / p.heads;
  const int head = block_y() % p.heads;
  const int32_t* piece = p.plan.pieces + (batch * p.plan.count + block_x()) * 5;
  if (piece[0] >= piece[1]) return;
  const int tiles = 1 + (p.z.data != nullptr);
  auto& extras = *reinterpret_cast<AttentionExtras<T>*>(
      shared_memory() + g.stages * tiles * Tile<T, last>::bytes(g.pixels, p.channels));
  const int per_head = pixels_read ? 1 : p.tokens.heads / p.heads;
  const int first_head = pixels_read ? head / (p.heads / p.tokens.heads) : head * per_head;
  AttentionGradients<T, last, pixels_read> work{
      p, extras, g.pixels, g.stages, batch, head, first_head, first_head + per_head,
      piece[0], piece[1], piece[2], piece[3], piece[4]};
  // Several units: their sums one after another, then the pixels, which need all of them.
  const bool single = work.single();
  const int blocks = (work.end_token - work.first + 7) / 8;
  const int units = blocks * per_head, passes = single ? 1 : units + 1;
  for (int i = 0; i < passes; ++i) {
    const int block = blocks ? i % blocks : 0;
    const int at = work.first + 8 * block, rest = work.end_token - at;
    const Unit unit = {first_head + (blocks ? i / blocks : 0), at, rest < 8 ? rest : 8};
    const bool sum = i < units;
    work.pass(unit, sum, single || !sum);
    if (sum) work.store(unit);
  }
}

SCA_DEVICE void add_four(float (&sum)[4], const uint4& words) {
  sum[0] += bits_to_float(words.x);
  sum[1] += bits_to_float(words.y);
  sum[2] += bits_to_float(words.z);
  sum[3] += bits_to_float(words.w);
}

// grid: tokens, token heads, batch; a thread adds four channels of a role.
template <class T, bool pixels_read>
SCA_KERNEL(128, 6) combine_gradients(SCA_PARAMS(AttentionParams) p) {
  constexpr int roles = pixels_read ? 2 : 1;
  const int64_t batch = block_z(), head = block_y(), place = block_x();
  const int32_t* span = p.plan.spans + (batch * p.tokens.count + place) * 3;
  const int quads = p.channels / 4, parts = span[2];
  const int64_t token = p.tokens.sources[batch * p.tokens.count + place];
  const int per_head = pixels_read ? p.heads / p.tokens.heads : 1;
  const int64_t owner = (batch * p.tokens.heads + head) * per_head;
  const int64_t row = roles * quads, step = span[1] * row, all = p.plan.rows * row;
  const uint4* rows = reinterpret_cast<const uint4*>(p.partials) + owner * all + span[0] * row;
  // One gradient where the values are the keys: added in fp32.
  const bool shared = roles == 2 && !p.token_out[1].data;
#pragma unroll 1
  for (int i = thread(); i < (shared ? quads : roles * quads); i += threads()) {
    float sum[4] = {0, 0, 0, 0};
#pragma unroll 1
    for (int more = 0; more <= shared; ++more)
#pragma unroll 1
      for (int other = 0; other < per_head; ++other)
        for (int k = 0; k < parts; ++k)
          add_four(sum, load(rows + other * all + k * step + more * quads + i));
    const bool second = roles == 2 && i >= quads;
    const View& view = p.token_out[second];
    const int channel = 4 * (second ? i - quads : i);
    T* to = origin<T>(view, batch, head) + token * view.stride[2] + channel * view.stride[3];
#pragma unroll
    for (int k = 0; k < 4; ++k) to[k * view.stride[3]] = from_float<T>(sum[k]);
  }
}

}  // namespace sca
