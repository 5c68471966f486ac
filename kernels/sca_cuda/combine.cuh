// SPDX-License-Identifier: Apache-2.0
// The second stage of the modulation's sums: pieces are added in their order.
#pragma once

#include <sca_cuda/warp.cuh>

namespace sca {

// Gradients of one token of one head; its sums also stay in its first partial row.
// grid: tokens, heads, batch.
template <class T>
SCA_KERNEL(128, 1) combine_tokens(SCA_PARAMS(ModulationParams) p) {
  const int64_t batch = block_z(), head = block_y(), place = block_x();
  const int32_t* span = p.plan.spans + (batch * p.tokens.count + place) * 3;
  const int width = 3 * p.channels + 1;
  const int64_t token = p.tokens.sources[batch * p.tokens.count + place];
  float* rows = p.partials + ((batch * p.tokens.heads + head) * p.plan.rows + span[0]) * width;
  const View* views[3] = {&p.grad_keys, &p.grad_gamma, &p.grad_beta};
#pragma unroll
  for (int role = 0; role < 3; ++role) {
    const View& view = *views[role];
    T* to = origin<T>(view, batch, head) + token * view.stride[2];
    for (int channel = thread(); channel < p.channels; channel += threads()) {
      const int i = role * p.channels + channel;
      float sum = 0;
#pragma unroll 4
      for (int k = 0; k < span[2]; ++k) sum += rows[static_cast<int64_t>(k) * span[1] * width + i];
      if (span[2]) rows[i] = sum;
      to[channel * view.stride[3]] = from_float<T>(sum);
    }
  }
  if (thread() == 0) {
    float sum = 0;
    for (int k = 0; k < span[2]; ++k)
      sum += rows[static_cast<int64_t>(k) * span[1] * width + 3 * p.channels];
    origin<T>(p.grad_key_bias, batch, head)[token * p.grad_key_bias.stride[2]] =
        from_float<T>(sum);
  }
}

constexpr int PARTS = 16, CHANNELS = 16;  // of a block of 256 threads

// Sum over the parts of a block, in their order; the same in every part. Uses shared memory.
SCA_DEVICE float sum_parts(float value) {
  float* shared = reinterpret_cast<float*>(shared_memory());
  sync_block();
  shared[thread()] = value;
  sync_block();
  float sum = 0;
  for (int part = 0; part < PARTS; ++part) sum += shared[part * CHANNELS + thread() % CHANNELS];
  return sum;
}

// What an image's pixels share: gradients of the defaults, sums for the noise scale (left in the
// image's first piece), and the two means of the instance norm's gradient.
//   sum_i g = sum_j dbeta_j + d default_beta (probabilities of a head sum to 1),
//   sum_i g * scale = sum_i g + sum_hj gamma_hj dbeta_hj + default_gamma * d default_beta,
// and the same with g * norm(x), dgamma and d default_gamma.
// grid: channels / CHANNELS, batch.
template <class T>
SCA_KERNEL(256, 1) combine_images(SCA_PARAMS(ModulationParams) p) {
  const int channel = block_x() * CHANNELS + thread() % CHANNELS, part = thread() / CHANNELS;
  const int64_t batch = block_y();
  float noise = 0, blind[2] = {0, 0};
  float* images = p.piece_partials + batch * p.plan.count * 3 * p.channels;
  for (int i = part; i < p.plan.count; i += PARTS) {
    const int32_t* piece = p.plan.pieces + (batch * p.plan.count + i) * 5;
    if (piece[0] >= piece[1]) continue;
    const float* own = images + static_cast<int64_t>(i) * 3 * p.channels + channel;
    noise += own[0];
    if (piece[2] < piece[3]) continue;
    blind[0] += own[p.channels];
    blind[1] += own[2 * p.channels];
  }
  float sums[2] = {0, 0}, weighted[2] = {0, 0};  // of g * norm(x), g
  // Where channel c is in a packed row.
  const int packed =
      (channel & ~15) + (channel >> 1 & 3) * 4 + (channel >> 3 & 1) * 2 + (channel & 1);
  const int items = p.tokens.heads * p.tokens.count;
  for (int i = part; i < items; i += PARTS) {
    const int head = i / p.tokens.count, place = i % p.tokens.count;
    const int32_t* span = p.plan.spans + (batch * p.tokens.count + place) * 3;
    if (span[2] == 0) continue;
    const float* row = p.partials + ((batch * p.tokens.heads + head) * p.plan.rows + span[0]) *
                                        (3 * p.channels + 1);
    const int64_t at = place_of(p.tokens, batch, head, place) * p.tokens.roles + 1;
    const float gamma = to_float(static_cast<const T*>(p.tokens.rows)[at * p.channels + packed]);
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      const float value = row[(1 + k) * p.channels + channel];
      if (head == 0) sums[k] += value;
      weighted[k] += gamma * value;
    }
  }
  noise = sum_parts(noise);
  float default_gamma = 0, mean[2];
  if (p.default_gamma.data)
    default_gamma =
        to_float(origin<T>(p.default_gamma, batch, 0)[channel * p.default_gamma.stride[3]]);
#pragma unroll
  for (int k = 0; k < 2; ++k) {
    blind[k] = sum_parts(blind[k]);
    mean[k] = (sum_parts(sums[k] + weighted[k]) + (1.0f + default_gamma) * blind[k]) / p.pixels;
  }
  if (part != 0) return;
  // What every pixel loses: rstd * (mean of dxhat + norm(x) * mean of dxhat * norm(x)).
  const int64_t own = batch * p.channels + channel;
  p.means[own + batch * p.channels] = p.rstd[own] * mean[1];
  p.means[own + (batch + 1) * p.channels] = p.rstd[own] * mean[0];
  images[channel] = noise;
  const int64_t at = batch * p.channels + channel;
  if (p.grad_default_gamma) static_cast<T*>(p.grad_default_gamma)[at] = from_float<T>(blind[0]);
  if (p.grad_default_beta) static_cast<T*>(p.grad_default_beta)[at] = from_float<T>(blind[1]);
}

// grid: channels / 16.
template <class T>
SCA_KERNEL(32, 1) combine_noise(SCA_PARAMS(ModulationParams) p) {
  const int channel = block_x() * 16 + thread();
  if (thread() >= 16) return;
  float sum = 0;
  for (int64_t batch = 0; batch < p.batch; ++batch)
    sum += p.piece_partials[batch * p.plan.count * 3 * p.channels + channel];
  static_cast<T*>(p.grad_noise_scale)[channel] = from_float<T>(sum);
}

}  // namespace sca
