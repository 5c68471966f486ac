// SPDX-License-Identifier: Apache-2.0
// The CPU kernels of the affine by index as torch operators over torch's stable ABI.
#include "affine.h"
#include "torch_tensors.h"

namespace {

using namespace scam;

AffineParams parameters(const Tensor& x, const Tensor& index, const Tensor& scale,
                        const Tensor& shift, const MaybeTensor& mean, const MaybeTensor& rstd,
                        double negative_slope) {
  STD_TORCH_CHECK(x.dim() == 3 && scale.dim() == 2, "x must have 3, scale 2 dimensions");
  STD_TORCH_CHECK(mean.has_value() == rstd.has_value(), "mean and rstd must be given together");
  AffineParams p = {};
  p.batch = x.size(0), p.channels = x.size(1), p.pixels = x.size(2), p.rows = scale.size(0);
  STD_TORCH_CHECK(p.channels > 0, "x must have channels");
  p.negative_slope = negative_slope;
  const int32_t dtype = p.dtype = dtype_of(x, "x");
  const int32_t wide = dtype == SCA_FLOAT64 ? SCA_FLOAT64 : SCA_FLOAT32;
  p.index = labels(index, "index", p.batch, p.pixels);
  p.x = tensor(x, "x", dtype, {p.batch, p.channels, p.pixels});
  p.scale = tensor(scale, "scale", dtype, {p.rows, p.channels});
  p.shift = tensor(shift, "shift", dtype, {p.rows, p.channels});
  p.mean = tensor(mean, "mean", wide, {p.batch, p.channels});
  p.rstd = tensor(rstd, "rstd", wide, {p.batch, p.channels});
  return p;
}

void forward(const Tensor& x, const Tensor& index, const Tensor& scale, const Tensor& shift,
             const MaybeTensor& mean, const MaybeTensor& rstd, double negative_slope, Tensor y) {
  AffineParams p = parameters(x, index, scale, shift, mean, rstd, negative_slope);
  p.y = tensor(y, "y", p.dtype, {p.batch, p.channels, p.pixels});
  check(affine_cpu_forward(&p, parallel_for));
}

void backward(const Tensor& grad_y, const Tensor& x, const Tensor& index, const Tensor& scale,
              const Tensor& shift, const MaybeTensor& mean, const MaybeTensor& rstd,
              double negative_slope, Tensor grad_x, Tensor grad_scale, Tensor grad_shift,
              MaybeTensor grad_mean, MaybeTensor grad_rstd) {
  AffineParams p = parameters(x, index, scale, shift, mean, rstd, negative_slope);
  const int32_t wide = p.dtype == SCA_FLOAT64 ? SCA_FLOAT64 : SCA_FLOAT32;
  STD_TORCH_CHECK(mean.has_value() == grad_mean.has_value() &&
                      mean.has_value() == grad_rstd.has_value(),
                  "gradients of mean and rstd must be given exactly if these are");
  p.grad_y = tensor(grad_y, "grad_y", p.dtype, {p.batch, p.channels, p.pixels});
  p.grad_x = tensor(grad_x, "grad_x", p.dtype, {p.batch, p.channels, p.pixels});
  p.grad_scale = tensor(grad_scale, "grad_scale", p.dtype, {p.rows, p.channels});
  p.grad_shift = tensor(grad_shift, "grad_shift", p.dtype, {p.rows, p.channels});
  p.grad_mean = tensor(grad_mean, "grad_mean", wide, {p.batch, p.channels});
  p.grad_rstd = tensor(grad_rstd, "grad_rstd", wide, {p.batch, p.channels});
  check(affine_cpu_backward(&p, parallel_for));
}

}  // namespace

#define SCAM_AFFINE_INPUTS                                                                   \
  "Tensor x, Tensor index, Tensor scale, Tensor shift, Tensor? mean, Tensor? rstd, float " \
  "negative_slope, "

STABLE_TORCH_LIBRARY_FRAGMENT(scam_cpu, m) {
  m.def("affine_forward(" SCAM_AFFINE_INPUTS "Tensor(a!) y) -> ()");
  m.def("affine_backward(Tensor grad_y, " SCAM_AFFINE_INPUTS
        "Tensor(a!) grad_x, Tensor(b!) grad_scale, Tensor(c!) grad_shift, "
        "Tensor(d!)? grad_mean, Tensor(e!)? grad_rstd) -> ()");
}

STABLE_TORCH_LIBRARY_IMPL(scam_cpu, CPU, m) {
  m.impl("affine_forward", TORCH_BOX(&forward));
  m.impl("affine_backward", TORCH_BOX(&backward));
}
