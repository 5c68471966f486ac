// SPDX-License-Identifier: Apache-2.0
// The CPU kernels as torch operators over torch's stable ABI.
#include <string>

#include "sca.h"
#include "torch_tensors.h"

namespace {

using namespace scam;

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
  p.query = tensor(query, "query", p.dtype, {p.batch, p.heads, p.queries, p.dim});
  p.key = tensor(key, "key", p.dtype, {p.batch, p.kv_heads, p.keys, p.dim});
  p.value = tensor(value, "value", p.dtype, {p.batch, p.kv_heads, p.keys, p.value_dim});
  p.query_labels = labels(query_labels, "query_labels", p.batch, p.queries);
  p.key_labels = labels(key_labels, "key_labels", p.batch, p.keys);
  return p;
}

int32_t wide_dtype(const ScaParams& p) {
  return p.dtype == SCA_FLOAT64 ? SCA_FLOAT64 : SCA_FLOAT32;
}

void forward(const Tensor& query, const Tensor& key, const MaybeTensor& value,
             const Tensor& query_labels, const Tensor& key_labels, double scale, bool uniform,
             Tensor out, Tensor lse, Tensor lse_rest) {
  ScaParams p = parameters(query, key, value, query_labels, key_labels, scale, uniform);
  p.out = tensor(out, "out", p.dtype, {p.batch, p.heads, p.queries, p.value_dim});
  p.lse = tensor(lse, "lse", wide_dtype(p), {p.batch, p.heads, p.queries});
  p.lse_rest = tensor(lse_rest, "lse_rest", wide_dtype(p), {p.batch, p.heads, p.queries});
  check(sca_cpu_forward(&p, parallel_for));
}

void backward(const Tensor& grad_out, const MaybeTensor& grad_lse, const Tensor& query,
              const Tensor& key, const MaybeTensor& value, const Tensor& out, const Tensor& lse,
              const Tensor& lse_rest, const Tensor& query_labels, const Tensor& key_labels,
              double scale, bool uniform, Tensor grad_query, MaybeTensor grad_key,
              MaybeTensor grad_value) {
  ScaParams p = parameters(query, key, value, query_labels, key_labels, scale, uniform);
  p.out = tensor(out, "out", p.dtype, {p.batch, p.heads, p.queries, p.value_dim});
  p.lse = tensor(lse, "lse", wide_dtype(p), {p.batch, p.heads, p.queries});
  p.lse_rest = tensor(lse_rest, "lse_rest", wide_dtype(p), {p.batch, p.heads, p.queries});
  p.grad_out = tensor(grad_out, "grad_out", p.dtype, {p.batch, p.heads, p.queries, p.value_dim});
  p.grad_lse = tensor(grad_lse, "grad_lse", wide_dtype(p), {p.batch, p.heads, p.queries});
  p.grad_query = tensor(grad_query, "grad_query", p.dtype, {p.batch, p.heads, p.queries, p.dim});
  p.grad_key = tensor(grad_key, "grad_key", p.dtype, {p.batch, p.kv_heads, p.keys, p.dim});
  STD_TORCH_CHECK((value && grad_key) == grad_value.has_value(),
                  "grad_value must be given exactly if value and grad_key are");
  p.grad_value =
      tensor(grad_value, "grad_value", p.dtype, {p.batch, p.kv_heads, p.keys, p.value_dim});
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
      "float scale, bool uniform, Tensor(a!) out, Tensor(b!) lse, Tensor(c!) lse_rest) -> ()");
  m.def(
      "backward(Tensor grad_out, Tensor? grad_lse, Tensor query, Tensor key, Tensor? value, "
      "Tensor out, Tensor lse, Tensor lse_rest, Tensor query_labels, Tensor key_labels, "
      "float scale, bool uniform, Tensor(a!) grad_query, Tensor(b!)? grad_key, "
      "Tensor(c!)? grad_value) -> ()");
  m.def("isa() -> str");
}

STABLE_TORCH_LIBRARY_IMPL(scam_cpu, CPU, m) {
  m.impl("forward", TORCH_BOX(&forward));
  m.impl("backward", TORCH_BOX(&backward));
}

STABLE_TORCH_LIBRARY_IMPL(scam_cpu, CompositeExplicitAutograd, m) {
  m.impl("isa", TORCH_BOX(&isa));
}
