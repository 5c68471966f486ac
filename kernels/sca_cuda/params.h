// SPDX-License-Identifier: Apache-2.0
// What hosts hand to the CUDA kernels: plain structs, no torch. Strides count elements.
#ifndef SCA_CUDA_PARAMS_H
#define SCA_CUDA_PARAMS_H

#include <stdint.h>

namespace sca {

enum Dtype : int32_t { BF16, FP16 };

// Batch, head, item (pixel or token), channel. data == nullptr: absent.
struct View {
  void* data;
  int64_t stride[4];
};

constexpr int SCALARS = 3;  // of a token and head

// Tokens sorted by label (stable, ignored ones last), each with its rows (keys, values, ...) side
// by side in the order in which a warp reads them; see tokens.cuh.
struct Tokens {
  int32_t heads, count, roles;
  void* rows;        // (B, heads, count, roles, C)
  float* scalars;    // (B, heads, count, SCALARS)
  int32_t* sources;  // (B, count), which token it was
};

struct PackParams {
  int32_t batch, channels, dtype;
  Tokens tokens;
  const int32_t* order;  // (B, count), the tokens as sorted
  View rows[3];
  // Scalars of a token; `dot` adds -<rows[1], dot> to the last. No channel axis.
  View scalars[SCALARS];
  int32_t scalar_dtype[SCALARS];  // -1: fp32
  View dot;
};

// The pixels in tiles or pieces of one label each, as scam/ops/tiles.py makes them.
struct Plan {
  const int32_t* order;   // (B, pixels)
  const int32_t* tiles;   // (B, count, 4): begin, end in order; first, last token
  const int32_t* pieces;  // (B, count, 5): begin, end in order; first, last token; partial row
  const int32_t* spans;   // (B, tokens, 3): first partial row, step, how many
  int32_t count, rows;    // rows: partial rows of one batch element and head
};

struct ModulationParams {
  int32_t batch, channels, pixels, dtype, channels_last;
  float eps, negative_slope;
  View x;
  View pixel_out;  // y; in the backward pass the gradient of x
  View grad_y;
  View position;        // no batch, no head
  View default_gamma;   // no head, no item
  View default_beta;
  View noise;           // no head, no channel
  const void* noise_scale;  // (C,)
  Tokens tokens;  // roles: keys, gamma, beta; scalar 0: key_bias
  float *lse, *lse_rest, *mean, *rstd;  // (B, heads, N) twice, (B, C) twice
  Plan plan;
  float* moments;         // (B, strips, C, 2), scratch of the statistics
  int32_t strips;         // of an image's pixels, in passes over x alone
  float* partials;        // (B, heads, rows, 3 C + 1): keys, gamma, beta, bias
  float* piece_partials;  // (B, plan.count, 3, C): noise scale, default gamma, default beta
  float* means;           // (B, 2, C): what x loses to the norm is means[0] + norm(x) * means[1]
  View grad_keys, grad_key_bias, grad_gamma, grad_beta;
  void *grad_default_gamma, *grad_default_beta;  // (B, C) or null
  void* grad_noise_scale;                        // (C,) or null
};

struct AttentionParams {
  int32_t batch, channels, pixels, dtype, channels_last;
  int32_t heads;        // of the pixels' tensors
  int32_t pixels_read;  // pixels read latents; else latents read pixels
  float scale;
  View x, z;  // what pixels compare with tokens, and what else they own:
              //   pixels read: queries; grad_out.  latents read: keys; values (absent: keys)
  View pixel_out;  // forward, pixels read: out.  backward: the gradient of x
  View grad_z;
  View grad_lse;  // of pixels
  Tokens tokens;  // pixels read: keys, values.  latents read: queries, grad_out;
                  // scalars: lse, lse_rest, grad_lse - <out, grad_out>
  float *lse, *lse_rest;  // of pixels (B, heads, N) or of latents (B, token heads, M)
  Plan plan;
  float* partials;  // (B, token heads, rows, ...)
  View token_out[2];  // latents' out; or gradients of the token rows
};

// 0 or an error of the CUDA runtime.
int pack(const PackParams& params, void* stream);
int modulation_statistics(const ModulationParams& params, void* stream);
int modulation_forward(const ModulationParams& params, void* stream);
int modulation_backward(const ModulationParams& params, void* stream);
int pixels_read_forward(const AttentionParams& params, void* stream);
int latents_read_forward(const AttentionParams& params, void* stream);
int attention_backward(const AttentionParams& params, void* stream);
const char* status_text(int status);

}  // namespace sca

#endif  // SCA_CUDA_PARAMS_H
