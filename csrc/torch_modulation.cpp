// SPDX-License-Identifier: Apache-2.0
// The CPU kernels of the modulation as torch operators over torch's stable ABI.
#include "modulation.h"
#include "torch_tensors.h"

namespace {

using namespace scam;

struct Inputs {
  const Tensor &x, &labels, &keys, &key_bias, &gamma, &beta, &token_labels;
  const MaybeTensor &position, &default_gamma, &default_beta, &noise, &noise_scale;
};

ModulationParams parameters(const Inputs& in, const Tensor& mean, const Tensor& rstd, double eps,
                            double negative_slope) {
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
  p.mean = tensor(mean, "mean", wide, {B, C});
  p.rstd = tensor(rstd, "rstd", wide, {B, C});
  return p;
}

void forward(const Tensor& x, const Tensor& labels, const Tensor& keys, const Tensor& key_bias,
             const Tensor& gamma, const Tensor& beta, const Tensor& token_labels,
             const MaybeTensor& position, const MaybeTensor& default_gamma,
             const MaybeTensor& default_beta, const MaybeTensor& noise,
             const MaybeTensor& noise_scale, double eps, double negative_slope, Tensor y,
             Tensor mean, Tensor rstd) {
  const Inputs inputs = {x,        labels,        keys,         key_bias, gamma,      beta,
                         token_labels, position, default_gamma, default_beta, noise, noise_scale};
  ModulationParams p = parameters(inputs, mean, rstd, eps, negative_slope);
  p.y = tensor(y, "y", p.dtype, {p.batch, p.channels, p.pixels});
  check(modulation_cpu_forward(&p, parallel_for));
}

void backward(const Tensor& grad_y, const Tensor& x, const Tensor& labels, const Tensor& keys,
              const Tensor& key_bias, const Tensor& gamma, const Tensor& beta,
              const Tensor& token_labels, const MaybeTensor& position,
              const MaybeTensor& default_gamma, const MaybeTensor& default_beta,
              const MaybeTensor& noise, const MaybeTensor& noise_scale, const Tensor& mean, const Tensor& rstd, double eps,
              double negative_slope,
              Tensor grad_x, Tensor grad_keys, Tensor grad_key_bias, Tensor grad_gamma,
              Tensor grad_beta, MaybeTensor grad_default_gamma, MaybeTensor grad_default_beta,
              MaybeTensor grad_noise_scale) {
  const Inputs inputs = {x,        labels,        keys,         key_bias, gamma,      beta,
                         token_labels, position, default_gamma, default_beta, noise, noise_scale};
  ModulationParams p = parameters(inputs, mean, rstd, eps, negative_slope);
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
        "float eps, float negative_slope, Tensor(a!) y, Tensor(b!) mean, Tensor(c!) rstd) -> ()");
  m.def("modulation_backward(Tensor grad_y, " SCAM_MODULATION_INPUTS
        "Tensor mean, Tensor rstd, float eps, float negative_slope, "
        "Tensor(a!) grad_x, Tensor(b!) grad_keys, Tensor(c!) grad_key_bias, "
        "Tensor(d!) grad_gamma, Tensor(e!) grad_beta, Tensor(f!)? grad_default_gamma, "
        "Tensor(g!)? grad_default_beta, Tensor(h!)? grad_noise_scale) -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(scam_cpu, CPU, m) {
  m.impl("modulation_forward", TORCH_BOX(&forward));
  m.impl("modulation_backward", TORCH_BOX(&backward));
}
