// SPDX-License-Identifier: Apache-2.0
// Launchers of the modulation kernels, for one dtype.
#pragma once

#include <sca_cuda/combine.cuh>
#include <sca_cuda/launch.cuh>
#include <sca_cuda/modulate.cuh>
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
  const size_t bytes = tiles * Tile<T, last>::bytes(pixels, p.channels) + sizeof(Slots);
  return launch(modulate<T, last>, dim3(p.plan.count, p.batch), 128, bytes, stream,
                GatherParams<ModulationParams>{p, pixels, 1});
}

// Tiles as large as fit, and two stages where there is room: a tile's overhead counts more.
template <class T, bool last>
int gradients_of(const ModulationParams& p, void* stream) {
  const int channels = p.channels;
  const auto bytes = [&](int pixels, int stages) {
    return 3 * stages * Tile<T, last>::bytes(pixels, channels);
  };
  const int limit = 72 * 1024;
  int pixels = MAX_PIXELS;
  while (pixels > 16 && bytes(pixels, 1) > limit) pixels /= 2;
  const int stages = bytes(pixels, 2) <= limit ? 2 : 1;
  const size_t sums = sizeof(float) * p.tokens.heads * pixels;
  return launch(modulation_gradients<T, last>,
                dim3(p.plan.count, p.batch, divide_up(channels, SLICE)), 128,
                bytes(pixels, stages) + sizeof(GatherExtras<T>) + sums, stream,
                GatherParams<ModulationParams>{p, pixels, stages});
}

template <class T, bool last>
int subtract_means_of(const ModulationParams& p, void* stream) {
  const unsigned rows = last ? 1 : p.channels / 4, batch = p.batch, strips = p.strips;
  return launch(subtract_means<T, last>, dim3(strips, rows, batch), 128, 0, stream, p);
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
