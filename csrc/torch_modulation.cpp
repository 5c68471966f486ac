// SPDX-License-Identifier: Apache-2.0
// The CPU kernels of the modulation as torch operators over torch's stable ABI.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>

#include <initializer_list>
#include <optional>
#include <stdexcept>

#include "modulation.h"

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

ScaTensor tensor(const Tensor& t, const char* name, int32_t dtype,
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

ScaTensor tensor(const MaybeTensor& t, const char* name, int32_t dtype,
                 std::initializer_list<int64_t> shape) {
  return t ? tensor(*t, name, dtype, shape) : ScaTensor{};
}

ScaLabels labels(const Tensor& t, const char* name, int64_t batch, int64_t items) {
  STD_TORCH_CHECK(t.is_cpu(), name, " must be on the CPU");
  STD_TORCH_CHECK(t.dim() == 2 && t.size(0) == batch && t.size(1) == items, name,
                  " must have shape (", batch, ", ", items, ")");
  return {t.data_ptr(), {t.stride(0), t.stride(1)}, dtype_of(t, name)};
}

struct Inputs {
  const Tensor &x, &labels, &keys, &key_bias, &gamma, &beta, &token_labels;
  const MaybeTensor &position, &default_gamma, &default_beta, &noise, &noise_scale;
};

ModulationParams parameters(const Inputs& in, const Tensor& lse, const Tensor& mean,
                            const Tensor& rstd, double eps, double negative_slope) {
  STD_TORCH_CHECK(in.x.dim() == 3 && in.keys.dim() == 4, "x must have 3, keys 4 dimensions");
  ModulationParams p = {};
  p.batch = in.x.size(0), p.channels = in.x.size(1), p.pixels = in.x.size(2);
  p.heads = in.keys.size(1), p.tokens = in.keys.size(2);
  STD_TORCH_CHECK(p.channels > 0 && p.heads > 0, "x must have channels and keys heads");
  STD_TORCH_CHECK(in.noise.has_value() == in.noise_scale.has_value(),
                  "noise and noise_scale must be given together");
  p.eps = eps, p.negative_slope = negative_slope;
  const int32_t dtype = p.dtype = dtype_of(in.x, "x");
  const int32_t wide = dtype == SCA_FLOAT64 ? SCA_FLOAT64 : SCA_FLOAT32;
  const int64_t B = p.batch, H = p.heads, C = p.channels, N = p.pixels, m = p.tokens;
  p.labels = labels(in.labels, "labels", B, N);
  p.token_labels = labels(in.token_labels, "token_labels", B, m);
  p.x = tensor(in.x, "x", dtype, {B, C, N});
  p.keys = tensor(in.keys, "keys", dtype, {B, H, m, C});
  p.gamma = tensor(in.gamma, "gamma", dtype, {B, H, m, C});
  p.beta = tensor(in.beta, "beta", dtype, {B, H, m, C});
  p.key_bias = tensor(in.key_bias, "key_bias", dtype, {B, H, m});
  p.position = tensor(in.position, "position", dtype, {C, N});
  p.default_gamma = tensor(in.default_gamma, "default_gamma", dtype, {B, C});
  p.default_beta = tensor(in.default_beta, "default_beta", dtype, {B, C});
  p.noise = tensor(in.noise, "noise", dtype, {B, N});
  p.noise_scale = tensor(in.noise_scale, "noise_scale", dtype, {C});
  p.lse = tensor(lse, "lse", wide, {B, H, N});
  p.mean = tensor(mean, "mean", wide, {B, C});
  p.rstd = tensor(rstd, "rstd", wide, {B, C});
  return p;
}

void parallel_for(int64_t count, ScaBody body, void* context) {
  torch::stable::parallel_for(
      0, count, 1, [&](int64_t begin, int64_t end) { body(context, begin, end); });
}

// Thrown as it is: the user reads it, and STD_TORCH_CHECK would put file and line before it.
void check(int status) {
  if (status != SCA_OK) throw std::runtime_error(sca_status_text(status));
}

void forward(const Tensor& x, const Tensor& labels, const Tensor& keys, const Tensor& key_bias,
             const Tensor& gamma, const Tensor& beta, const Tensor& token_labels,
             const MaybeTensor& position, const MaybeTensor& default_gamma,
             const MaybeTensor& default_beta, const MaybeTensor& noise,
             const MaybeTensor& noise_scale, double eps, double negative_slope, Tensor y,
             Tensor lse, Tensor mean, Tensor rstd) {
  const Inputs inputs = {x,        labels,        keys,         key_bias, gamma,      beta,
                         token_labels, position, default_gamma, default_beta, noise, noise_scale};
  ModulationParams p = parameters(inputs, lse, mean, rstd, eps, negative_slope);
  p.y = tensor(y, "y", p.dtype, {p.batch, p.channels, p.pixels});
  check(modulation_cpu_forward(&p, parallel_for));
}

void backward(const Tensor& grad_y, const Tensor& x, const Tensor& labels, const Tensor& keys,
              const Tensor& key_bias, const Tensor& gamma, const Tensor& beta,
              const Tensor& token_labels, const MaybeTensor& position,
              const MaybeTensor& default_gamma, const MaybeTensor& default_beta,
              const MaybeTensor& noise, const MaybeTensor& noise_scale, const Tensor& lse,
              const Tensor& mean, const Tensor& rstd, double eps, double negative_slope,
              Tensor grad_x, Tensor grad_keys, Tensor grad_key_bias, Tensor grad_gamma,
              Tensor grad_beta, MaybeTensor grad_default_gamma, MaybeTensor grad_default_beta,
              MaybeTensor grad_noise_scale) {
  const Inputs inputs = {x,        labels,        keys,         key_bias, gamma,      beta,
                         token_labels, position, default_gamma, default_beta, noise, noise_scale};
  ModulationParams p = parameters(inputs, lse, mean, rstd, eps, negative_slope);
  const int64_t B = p.batch, H = p.heads, C = p.channels, N = p.pixels, m = p.tokens;
  p.grad_y = tensor(grad_y, "grad_y", p.dtype, {B, C, N});
  p.grad_x = tensor(grad_x, "grad_x", p.dtype, {B, C, N});
  p.grad_keys = tensor(grad_keys, "grad_keys", p.dtype, {B, H, m, C});
  p.grad_gamma = tensor(grad_gamma, "grad_gamma", p.dtype, {B, H, m, C});
  p.grad_beta = tensor(grad_beta, "grad_beta", p.dtype, {B, H, m, C});
  p.grad_key_bias = tensor(grad_key_bias, "grad_key_bias", p.dtype, {B, H, m});
  p.grad_default_gamma = tensor(grad_default_gamma, "grad_default_gamma", p.dtype, {B, C});
  p.grad_default_beta = tensor(grad_default_beta, "grad_default_beta", p.dtype, {B, C});
  p.grad_noise_scale = tensor(grad_noise_scale, "grad_noise_scale", p.dtype, {C});
  check(modulation_cpu_backward(&p, parallel_for));
}

}  // namespace

#define SCAM_MODULATION_INPUTS                                                                  \
  "Tensor x, Tensor labels, Tensor keys, Tensor key_bias, Tensor gamma, Tensor beta, "           \
  "Tensor token_labels, Tensor? position, Tensor? default_gamma, Tensor? default_beta, "         \
  "Tensor? noise, Tensor? noise_scale, "

STABLE_TORCH_LIBRARY_FRAGMENT(scam_cpu, m) {
  m.def("modulation_forward(" SCAM_MODULATION_INPUTS
        "float eps, float negative_slope, Tensor(a!) y, Tensor(b!) lse, Tensor(c!) mean, "
        "Tensor(d!) rstd) -> ()");
  m.def("modulation_backward(Tensor grad_y, " SCAM_MODULATION_INPUTS
        "Tensor lse, Tensor mean, Tensor rstd, float eps, float negative_slope, "
        "Tensor(a!) grad_x, Tensor(b!) grad_keys, Tensor(c!) grad_key_bias, "
        "Tensor(d!) grad_gamma, Tensor(e!) grad_beta, Tensor(f!)? grad_default_gamma, "
        "Tensor(g!)? grad_default_beta, Tensor(h!)? grad_noise_scale) -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(scam_cpu, CPU, m) {
  m.impl("modulation_forward", TORCH_BOX(&forward));
  m.impl("modulation_backward", TORCH_BOX(&backward));
}
