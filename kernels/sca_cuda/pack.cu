// SPDX-License-Identifier: Apache-2.0
#include <sca_cuda/tokens.cuh>

namespace sca {

int pack(const PackParams& p, void* stream) {
  const dim3 grid((p.tokens.count + 3) / 4, p.batch);
  if (p.dtype == BF16) return launch(pack_tokens<Bf16>, grid, 128, 0, stream, p);
  return launch(pack_tokens<Fp16>, grid, 128, 0, stream, p);
}

const char* status_text(int status) { return error_text(status); }

}  // namespace sca
