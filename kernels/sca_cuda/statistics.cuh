// SPDX-License-Identifier: Apache-2.0
// Mean and 1 / sqrt(variance + eps) of every channel of every image, in two stages.
// Sums are taken of differences from a channel's first pixel: squares stay small. The last image
// comes first: what reads x next begins with the first one, and finds it in L2.
#pragma once

#include <sca_cuda/tokens.cuh>

namespace sca {

// A strip of an image's pixels; begins at a multiple of 8.
SCA_DEVICE Range strip_of(int strip, int strips, int pixels) {
  const int length = ((pixels + strips - 1) / strips + 7) & ~7, begin = strip * length;
  return {begin, begin + length < pixels ? begin + length : pixels};
}

template <class T>
SCA_DEVICE void add_moments(float (&sum)[8], float (&square)[8], const uint4& words,
                            const float (&pivot)[8]) {
  const uint32_t word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const Pair pair = unpack2<T>(word[i]);
    const float low = pair.low - pivot[2 * i], high = pair.high - pivot[2 * i + 1];
    sum[2 * i] += low;
    square[2 * i] += low * low;
    sum[2 * i + 1] += high;
    square[2 * i + 1] += high * high;
  }
}

// grid: strips, channels / 4, batch; one warp per channel.
template <class T>
SCA_KERNEL(128, 8) moments_channels_first(SCA_PARAMS(ModulationParams) p) {
  const int lane = thread() & 31, channel = block_y() * 4 + (thread() >> 5), strip = block_x();
  const int64_t batch = p.batch - 1 - block_z();
  const T* row = origin<T>(p.x, batch, 0) + channel * p.x.stride[3];
  float pivot[8], sum[8], square[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    pivot[i] = to_float(row[0]);
    sum[i] = square[i] = 0;
  }
  const Range pixels = strip_of(strip, p.strips, p.pixels);
#pragma unroll 4
  for (int at = pixels.first + lane * 8; at < pixels.last; at += 256)
    add_moments<T>(sum, square, load(reinterpret_cast<const uint4*>(row + at)), pivot);
  float total[2] = {0, 0};
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    total[0] += sum[i];
    total[1] += square[i];
  }
#pragma unroll
  for (int i = 0; i < 2; ++i)
    for (int step = 16; step; step >>= 1) total[i] += shuffle_xor(total[i], step);
  float* out = p.moments + ((batch * p.strips + strip) * p.channels + channel) * 2;
  if (lane == 0) {
    out[0] = total[0];
    out[1] = total[1];
  }
}

// grid: strips, 1, batch; a thread has 8 channels and every so-many-th pixel of the strip.
template <class T>
SCA_KERNEL(128, 8) moments_channels_last(SCA_PARAMS(ModulationParams) p) {
  const int pieces = p.channels / 8, rows = threads() / pieces, strip = block_x();
  const int piece = thread() % pieces, first = thread() / pieces;
  const int64_t batch = p.batch - 1 - block_z();
  const T* image = origin<T>(p.x, batch, 0) + piece * 8;
  float pivot[8], sum[8], square[8];
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    pivot[i] = to_float(image[i]);
    sum[i] = square[i] = 0;
  }
  const Range pixels = strip_of(strip, p.strips, p.pixels);
  if (first < rows) {
#pragma unroll 4
    for (int at = pixels.first + first; at < pixels.last; at += rows) {
      const uint4 words = load(reinterpret_cast<const uint4*>(image + at * p.x.stride[2]));
      add_moments<T>(sum, square, words, pivot);
    }
  }
  float* shared = reinterpret_cast<float*>(shared_memory());  // (rows, channels, 2)
  if (first < rows) {
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      shared[(first * p.channels + piece * 8 + i) * 2] = sum[i];
      shared[(first * p.channels + piece * 8 + i) * 2 + 1] = square[i];
    }
  }
  sync_block();
  float* out = p.moments + (batch * p.strips + strip) * p.channels * 2;
  for (int i = thread(); i < 2 * p.channels; i += threads()) {
    float total = 0;
    for (int row = 0; row < rows; ++row) total += shared[row * 2 * p.channels + i];
    out[i] = total;
  }
}

// grid: channels / 16, batch; eight threads per channel.
template <class T>
SCA_KERNEL(128, 1) finish_statistics(SCA_PARAMS(ModulationParams) p) {
  const int channel = block_x() * 16 + (thread() >> 3), part = thread() & 7;
  const int64_t batch = block_y();
  float sum = 0, square = 0;
  for (int strip = part; strip < p.strips; strip += 8) {
    const float* from = p.moments + ((batch * p.strips + strip) * p.channels + channel) * 2;
    sum += from[0];
    square += from[1];
  }
  for (int step = 4; step; step >>= 1) {
    sum += shuffle_xor(sum, step);
    square += shuffle_xor(square, step);
  }
  if (part != 0) return;
  const float offset = sum / p.pixels;
  const float variance = square / p.pixels - offset * offset;
  const float pivot = to_float(origin<T>(p.x, batch, 0)[channel * p.x.stride[3]]);
  p.mean[batch * p.channels + channel] = pivot + offset;
  p.rstd[batch * p.channels + channel] = root_inverse((variance > 0 ? variance : 0) + p.eps);
}

}  // namespace sca
