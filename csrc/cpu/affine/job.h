// SPDX-License-Identifier: Apache-2.0
// What the driver of the affine by index prepares and its kernels read. Plain data.
//
// An image is cut into windows of consecutive pixels, its channels into blocks. Where pixels are
// neighbours in memory, kernels take runs of pixels with one row channel by channel, and all
// others in tiles turned round to [pixel][channel]. Where channels are, pixel by pixel.
#pragma once

#include "../../affine.h"

namespace scam::affine {

constexpr int64_t TILE = 16;       // pixels, and channels at least: whole vectors of any kind
constexpr int64_t MAX_WIDTH = 64;  // channels of a block

struct Job {
  AffineParams p;
  int64_t window, windows;  // pixels per window, windows per image
  int64_t width, blocks;    // channels per block, a multiple of TILE; the last may have fewer
  int64_t row_pieces;       // in which tables are packed and joined
  int32_t* rows;            // (batch, pixel): the index, -1 outside the tables
  int64_t rows_stride;      // 0: one map for all images
  // Tables of the accumulation type, whole blocks in each row.
  const void *scale, *shift;
  void *packed_scale, *packed_shift;  // null: the tables are as they were given
  int64_t scale_stride, shift_stride;

  // backward
  int64_t groups;      // into which the windows of all images are shared out
  double* partial;     // (group, block, row, 2, width): of shift, of scale; null with one group
  double* statistics;  // (batch, window, block, 2, width); null without mean and rstd
};

inline int64_t sums_of_block(const Job& job) { return job.p.rows * 2 * job.width; }

// A stage handles the items [begin, end) of its own numbering and returns a ScaStatus.
typedef int (*Stage)(const Job&, int64_t begin, int64_t end);

struct Kernels {
  Stage number;           // (image, window): fills `rows`
  Stage pack;             // (row piece)
  Stage forward;          // (batch, window, block)
  Stage backward;         // (group, block)
  Stage join;             // (block, row piece)
  Stage join_statistics;  // (batch)
};

// One per instruction set; dtype is SCA_FLOAT64, SCA_FLOAT32 or SCA_BFLOAT16.
const Kernels& kernels_plain(int dtype);
const Kernels& kernels_avx2(int dtype);
const Kernels& kernels_avx512(int dtype);

}  // namespace scam::affine
