// SPDX-License-Identifier: Apache-2.0
// Launchers of the attention kernels, for one dtype and memory order.
#pragma once

#include <sca_cuda/attention_gradient.cuh>
#include <sca_cuda/attention_pixels.cuh>
#include <sca_cuda/launch.cuh>

namespace sca {

template <class T, bool last>
int pixels_read_of(const AttentionParams& p, void* stream) {
  const int pixels = pixels_for<last>(p.channels, 1);
  const size_t bytes = Tile<T, last>::bytes(pixels, p.channels) + sizeof(Slots);
  const GatherParams<AttentionParams> params = {p, pixels, 1};
  return launch(pixels_read<T, last>, dim3(p.plan.count, p.batch * p.heads), 2 * pixels, bytes,
                stream, params);
}

template <class T, bool last>
int latents_read_of(const AttentionParams& p, void* stream) {
  size_t bytes;
  const int tiles = 1 + (p.z.data != nullptr);
  const auto params = gather<T, last>(p, tiles, sizeof(AttentionExtras<T>), bytes);
  const int status = launch(latents_read<T, last>, dim3(p.plan.count, p.batch * p.heads), 128,
                            bytes, stream, params);
  if (status) return status;
  return launch(combine_latents<T>, dim3(p.tokens.count, p.tokens.heads, p.batch), 128, 0, stream,
                p);
}

template <class T, bool last, bool pixels_read>
int gradients_of(const AttentionParams& p, void* stream) {
  size_t bytes;
  const int tiles = 1 + (p.z.data != nullptr);
  const auto params = gather<T, last>(p, tiles, sizeof(AttentionExtras<T>), bytes);
  const int status = launch(attention_gradients<T, last, pixels_read>,
                            dim3(p.plan.count, p.batch * p.heads), 128, bytes, stream, params);
  if (status) return status;
  return launch(combine_gradients<T, pixels_read>,
                dim3(p.tokens.count, p.tokens.heads, p.batch), 128, 0, stream, p);
}

}  // namespace sca
