// SPDX-License-Identifier: Apache-2.0
// Tokens sorted by label and packed for the matrix units.
#pragma once

#include <sca_cuda/tile.cuh>

namespace sca {

struct Range {
  int first, last;
};

// Up to eight tokens of one head, at places `first` ... of the sorted order.
struct Unit {
  int head, first, count;
};

// Among those of all images and heads, of which there are fewer than 2^31.
SCA_DEVICE int place_of(const Tokens& tokens, int64_t batch, int head, int place) {
  return (static_cast<int>(batch) * tokens.heads + head) * tokens.count + place;
}

// One role of a unit's tokens, seen by a lane: fragments of B with tokens as columns, channels as
// rows. Columns without a token repeat the last one.
template <class T>
struct Rows {
  const char* base;

  SCA_DEVICE Rows(const Tokens& tokens, int64_t batch, const Unit& unit, int role, int channels) {
    const int lane = thread() & 31, group = lane >> 2;
    const int place = unit.first + (group < unit.count ? group : unit.count - 1);
    const int row = place_of(tokens, batch, unit.head, place) * tokens.roles + role;
    base = opaque(static_cast<const char*>(tokens.rows) +
                  static_cast<int64_t>(row) * (2 * channels) + (lane & 3) * 8);
  }

  // Channels c ... c + 15.
  SCA_DEVICE uint2 at(unsigned c) const {
    return load(reinterpret_cast<const uint2*>(base + 2 * c));
  }
};

// Scalar `which` of the two tokens in a lane's columns of C.
SCA_DEVICE Pair scalars_of(const Tokens& tokens, int64_t batch, const Unit& unit, int which) {
  const int token = 2 * (thread() & 3);
  const int first = place_of(tokens, batch, unit.head, unit.first);
  const float* base = tokens.scalars + static_cast<int64_t>(first) * SCALARS + which;
  return {token < unit.count ? load(base + SCALARS * token) : 0.0f,
          token + 1 < unit.count ? load(base + SCALARS * (token + 1)) : 0.0f};
}

SCA_DEVICE float scalar_from(const void* data, int32_t dtype, int64_t at) {
  if (dtype == BF16) return to_float(static_cast<const Bf16*>(data)[at]);
  if (dtype == FP16) return to_float(static_cast<const Fp16*>(data)[at]);
  return static_cast<const float*>(data)[at];
}

SCA_DEVICE float warp_sum(float value) {
  for (int step = 16; step; step >>= 1) value += shuffle_xor(value, step);
  return value;
}

// A row of channels in the order in which lanes read it: of 16, a lane's four side by side, which
// are 2 * quad, + 1, + 8, + 9.
template <class T>
SCA_DEVICE void copy_row(T* to, const T* from, int64_t step, int channels) {
#pragma unroll 1
  for (int i = thread() & 31; i < channels / 4; i += 32) {
    const T* first = from + ((i >> 2) * 16 + (i & 3) * 2) * step;
    alignas(8) const T four[4] = {first[0], first[step], first[8 * step], first[9 * step]};
    reinterpret_cast<uint2*>(to)[i] = *reinterpret_cast<const uint2*>(four);
  }
}

template <class T>
SCA_DEVICE float dot_of(const PackParams& p, int64_t batch, int64_t head, int64_t token) {
  const View& row = p.rows[1];
  const T* a = origin<T>(row, batch, head) + token * row.stride[2];
  const T* b = origin<T>(p.dot, batch, head) + token * p.dot.stride[2];
  float dot = 0;
  for (int64_t i = thread() & 31; i < p.channels; i += 32)
    dot += to_float(a[i * row.stride[3]]) * to_float(b[i * p.dot.stride[3]]);
  return warp_sum(dot);
}

// One warp per token, at its place of the order. grid: tokens / 4, batch.
template <class T>
SCA_KERNEL(128, 6) pack_tokens(SCA_PARAMS(PackParams) p) {
  const int lane = thread() & 31, count = p.tokens.count;
  const int place = block_x() * 4 + (thread() >> 5);
  const int64_t batch = block_y();
  if (place >= count) return;
  const int token = load(p.order + batch * count + place);
  if (lane == 0) p.tokens.sources[batch * count + place] = token;
#pragma unroll 1
  for (int head = 0; head < p.tokens.heads; ++head) {
    const int64_t at = place_of(p.tokens, batch, head, place);
#pragma unroll 1
    for (int role = 0; role < p.tokens.roles; ++role) {
      const View& view = p.rows[role];
      T* to = static_cast<T*>(p.tokens.rows) + (at * p.tokens.roles + role) * p.channels;
      copy_row(to, origin<T>(view, batch, head) + token * view.stride[2], view.stride[3],
               p.channels);
    }
    const float dot = p.dot.data ? dot_of<T>(p, batch, head, token) : 0.0f;
    if (lane < SCALARS) {
      float scalar = lane == SCALARS - 1 ? -dot : 0.0f;
      const View& view = p.scalars[lane];
      if (view.data) {
        const int64_t from =
            batch * view.stride[0] + head * view.stride[1] + token * view.stride[2];
        scalar += scalar_from(view.data, p.scalar_dtype[lane], from);
      }
      p.tokens.scalars[at * SCALARS + lane] = scalar;
    }
  }
}

}  // namespace sca
