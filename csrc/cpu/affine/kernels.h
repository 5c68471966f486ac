// SPDX-License-Identifier: Apache-2.0
// The kernels of the affine by index, part of ../isa.h.
namespace scam::affine {
namespace {

// clang-format off: each uses those before it
#include "tables.h"
#include "tile.h"
#include "forward.h"
#include "sums.h"
#include "backward.h"
#include "join.h"
// clang-format on

template <class T>
constexpr Kernels kernels_for = {
    number, pack<T>, forward<T>, backward<T>, join<T>, join_statistics<T>,
};

}  // namespace

const Kernels& SCAM_EXPAND(kernels_, SCAM_ISA)(int dtype) {
  if (dtype == SCA_FLOAT64) return kernels_for<double>;
  if (dtype == SCA_FLOAT32) return kernels_for<float>;
  return kernels_for<BFloat16>;
}

}  // namespace scam::affine
