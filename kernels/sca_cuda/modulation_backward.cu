// SPDX-License-Identifier: Apache-2.0
#include <sca_cuda/modulation.cuh>

namespace sca {

template <class T>
static int token_gradients(const ModulationParams& p, void* stream) {
  const int status = p.channels_last ? token_gradients_of<T, true>(p, stream)
                                     : token_gradients_of<T, false>(p, stream);
  return status ? status : combine_of<T>(p, stream);
}

int modulation_token_gradients(const ModulationParams& p, void* stream) {
  return p.dtype == BF16 ? token_gradients<Bf16>(p, stream) : token_gradients<Fp16>(p, stream);
}

int modulation_pixel_gradient(const ModulationParams& p, void* stream) {
  if (p.dtype == BF16)
    return p.channels_last ? pixel_gradient_of<Bf16, true>(p, stream)
                           : pixel_gradient_of<Bf16, false>(p, stream);
  return p.channels_last ? pixel_gradient_of<Fp16, true>(p, stream)
                         : pixel_gradient_of<Fp16, false>(p, stream);
}

}  // namespace sca
