// SPDX-License-Identifier: Apache-2.0
// Launchers of the modulation kernels, for one dtype.
#pragma once

#include <sca_cuda/combine.cuh>
#include <sca_cuda/launch.cuh>
#include <sca_cuda/modulate.cuh>
#include <sca_cuda/modulate_pixels.cuh>
#include <sca_cuda/modulate_tokens.cuh>
#include <sca_cuda/statistics.cuh>

namespace sca {

template <class T>
int statistics_of(const ModulationParams& p, void* stream) {
  const unsigned batch = p.batch, strips = p.strips, channels = p.channels;
  int status;
  if (p.channels_last) {
    const int rows = 128 / (p.channels / 8);
    status = launch(moments_channels_last<T>, dim3(strips, 1, batch), 128,
                    rows * p.channels * 2 * sizeof(float), stream, p);
  } else {
    status =
        launch(moments_channels_first<T>, dim3(strips, channels / 4, batch), 128, 0, stream, p);
  }
  if (status) return status;
  return launch(finish_statistics<T>, dim3(channels / 16, batch), 128, 0,
                stream, p);
}

template <class T, bool last>
int forward_of(const ModulationParams& p, void* stream) {
  const int tiles = 1 + (p.position.data != nullptr);
  const int pixels = pixels_for<last>(p.channels, tiles);
  return launch(modulate<T, last>, dim3(divide_up(p.pixels, pixels), p.batch), 2 * pixels,
                tiles * Tile<T, last>::bytes(pixels, p.channels), stream, p);
}

template <class T, bool last>
int pixel_gradient_of(const ModulationParams& p, void* stream) {
  const int tiles = 2 + (p.position.data != nullptr);
  const int pixels = pixels_for<last>(p.channels, tiles);
  const size_t bytes = tiles * Tile<T, last>::bytes(pixels, p.channels) +
                       sizeof(float) * p.tokens.heads * pixels;
  return launch(modulation_gradient_of_x<T, last>, dim3(divide_up(p.pixels, pixels), p.batch),
                2 * pixels, bytes, stream, p);
}

template <class T, bool last>
int token_gradients_of(const ModulationParams& p, void* stream) {
  size_t bytes;
  const auto params =
      gather<T, last>(p, 2 + (p.position.data != nullptr), sizeof(GatherExtras<T>), bytes);
  return launch(modulation_gradient_of_tokens<T, last>,
                dim3(p.plan.count, p.batch, divide_up(p.channels, SLICE)), 128, bytes, stream,
                params);
}

template <class T>
int combine_of(const ModulationParams& p, void* stream) {
  const unsigned batch = p.batch, heads = p.tokens.heads, groups = p.channels / CHANNELS;
  int status = launch(combine_tokens<T>, dim3(p.tokens.count, heads, batch), 128, 0, stream, p);
  if (status) return status;
  status = launch(combine_images<T>, dim3(groups, batch), PARTS * CHANNELS,
                  PARTS * CHANNELS * sizeof(float), stream, p);
  if (status || !p.grad_noise_scale) return status;
  return launch(combine_noise<T>, dim3(groups), 32, 0, stream, p);
}

}  // namespace sca
