// SPDX-License-Identifier: Apache-2.0
// Kernels with one mistake each, or none: what the emulator must notice.
#include <sca_cuda/device.cuh>

namespace {

using namespace sca;

struct Params {
  int kind;
  const float* in;
  float* out;
};

enum Kind {
  RIGHT, NO_BARRIER, NO_WAIT, OUT_OF_BOUNDS, MISALIGNED, HALF_A_BARRIER, HALF_A_WARP, OVERWRITTEN,
  BEYOND
};

// Every thread copies 16 bytes in and hands out what its neighbour copied.
SCA_KERNEL(64, 1) exchange(SCA_PARAMS(Params) p) {
  float* shared = reinterpret_cast<float*>(shared_memory());
  const int me = thread(), neighbour = (me + 33) % threads();
  const int place = p.kind == OUT_OF_BOUNDS ? me + 1 : me;
  char* to = reinterpret_cast<char*>(shared + 4 * place) + (p.kind == MISALIGNED ? 4 : 0);
  copy_async(to, p.in + 4 * me, true);
  commit_copies();
  if (p.kind == HALF_A_WARP && me % 2) ballot(true);
  if (p.kind != NO_WAIT) wait_copies<0>();
  if (p.kind == HALF_A_BARRIER && me >= 32) return;
  if (p.kind != NO_BARRIER) sync_block();
  if (p.kind == OVERWRITTEN) {  // the neighbour may not have read yet
    copy_async(to, p.in + 4 * neighbour, true);
    commit_copies();
  }
  p.out[me] = p.kind == BEYOND ? p.in[4 * me + 4] : shared[4 * neighbour];
  if (p.kind == OVERWRITTEN) sync_block();
  wait_copies<0>();
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const char* run(int kind, const float* in,
                                                                  float* out) {
  emulator_error().clear();
  launch(exchange, dim3(2), 64, 64 * 16, nullptr, Params{kind, in, out});
  return emulator_error().c_str();
}
