// SPDX-License-Identifier: Apache-2.0
#include <sca_cuda/modulation.cuh>

namespace sca {

int modulation_statistics(const ModulationParams& p, void* stream) {
  return p.dtype == BF16 ? statistics_of<Bf16>(p, stream) : statistics_of<Fp16>(p, stream);
}

int modulation_forward(const ModulationParams& p, void* stream) {
  if (p.dtype == BF16)
    return p.channels_last ? forward_of<Bf16, true>(p, stream) : forward_of<Bf16, false>(p, stream);
  return p.channels_last ? forward_of<Fp16, true>(p, stream) : forward_of<Fp16, false>(p, stream);
}

}  // namespace sca
