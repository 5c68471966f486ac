// SPDX-License-Identifier: Apache-2.0
// Semantic modulation: the contract between hosts and kernels. No torch, no C++.
//
// Pixel i sees token j exactly if their labels are equal and not negative.
//   P_hij   = softmax_j(<x_i + position_i, keys_hj> + key_bias_hj)      
//   scale_i = 1 + sum_hj P_hij gamma_hj,   shift_i = sum_hj P_hij beta_hj
//   y_i     = leaky_relu(scale_i (x_i - mean) rstd + shift_i + noise_scale noise_i)
// A pixel that sees nothing has scale 1 + default_gamma and shift default_beta. mean and
// rstd = 1 / sqrt(variance + eps) are of one image and channel, over all pixels, biased.
// Memory of outputs need not be initialised.
#ifndef SCAM_MODULATION_H
#define SCAM_MODULATION_H

#include "sca.h"

#ifdef __cplusplus
extern "C" {
#endif

// Strides of a ScaTensor count elements, in the order of the shape given here.
typedef struct ModulationParams {
  int64_t batch, heads, channels, pixels, tokens;
  double eps, negative_slope;
  int32_t dtype;  // of every tensor but mean and rstd: fp64 for fp64, else fp32
  ScaLabels labels, token_labels;
  ScaTensor x, y;                         // (batch, channel, pixel)
  ScaTensor keys, gamma, beta, key_bias;  // (batch, head, token, channel); key_bias has no channel
  ScaTensor position;                     // (channel, pixel) or absent
  ScaTensor default_gamma, default_beta;  // (batch, channel) or absent: zeros
  ScaTensor noise, noise_scale;           // (batch, pixel), (channel), or both absent
  ScaTensor mean, rstd;                   // (batch, channel); backward reads them
  // backward only; gradients of what is absent are absent
  ScaTensor grad_y, grad_x, grad_keys, grad_gamma, grad_beta, grad_key_bias;
  ScaTensor grad_default_gamma, grad_default_beta, grad_noise_scale;
} ModulationParams;

int modulation_cpu_forward(const ModulationParams* params, ScaParallelFor parallel_for);
int modulation_cpu_backward(const ModulationParams* params, ScaParallelFor parallel_for);

#ifdef __cplusplus
}
#endif

#endif  // SCAM_MODULATION_H
