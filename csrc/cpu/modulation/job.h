// SPDX-License-Identifier: Apache-2.0
// What the driver of the modulation prepares and its kernels read. Plain data.
//
// An image is cut into windows of consecutive pixels. A kernel takes the pixels of a window label
// by label, each as a row of its channels, so that the lanes of a vector are channels.
#pragma once

#include "../../modulation.h"

namespace scam::modulation {

// Channels of packed tokens and partial sums: zeros up to a multiple of the widest vector.
inline int64_t padded_channels(int64_t channels) { return (channels + 15) / 16 * 16; }

// Tokens of one label: order[first .. first + count). Its rows are [head][span], with `count` in a
// span. The last group of an image is for the pixels that see no token: one row holds the defaults.
struct TokenGroup {
  int64_t first, count;
  int64_t span;   // `count` up to a power of two, or beyond 8 to a multiple of 16
  int64_t rows;   // of all heads, up to a power of two, or beyond 8 to a multiple of 8
  int64_t block;  // rows handled together: 1, 2, 4 or 8
  int64_t packed, partial;  // where in Job::packed, and in each chunk of Job::partial
  int64_t index;            // among the groups present in this image, -1: read by no pixel
};

// Labels of the tokens of one image. Groups are numbered by their first token.
struct TokenPlan {
  const int32_t* order;
  const TokenGroup* groups;
  int64_t group_count;         // without the one of pixels that see nothing
  const int64_t* label_value;  // sorted, for labels >= table_size
  const int32_t* label_group;
  int64_t label_count;
  const int32_t* table;  // group of each label < table_size, or -1
  int64_t table_size;
};

struct PresentGroup {
  int64_t batch, group;
};

struct Job {
  ModulationParams p;
  const TokenPlan* plans;  // (batch)
  int64_t group_limit;     // most groups of an image, that of unseeing pixels included
  int64_t row_limit;       // most rows of a group
  int64_t window, windows;  // pixels per window, windows per image
  int64_t scans;            // pieces in which an image's labels are looked through
  int64_t scan;             // pixels per piece
  unsigned char* present;   // (batch, group_limit): whether some pixel reads the group
  const PresentGroup* present_groups;
  int64_t stat_chunk, stat_chunks;  // pixels, and pieces per image; channels-last maps only

  // Numbers below have the accumulation type, or fp64 where it says so.
  double* stats;   // (batch, stat_chunks, channels, 2): mean, sum of squares about it
  void* packed;     // per group: keys [row][channel], gamma and beta [row][2][channel],
                    // key_bias [row]
  void* constants;  // (batch, 3, channels padded): mean, rstd, noise_scale

  // backward
  int64_t chunk_windows, chunks;     // windows whose sums stay together, chunks per image
  int64_t first_image, image_count;  // images whose partial sums are held now
  int64_t partial_limit;             // numbers per chunk
  int64_t clear_pieces;              // in which an image's unread tokens are cleared
  void* partial;           // (image, chunk, partial_limit), each group as in `packed`
  unsigned char* touched;  // (image, chunk, group index): whether a partial sum was begun
  void* partial_noise;     // (batch, chunk, channels padded)
  void* means;             // (batch, 2, channels padded): of dxhat and of dxhat * xhat
  void* local;  // bf16 only: grad_x before `finish`, (image, channels * pixels) in x's order
};

// A stage handles the items [begin, end) of its own numbering and returns a ScaStatus.
typedef int (*Stage)(const Job&, int64_t begin, int64_t end);

struct Kernels {
  Stage scan;             // (batch, scan): fills `present`
  Stage statistics;       // (batch, channel) or, channels last, (batch, stat_chunk)
  Stage join_statistics;  // (batch): channels last only
  Stage pack_tokens;      // present group
  Stage pack_constants;   // (batch)
  Stage forward;          // (batch, window)
  Stage backward;         // (image held now, chunk)
  Stage join;             // (image held now, 16 channels)
  Stage join_noise;       // 16 channels
  Stage clear;            // (batch, clear piece)
  Stage finish;           // (image held now, channel) or, channels last, (..., stat_chunk)
};

// One per instruction set; dtype is SCA_FLOAT64, SCA_FLOAT32 or SCA_BFLOAT16.
const Kernels& kernels_plain(int dtype);
const Kernels& kernels_avx2(int dtype);
const Kernels& kernels_avx512(int dtype);

// Whether a map is read pixel by pixel, along its channels.
inline bool channels_last(const ScaTensor& map) { return map.stride[1] == 1 && map.stride[2] != 1; }

}  // namespace scam::modulation
