// SPDX-License-Identifier: Apache-2.0
// The kernels of the attention, part of ../isa.h.
namespace scam {
namespace {

// clang-format off: each uses those before it
#include "products.h"
#include "reduce.h"
#include "view.h"
#include "pack.h"
#include "queries.h"
#include "maps.h"
#include "map_passes.h"
#include "keys.h"
#include "narrow.h"
// clang-format on

template <class T>
constexpr Kernels kernels_for = {
    prepare_forward<T>,     prepare_backward<T>, forward_queries<T>, forward_maps<T>,
    forward_keys<T>,        backward_queries<T>, backward_maps<T>,   backward_keys<T>,
    finish_forward_keys<T>, finish_queries<T>,   finish_keys<T>,
};

}  // namespace

const Kernels& SCAM_EXPAND(kernels_, SCAM_ISA)(int dtype) {
  if (dtype == SCA_FLOAT64) return kernels_for<double>;
  if (dtype == SCA_FLOAT32) return kernels_for<float>;
  return kernels_for<BFloat16>;
}

}  // namespace scam
