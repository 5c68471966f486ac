// SPDX-License-Identifier: Apache-2.0
// The kernels of the modulation, part of ../isa.h.
namespace scam::modulation {
namespace {

// clang-format off: each uses those before it
#include "window.h"
#include "rows.h"
#include "softmax.h"
#include "products.h"
#include "statistics.h"
#include "pack.h"
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

const Kernels& SCAM_EXPAND(kernels_, SCAM_ISA)(int dtype) {
  if (dtype == SCA_FLOAT64) return kernels_for<double>;
  if (dtype == SCA_FLOAT32) return kernels_for<float>;
  return kernels_for<BFloat16>;
}

}  // namespace scam::modulation
