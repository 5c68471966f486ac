// SPDX-License-Identifier: Apache-2.0
#include <sca_cuda/modulation.cuh>

namespace sca {

template <class T, bool last>
static int backward(const ModulationParams& p, void* stream) {
  int status = gradients_of<T, last>(p, stream);
  if (!status) status = combine_of<T>(p, stream);
  return status ? status : subtract_means_of<T, last>(p, stream);
}

int modulation_backward(const ModulationParams& p, void* stream) {
  if (p.dtype == BF16)
    return p.channels_last ? backward<Bf16, true>(p, stream) : backward<Bf16, false>(p, stream);
  return p.channels_last ? backward<Fp16, true>(p, stream) : backward<Fp16, false>(p, stream);
}

}  // namespace sca
