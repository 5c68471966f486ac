// SPDX-License-Identifier: Apache-2.0
// What the driver of the affine by index prepares and its kernels read. Plain data.
//
// An image is cut into windows of consecutive pixels, its channels into blocks. Kernels take a
// window of a block in runs of pixels with one row, or in tiles, [pixel][channel], of any rows.
#pragma once

#include "../../affine.h"

namespace scam::affine {

constexpr int64_t BLOCK = 16;  // channels of a block, pixels of a tile: whole vectors of any kind

struct Job {
  AffineParams p;
  int64_t window, windows;  // pixels per window, windows per image
  int64_t blocks;           // the last may have fewer channels
  int64_t span, spans;      // blocks of an item, and how many items they make
  int64_t row_pieces;       // in which tables are packed and joined
  int32_t* rows;            // (batch, pixel): the index, -1 outside the tables
  int64_t rows_stride;      // 0: one map for all images
  // Tables of the accumulation type, whole blocks in each row.
  const void *scale, *shift;
  void *packed_scale, *packed_shift;  // null: the tables are as they were given
  int64_t scale_stride, shift_stride;

  // backward
  int64_t groups;      // into which the windows of all images are shared out
  double* partial;     // (group, block, row, 2, BLOCK): of shift, of scale; null with one group
  double* statistics;  // (batch, window, block, 2, BLOCK); null without mean and rstd
};

inline int64_t sums_of_block(const Job& job) { return job.p.rows * 2 * BLOCK; }

// A stage handles the items [begin, end) of its own numbering and returns a ScaStatus.
typedef int (*Stage)(const Job&, int64_t begin, int64_t end);

struct Kernels {
  Stage number;           // (image, window): fills `rows`
  Stage pack;             // (row piece)
  Stage forward;          // (batch, window, span)
  Stage backward;         // (group, span)
  Stage join;             // (block, row piece)
  Stage join_statistics;  // (batch)
};

// One per instruction set; dtype is SCA_FLOAT64, SCA_FLOAT32 or SCA_BFLOAT16.
const Kernels& kernels_plain(int dtype);
const Kernels& kernels_avx2(int dtype);
const Kernels& kernels_avx512(int dtype);

}  // namespace scam::affine
