// SPDX-License-Identifier: Apache-2.0
// The CPU kernels as torch operators over torch's stable ABI: the only file that sees torch.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <optional>
#include <stdexcept>
#include <string>

#include "sca.h"

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
typedef std::optional<Tensor> MaybeTensor;

int32_t dtype_of(const Tensor& t, const char* name) {
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

// Checks one tensor against what its shape and dtype must be; `dim` 0 means it has no channels.
ScaTensor tensor(const Tensor& t, const char* name, int32_t dtype, int64_t batch, int64_t heads,
                 int64_t items, int64_t dim) {
  const int64_t rank = dim ? 4 : 3, expected[4] = {batch, heads, items, dim};
  STD_TORCH_CHECK(t.is_cpu(), name, " must be on the CPU");
  STD_TORCH_CHECK(t.dim() == rank, name, " must have ", rank, " dimensions, has ", t.dim());
  STD_TORCH_CHECK(dtype_of(t, name) == dtype, name, ": unexpected dtype");
  ScaTensor result = {const_cast<void*>(t.data_ptr()), {0, 0, 0, 0}};
  for (int64_t i = 0; i < rank; ++i) {
    STD_TORCH_CHECK(t.size(i) == expected[i], name, " has size ", t.size(i), " in dimension ", i,
                    ", expected ", expected[i]);
    result.stride[i] = t.stride(i);
  }
  return result;
}

ScaLabels labels(const Tensor& t, const char* name, int64_t batch, int64_t items) {
  STD_TORCH_CHECK(t.is_cpu(), name, " must be on the CPU");
  STD_TORCH_CHECK(t.dim() == 2 && t.size(0) == batch && t.size(1) == items, name,
                  " must have shape (", batch, ", ", items, ")");
  return {t.data_ptr(), {t.stride(0), t.stride(1)}, dtype_of(t, name)};
}

ScaParams parameters(const Tensor& query, const Tensor& key, const MaybeTensor& value,
                     const Tensor& query_labels, const Tensor& key_labels, double scale,
                     bool uniform) {
  STD_TORCH_CHECK(query.dim() == 4 && key.dim() == 4, "query and key must have 4 dimensions");
  ScaParams p = {};
  p.batch = query.size(0), p.heads = query.size(1), p.queries = query.size(2);
  p.kv_heads = key.size(1), p.keys = key.size(2), p.dim = query.size(3);
  STD_TORCH_CHECK(!value || value->dim() == 4, "value must have 4 dimensions");
  p.value_dim = value ? value->size(3) : p.dim;
  STD_TORCH_CHECK(p.dim > 0 && p.value_dim > 0, "query and value must have channels");
  STD_TORCH_CHECK(p.kv_heads > 0 && p.heads > 0 && p.heads % p.kv_heads == 0,
                  "query heads must be a positive multiple of key heads, got ", p.heads, " and ",
                  p.kv_heads);
  p.scale = scale, p.uniform = uniform, p.dtype = dtype_of(query, "query");
  p.query = tensor(query, "query", p.dtype, p.batch, p.heads, p.queries, p.dim);
  p.key = tensor(key, "key", p.dtype, p.batch, p.kv_heads, p.keys, p.dim);
  if (value) p.value = tensor(*value, "value", p.dtype, p.batch, p.kv_heads, p.keys, p.value_dim);
  p.query_labels = labels(query_labels, "query_labels", p.batch, p.queries);
  p.key_labels = labels(key_labels, "key_labels", p.batch, p.keys);
  return p;
}

int32_t wide_dtype(const ScaParams& p) {
  return p.dtype == SCA_FLOAT64 ? SCA_FLOAT64 : SCA_FLOAT32;
}

void parallel_for(int64_t count, ScaBody body, void* context) {
  if (count == 0) return;
  torch::stable::parallel_for(
      0, count, 1, [&](int64_t begin, int64_t end) { body(context, begin, end); });
}

// Thrown as it is: the user reads it, and STD_TORCH_CHECK would put file and line before it.
void check(int status) {
  if (status != SCA_OK) throw std::runtime_error(sca_status_text(status));
}

void forward(const Tensor& query, const Tensor& key, const MaybeTensor& value,
             const Tensor& query_labels, const Tensor& key_labels, double scale, bool uniform,
             Tensor out, Tensor lse) {
  ScaParams p = parameters(query, key, value, query_labels, key_labels, scale, uniform);
  p.out = tensor(out, "out", p.dtype, p.batch, p.heads, p.queries, p.value_dim);
  p.lse = tensor(lse, "lse", wide_dtype(p), p.batch, p.heads, p.queries, 0);
  check(sca_cpu_forward(&p, parallel_for));
}

void backward(const Tensor& grad_out, const MaybeTensor& grad_lse, const Tensor& query,
              const Tensor& key, const MaybeTensor& value, const Tensor& out, const Tensor& lse,
              const Tensor& query_labels, const Tensor& key_labels, double scale, bool uniform,
              Tensor grad_query, Tensor grad_key, MaybeTensor grad_value) {
  ScaParams p = parameters(query, key, value, query_labels, key_labels, scale, uniform);
  p.out = tensor(out, "out", p.dtype, p.batch, p.heads, p.queries, p.value_dim);
  p.lse = tensor(lse, "lse", wide_dtype(p), p.batch, p.heads, p.queries, 0);
  p.grad_out = tensor(grad_out, "grad_out", p.dtype, p.batch, p.heads, p.queries, p.value_dim);
  if (grad_lse)
    p.grad_lse = tensor(*grad_lse, "grad_lse", wide_dtype(p), p.batch, p.heads, p.queries, 0);
  p.grad_query = tensor(grad_query, "grad_query", p.dtype, p.batch, p.heads, p.queries, p.dim);
  p.grad_key = tensor(grad_key, "grad_key", p.dtype, p.batch, p.kv_heads, p.keys, p.dim);
  STD_TORCH_CHECK(value.has_value() == grad_value.has_value(),
                  "grad_value must be given exactly if value is");
  if (grad_value)
    p.grad_value =
        tensor(*grad_value, "grad_value", p.dtype, p.batch, p.kv_heads, p.keys, p.value_dim);
  check(sca_cpu_backward(&p, parallel_for));
}

std::string isa() {
  int status;
  const char* name = sca_cpu_isa(&status);
  check(status);
  return name;
}

}  // namespace

STABLE_TORCH_LIBRARY(scam_cpu, m) {
  m.def(
      "forward(Tensor query, Tensor key, Tensor? value, Tensor query_labels, Tensor key_labels, "
      "float scale, bool uniform, Tensor(a!) out, Tensor(b!) lse) -> ()");
  m.def(
      "backward(Tensor grad_out, Tensor? grad_lse, Tensor query, Tensor key, Tensor? value, "
      "Tensor out, Tensor lse, Tensor query_labels, Tensor key_labels, float scale, bool uniform, "
      "Tensor(a!) grad_query, Tensor(b!) grad_key, Tensor(c!)? grad_value) -> ()");
  m.def("isa() -> str");
}

STABLE_TORCH_LIBRARY_IMPL(scam_cpu, CPU, m) {
  m.impl("forward", TORCH_BOX(&forward));
  m.impl("backward", TORCH_BOX(&backward));
}

STABLE_TORCH_LIBRARY_IMPL(scam_cpu, CompositeExplicitAutograd, m) {
  m.impl("isa", TORCH_BOX(&isa));
}
