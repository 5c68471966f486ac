// SPDX-License-Identifier: Apache-2.0
// An affine looked up by index: the contract between hosts and kernels. No torch, no C++.
//
//   y_i = leaky_relu(scale_r (x_i - mean) rstd + shift_r),   r = index_i
// A pixel whose index is not one of 0 .. rows - 1 has y 0 and passes no gradient. mean and rstd are
// of one image and channel. Memory of outputs need not be initialised.
#ifndef SCAM_AFFINE_H
#define SCAM_AFFINE_H

#include "sca.h"

#ifdef __cplusplus
extern "C" {
#endif

// Strides of a ScaTensor count elements, in the order of the shape given here.
typedef struct AffineParams {
  int64_t batch, channels, pixels, rows;
  double negative_slope;
  int32_t dtype;           // of every tensor but mean and rstd: fp64 for fp64, else fp32
  ScaLabels index;         // (batch, pixel)
  ScaTensor x, y;          // (batch, channel, pixel)
  ScaTensor scale, shift;  // (row, channel)
  ScaTensor mean, rstd;    // (batch, channel), or both absent: 0 and 1
  // backward only; gradients of what is absent are absent
  ScaTensor grad_y, grad_x, grad_scale, grad_shift, grad_mean, grad_rstd;
} AffineParams;

int affine_cpu_forward(const AffineParams* params, ScaParallelFor parallel_for);
int affine_cpu_backward(const AffineParams* params, ScaParallelFor parallel_for);

#ifdef __cplusplus
}
#endif

#endif  // SCAM_AFFINE_H
