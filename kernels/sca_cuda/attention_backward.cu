// SPDX-License-Identifier: Apache-2.0
#include <sca_cuda/attention.cuh>

namespace sca {

template <class T, bool pixels_read>
static int gradients_as(const AttentionParams& p, void* stream) {
  return p.channels_last ? gradients_of<T, true, pixels_read>(p, stream)
                         : gradients_of<T, false, pixels_read>(p, stream);
}

int attention_backward(const AttentionParams& p, void* stream) {
  if (p.dtype == BF16)
    return p.pixels_read ? gradients_as<Bf16, true>(p, stream)
                         : gradients_as<Bf16, false>(p, stream);
  return p.pixels_read ? gradients_as<Fp16, true>(p, stream)
                       : gradients_as<Fp16, false>(p, stream);
}

}  // namespace sca
