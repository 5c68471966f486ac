// SPDX-License-Identifier: Apache-2.0
#include <sca_cuda/attention.cuh>

namespace sca {

template <class T>
static int pixels_read_as(const AttentionParams& p, void* stream) {
  return p.channels_last ? pixels_read_of<T, true>(p, stream)
                         : pixels_read_of<T, false>(p, stream);
}

template <class T>
static int latents_read_as(const AttentionParams& p, void* stream) {
  return p.channels_last ? latents_read_of<T, true>(p, stream)
                         : latents_read_of<T, false>(p, stream);
}

int pixels_read_forward(const AttentionParams& p, void* stream) {
  return p.dtype == BF16 ? pixels_read_as<Bf16>(p, stream) : pixels_read_as<Fp16>(p, stream);
}

int latents_read_forward(const AttentionParams& p, void* stream) {
  return p.dtype == BF16 ? latents_read_as<Bf16>(p, stream) : latents_read_as<Fp16>(p, stream);
}

}  // namespace sca
