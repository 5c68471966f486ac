// SPDX-License-Identifier: Apache-2.0
// All kernels of the modulation for one instruction set: included once by each of its files, which
// set the compiler's target, SCAM_ISA and SCAM_VECTOR_BYTES. As in attention/isa.h, everything but
// kernels_<isa>() has internal linkage, and nothing of std:: is used.
namespace scam::modulation {
namespace {

// clang-format off: each uses those before it
#include "../vec.h"
#include "../workspace.h"
#include "window.h"
#include "products.h"
#include "sums.h"
#include "statistics.h"
#include "forward.h"
#include "backward.h"
#include "join.h"
// clang-format on

template <class T>
constexpr Kernels kernels_for = {
    scan<T>,    statistics<T>, join_statistics<T>, pack_tokens<T>, pack_constants<T>,
    forward<T>, backward<T>,   join<T>,            join_noise<T>,  clear<T>,
    finish<T>,
};

}  // namespace

#define SCAM_JOIN(a, b) a##b
#define SCAM_EXPAND(a, b) SCAM_JOIN(a, b)

const Kernels& SCAM_EXPAND(kernels_, SCAM_ISA)(int dtype) {
  if (dtype == SCA_FLOAT64) return kernels_for<double>;
  if (dtype == SCA_FLOAT32) return kernels_for<float>;
  return kernels_for<BFloat16>;
}

}  // namespace scam::modulation
