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

  // Probabilities and gradients of probabilities of a unit.
  SCA_DEVICE void weigh(const Visibility<T, last>& visible, const Slots& slots,
                        const Tile<T, last>& z, const Unit& unit, float (&weights)[4],
                        float (&gradients)[4]) const {
    if (pixels_read) {
      visible.recompute(weights, unit);
    } else {
      const Pair lse = scalars_of(p.tokens, batch, unit, 0);
      const Pair rest = scalars_of(p.tokens, batch, unit, 1);
      const Rows<T> rows(p.tokens, batch, unit, 0, p.channels);
#pragma unroll
      for (int i = 0; i < 4; ++i) weights[i] = 0;
      multiply_rows(weights, visible.x, visible.tile_pixel, rows, p.channels);
      const int token = 2 * (lane & 3);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int pixel = slots.pixel[16 * warp + 8 * (i >> 1) + (lane >> 2)];
        const bool there = pixel >= 0 && token + (i & 1) < unit.count;
        const Logs logs = i & 1 ? Logs{lse.high, rest.high} : Logs{lse.low, rest.low};
        weights[i] = there ? weight_of(product(weights[i], p.scale), logs) : 0.0f;
      }
    }
    const Rows<T> rows(p.tokens, batch, unit, 1, p.channels);
#pragma unroll
    for (int i = 0; i < 4; ++i) gradients[i] = 0;
    multiply_rows(gradients, z, visible.tile_pixel, rows, p.channels);
  }

  // w and d: probabilities of a unit and gradients of its products.
  SCA_DEVICE void look(int stage, const Unit& unit) {
    const Slots& slots = extras.slots[stage];
    const Tile<T, last> x = tile(stage, 0), z = tile(stage, 1);
    Visibility<T, last> visible(p.tokens, p.channels, p.scale, x, x, false, batch, 16 * warp,
                                unit.head, unit.head + 1);
    visible.set_logs(p, batch * p.heads + head, slots.pixel);
    if constexpr (pixels_read) {
      float sum[2] = {0, 0};
      for_each_unit(unit.head, first, end_token, [&](const Unit& other) {
        float weights[4], gradients[4];
        weigh(visible, slots, z, other, weights, gradients);
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
      if (p.grad_lse.data) {
        const float* from = static_cast<const float*>(p.grad_lse.data) +
                            batch * p.grad_lse.stride[0] + head * p.grad_lse.stride[1];
        for (int r = 0; r < 2; ++r) {
          const int pixel = slots.pixel[16 * warp + 8 * r + (lane >> 2)];
          if (pixel >= 0) sum[r] -= load(from + pixel * p.grad_lse.stride[2]);
        }
      }
#pragma unroll
      for (int i = 0; i < 4; ++i) d[i] = w[i] * (d[i] - sum[i >> 1]) * p.scale;
    } else {
      weigh(visible, slots, z, unit, w, d);
      const Pair offset = scalars_of(p.tokens, batch, unit, 2);
#pragma unroll
      for (int i = 0; i < 4; ++i)
        d[i] = w[i] * (d[i] + (i & 1 ? offset.high : offset.low)) * p.scale;
    }
  }

  SCA_DEVICE void add(int stage) {
    const Tile<T, last> x = tile(stage, 0), z = tile(stage, 1);
#pragma unroll
    for (int k = 0; k < WIDE; ++k) {
      const int c = 16 * (warp + 4 * k);
      if (c >= p.channels) continue;
      for (int at = 0; at < pixels; at += 16) {
        uint32_t weights[4], a[4];
        const int slot = at + (lane & 15);
        load_matrices<true>(weights,
                            lane < 16 ? extras.weights[slot] : extras.score_gradients[slot]);
        x.channels_by_pixels(a, c, at);
        mma16<T>(sums[0][k], a, weights[2], weights[3]);
        if constexpr (pixels_read) {
          z.channels_by_pixels(a, c, at);
          mma16<T>(sums[1][k], a, weights[0], weights[1]);
        }
      }
    }
  }

  SCA_DEVICE bool single() const {
    return end_head - first_head == 1 && end_token - first <= 8;
  }

  // Gradients of the warp's own pixels. With one unit w and d hold it and the tiles are free.
  SCA_DEVICE void scatter(int stage) {
    const Tile<T, last> x = tile(stage, 0), z = tile(stage, 1);
    const bool values = !pixels_read && p.z.data;
    for (int c = 0; c < p.channels; c += 16) {
      Block dx = no_block(), dz = no_block();
      for (int token_head = first_head; token_head < end_head; ++token_head)
        for_each_unit(token_head, first, end_token, [&](const Unit& unit) {
          if (!single()) look(stage, unit);
          mix<T, last>(dx, split_weights<T>(d), Rows<T>(p.tokens, batch, unit, 0, p.channels), c,
                       ALL);
          if (!pixels_read)
            mix<T, last>(dz, split_weights<T>(w), Rows<T>(p.tokens, batch, unit, 1, p.channels), c,
                         ALL);
        });
      if (!pixels_read && !values) {  // the values are the keys
#pragma unroll
        for (int e = 0; e < 2; ++e)
#pragma unroll
          for (int i = 0; i < 4; ++i) dx.v[e][i] += dz.v[e][i];
      }
      if (single()) {
        x.set_block(16 * warp, c, dx);
        if (values) z.set_block(16 * warp, c, dz);
        continue;
      }
      const auto pixel_at = [&](int i) { return extras.slots[stage].pixel[16 * warp + i]; };
      store_block<T, last>(dx, p.pixel_out, batch, head, c, pixel_at);
      if (values) store_block<T, last>(dz, p.grad_z, batch, head, c, pixel_at);
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
        if (16 * warp < pixels) {
          look(stage, unit);
          share_weights(extras.weights, warp, w);
          share_weights(extras.score_gradients, warp, d);
        }
        sync_block();
        add(stage);
        sync_block();
      }
      if (!write) return;
      if (16 * warp < pixels) scatter(stage);
      if (!single()) return;
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
  const bool single = work.single(), blind = work.first == work.end_token;
  const int blocks = blind ? 0 : (work.end_token - work.first + 7) / 8;
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

// grid: tokens, token heads, batch.
template <class T, bool pixels_read>
SCA_KERNEL(128, 1) combine_gradients(SCA_PARAMS(AttentionParams) p) {
  constexpr int roles = pixels_read ? 2 : 1;
  const int64_t batch = block_z(), head = block_y(), place = block_x();
  const int32_t* span = p.plan.spans + (batch * p.tokens.count + place) * 3;
  const int width = roles * p.channels;
  const int64_t token = p.tokens.sources[batch * p.tokens.count + place];
  const int per_head = pixels_read ? p.heads / p.tokens.heads : 1;
  const int64_t owner = (batch * p.tokens.heads + head) * per_head;
#pragma unroll
  for (int role = 0; role < roles; ++role) {
    const View& view = p.token_out[role];
    for (int channel = thread(); channel < p.channels; channel += threads()) {
      float sum = 0;
      for (int other = 0; other < per_head; ++other) {
        const float* rows = p.partials + ((owner + other) * p.plan.rows + span[0]) * width +
                            role * p.channels + channel;
#pragma unroll 4
        for (int k = 0; k < span[2]; ++k) sum += rows[static_cast<int64_t>(k) * span[1] * width];
      }
      // One gradient where the values are the keys: added in fp32.
      if (roles == 2 && !p.token_out[1].data) {
        for (int other = 0; other < per_head; ++other) {
          const float* rows = p.partials + ((owner + other) * p.plan.rows + span[0]) * width +
                              p.channels + channel;
          for (int k = 0; k < span[2]; ++k) sum += rows[static_cast<int64_t>(k) * span[1] * width];
        }
      }
      T* to = origin<T>(view, batch, head) + token * view.stride[2];
      to[channel * view.stride[3]] = from_float<T>(sum);
    }
    if (!p.token_out[1].data) break;
  }
}

}  // namespace sca
