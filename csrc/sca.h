// SPDX-License-Identifier: Apache-2.0
// Semantic cross attention: the contract between hosts and kernels. No torch, no C++.
//
// Query i sees key j exactly if their labels are equal and not negative.
//   out_i = sum_j softmax_j(scale * q_i . k_j) v_j      lse_i = log sum_j exp(scale * q_i . k_j)
// lse_rest_i is what rounding left out of lse_i: lse = fl(top + log_sum), where top is the largest
// score, and lse_rest the error of that addition, 0 where nothing is seen. A weight rebuilt from
// both, exp(min((score - lse) - lse_rest, 0)), is as exact as one divided by its sum: the first
// difference is of numbers close to each other, so exact. NaN stays NaN. Scores of any finite
// size are served; the relative error of a weight is about eps times the size of its score.
// Head h reads kv head h / (heads / kv_heads). A query that sees nothing gets out 0 and lse -inf;
// with `uniform`, the mean of all values and log(keys). Where something is seen lse is never -inf:
// NaN if all scores are -inf. Memory of outputs need not be initialised.
#ifndef SCAM_SCA_H
#define SCAM_SCA_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ScaDtype {
  SCA_FLOAT64,
  SCA_FLOAT32,
  SCA_BFLOAT16,
  SCA_UINT8,
  SCA_INT8,
  SCA_INT16,
  SCA_INT32,
  SCA_INT64,
};

enum ScaStatus {
  SCA_OK,
  SCA_BAD_DTYPE,
  SCA_TOO_LARGE,
  SCA_OUT_OF_MEMORY,
  SCA_UNKNOWN_ISA,
  SCA_UNSUPPORTED_ISA,
};

// Strides count elements: batch, head, item (query or key), channel. data == NULL: absent.
typedef struct ScaTensor {
  void* data;
  int64_t stride[4];
} ScaTensor;

typedef struct ScaLabels {
  const void* data;
  int64_t stride[2];  // batch, item
  int32_t dtype;      // ScaDtype, integers only
} ScaLabels;

typedef struct ScaParams {
  int64_t batch, heads, kv_heads, queries, keys, dim, value_dim;
  double scale;
  int32_t dtype;    // of every tensor but those of lse: fp64 for fp64, else fp32
  int32_t uniform;  // what a query that sees nothing gets
  ScaLabels query_labels, key_labels;
  ScaTensor query, key, value;  // value absent: the values are the keys
  ScaTensor out, lse, lse_rest;  // lse has no channel; written by forward, read by backward
  // backward only; grad_lse may be absent, grad_value is absent if value is; grad_key and
  // grad_value are both absent where the keys need no gradient
  ScaTensor grad_out, grad_lse, grad_query, grad_key, grad_value;
} ScaParams;

// How the host runs `body` over [0, count): any split, any number of threads, returns when done.
typedef void (*ScaBody)(void* context, int64_t begin, int64_t end);
typedef void (*ScaParallelFor)(int64_t count, ScaBody body, void* context);

int sca_cpu_forward(const ScaParams* params, ScaParallelFor parallel_for);
int sca_cpu_backward(const ScaParams* params, ScaParallelFor parallel_for);

// Name of the instruction set in use ("plain", "avx2", "avx512"); NULL and a status if the
// environment variable SCAM_CPU_ISA asks for one that cannot be had.
const char* sca_cpu_isa(int* status);

// One line for the user.
const char* sca_status_text(int status);

#ifdef __cplusplus
}
#endif

#endif  // SCAM_SCA_H
