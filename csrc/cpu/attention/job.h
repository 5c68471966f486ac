// SPDX-License-Identifier: Apache-2.0
// What the driver prepares and the kernels read. Plain data: kernels see no std:: type.
//
// The longer of the two sides is *wide*: its items lie in the lanes of vectors. The other is
// *narrow*: its rows are broadcast. "Pixels read latents" has wide queries, "latents read pixels"
// wide keys; with wide keys the rows of all heads that share a kv head are narrow rows together.
#pragma once

#include "../../sca.h"

namespace scam {

// Channels in kernels' memory: zeros up to a multiple of the widest vector.
inline int64_t padded(int64_t depth) { return (depth + 15) / 16 * 16; }

// Narrow items of one label that wide items carry too: order[first .. first + count).
struct Group {
  int64_t first, count;
};

// Labels of one batch element, sorted. A wide item in no group sees nothing and is seen by none.
struct Plan {
  const int32_t* narrow_order;  // items by label, stable, negative labels last
  const int32_t* narrow_group;  // by position in narrow_order, -1: no wide item has the label
  const Group* groups;
  int64_t group_count;
  const int32_t* wide_order;  // items window by window, by label inside a window
  const int32_t* wide_group;  // by position in wide_order, -1: none
  const int64_t* slots;       // (chunks, group_count): first partial row, -1: group not in chunk
  int64_t partial_rows;       // of one kv head
  int64_t partial_base;       // partial rows of the batch elements before this one
};

struct Job {
  ScaParams p;
  bool wide_queries;
  int64_t wide, narrow;   // items per batch element
  int64_t narrow_heads;   // heads whose narrow rows share one kv head
  int64_t group_limit;    // max group_count over the batch
  int64_t group_rows;     // max narrow items of a group
  bool consecutive;       // windows hold consecutive items, else items sorted by label
  bool maps;              // wide queries, vectors along consecutive items: maps.h
  int64_t window;         // wide items handled at a time
  int64_t windows;        // per batch element and head
  int64_t chunk_windows;  // windows whose narrow results share one partial sum
  int64_t chunks;
  int64_t partial_width;  // numbers per partial row
  const Plan* plans;      // (batch)

  // Numbers below have the accumulation type (fp64 for fp64, else fp32).
  // Narrow operands, group by group and head-major inside a group.
  void* rows_a;        // (batch, kv_heads, rows(), padded(dim)): keys or queries, times scale
  void* rows_b;        // (..., padded(value_dim)): values, or with wide keys grad_out
  void* row_statistics;  // RowStatistics (batch, kv_heads, rows()); wide keys, backward
  void* rest;          // (batch, kv_heads, value_dim); see Kernels::prepare
  void* partial;       // rows of partial_width
  void* partial_rest;  // (batch, kv_heads, chunks, value_dim): values or grad_out to average

  int64_t rows() const { return narrow_heads * narrow; }
};

// What a narrow query brings to the backward pass of wide keys.
template <class A>
struct RowStatistics {
  A lse, lse_rest;
  A mean;  // of the gradients of its weights: sum(out * grad_out)
  A grad_lse;
};

// A stage handles the items [begin, end) of its own numbering and returns a ScaStatus.
typedef int (*Stage)(const Job&, int64_t begin, int64_t end);

struct Kernels {
  // (batch, kv head, group or rest): narrow rows, and `rest`: the mean of the narrow values
  // (wide queries, forward) or the share of grad_out every value gets (wide keys, backward).
  Stage prepare_forward, prepare_backward;
  Stage forward_queries, forward_maps;                   // (batch, head, window)
  Stage forward_keys;                                    // (batch, kv head, chunk)
  Stage backward_queries, backward_maps, backward_keys;  // (batch, kv head, chunk)
  Stage finish_forward_keys;                             // (batch, kv head, narrow position)
  Stage finish_queries, finish_keys;                     // the same, backward
};

// One per instruction set; dtype is SCA_FLOAT64, SCA_FLOAT32 or SCA_BFLOAT16.
const Kernels& kernels_plain(int dtype);
const Kernels& kernels_avx2(int dtype);
const Kernels& kernels_avx512(int dtype);

}  // namespace scam
