// SPDX-License-Identifier: Apache-2.0
// Torch's tensors as the CPU kernels take them, over its stable ABI; for torch_*.cpp alone.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <initializer_list>
#include <optional>
#include <stdexcept>

#include "sca.h"

namespace scam {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
typedef std::optional<Tensor> MaybeTensor;

inline int32_t dtype_of(const Tensor& t, const char* name) {
  switch (t.scalar_type()) {
    case ScalarType::Double: return SCA_FLOAT64;
    case ScalarType::Float: return SCA_FLOAT32;
    case ScalarType::BFloat16: return SCA_BFLOAT16;
    case ScalarType::Byte: return SCA_UINT8;
    case ScalarType::Char: return SCA_INT8;
    case ScalarType::Short: return SCA_INT16;
    case ScalarType::Int: return SCA_INT32;
    case ScalarType::Long: return SCA_INT64;
    default: STD_TORCH_CHECK(false, name, ": dtype not supported by the CPU kernels");
  }
  return -1;
}

// Checks one tensor against what its dtype and shape must be.
inline ScaTensor tensor(const Tensor& t, const char* name, int32_t dtype,
                        std::initializer_list<int64_t> shape) {
  STD_TORCH_CHECK(t.is_cpu(), name, " must be on the CPU");
  STD_TORCH_CHECK(t.dim() == int64_t(shape.size()), name, " must have ", shape.size(),
                  " dimensions, has ", t.dim());
  STD_TORCH_CHECK(dtype_of(t, name) == dtype, name, ": unexpected dtype");
  ScaTensor result = {const_cast<void*>(t.data_ptr()), {0, 0, 0, 0}};
  int64_t i = 0;
  for (const int64_t size : shape) {
    STD_TORCH_CHECK(t.size(i) == size, name, " has size ", t.size(i), " in dimension ", i,
                    ", expected ", size);
    result.stride[i] = t.stride(i);
    ++i;
  }
  return result;
}

inline ScaTensor tensor(const MaybeTensor& t, const char* name, int32_t dtype,
                        std::initializer_list<int64_t> shape) {
  return t ? tensor(*t, name, dtype, shape) : ScaTensor{};
}

inline ScaLabels labels(const Tensor& t, const char* name, int64_t batch, int64_t items) {
  STD_TORCH_CHECK(t.is_cpu(), name, " must be on the CPU");
  STD_TORCH_CHECK(t.dim() == 2 && t.size(0) == batch && t.size(1) == items, name,
                  " must have shape (", batch, ", ", items, ")");
  return {t.data_ptr(), {t.stride(0), t.stride(1)}, dtype_of(t, name)};
}

inline void parallel_for(int64_t count, ScaBody body, void* context) {
  if (count == 0) return;
  torch::stable::parallel_for(
      0, count, 1, [&](int64_t begin, int64_t end) { body(context, begin, end); });
}

// Thrown as it is: the user reads it, and STD_TORCH_CHECK would put file and line before it.
inline void check(int status) {
  if (status != SCA_OK) throw std::runtime_error(sca_status_text(status));
}

}  // namespace scam
