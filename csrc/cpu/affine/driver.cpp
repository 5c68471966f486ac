// SPDX-License-Identifier: Apache-2.0
// The passes of the affine by index as sequences of stages. What is cut into what depends on
// shapes and strides, never on the number of threads.
#include <algorithm>
#include <new>

#include "../stages.h"
#include "job.h"

namespace scam::affine {
namespace {

constexpr int64_t WINDOW = 1024;      // 4 KB of one channel
constexpr int64_t SPAN = 4;           // blocks of an item: pixels lie next to their channels
constexpr int64_t SPAN_ROWS = 1024;   // whose sums of a span stay in a cache
constexpr int64_t ROW_PIECE = 256;
constexpr int64_t ITEMS = 32;         // enough work for this many threads
constexpr int64_t PIXELS_A_ROW = 16;  // per group: partial sums are at most a quarter of x

class Pass : Stages<Job, Kernels> {
 public:
  Pass(const AffineParams& params, ScaParallelFor parallel_for) : Stages(parallel_for) {
    job_.p = params;
  }
  int forward();
  int backward();

 private:
  int begin();
  void set_tables();
  void set_groups();
  bool as_it_is(const ScaTensor& table) const {
    return job_.p.dtype != SCA_BFLOAT16 && job_.p.channels % BLOCK == 0 && table.stride[1] == 1;
  }
};

int Pass::begin() {
  const AffineParams& p = job_.p;
  if (p.pixels >= INT32_MAX || p.rows >= INT32_MAX) return SCA_TOO_LARGE;
  const int status =
      choose_kernels(p.dtype, {p.index.dtype}, kernels_plain, kernels_avx2, kernels_avx512);
  if (status != SCA_OK) return status;
  job_.window = WINDOW, job_.windows = (p.pixels + WINDOW - 1) / WINDOW;
  job_.blocks = (p.channels + BLOCK - 1) / BLOCK;
  job_.row_pieces = (p.rows + ROW_PIECE - 1) / ROW_PIECE;
  job_.rows_stride = p.index.stride[0] == 0 ? 0 : p.pixels;
  const int64_t images = job_.rows_stride ? p.batch : 1;
  job_.rows = static_cast<int32_t*>(allocate(images * p.pixels, sizeof(int32_t)));
  run(images * job_.windows, kernels_->number);
  set_tables();
  return status_;
}

void Pass::set_tables() {
  const AffineParams& p = job_.p;
  job_.scale = p.scale.data, job_.scale_stride = p.scale.stride[0];
  job_.shift = p.shift.data, job_.shift_stride = p.shift.stride[0];
  if (as_it_is(p.scale) && as_it_is(p.shift)) return;
  const int64_t width = job_.blocks * BLOCK, size = p.dtype == SCA_FLOAT64 ? 8 : 4;
  job_.scale = job_.packed_scale = allocate(p.rows * width, size);
  job_.shift = job_.packed_shift = allocate(p.rows * width, size);
  job_.scale_stride = job_.shift_stride = width;
  run(job_.row_pieces, kernels_->pack);
}

int Pass::forward() {
  if (const int status = begin()) return status;
  job_.span = SPAN, job_.spans = (job_.blocks + SPAN - 1) / SPAN;
  run(job_.p.batch * job_.windows * job_.spans, kernels_->forward);
  return status_;
}

// Few rows: partial sums for many groups of windows. Many: one group, and blocks are the items.
void Pass::set_groups() {
  const AffineParams& p = job_.p;
  const bool neighbours = p.x.stride[2] == 1 || p.rows > SPAN_ROWS;
  job_.span = neighbours ? 1 : SPAN;
  job_.spans = (job_.blocks + job_.span - 1) / job_.span;
  const int64_t wanted = (ITEMS + job_.spans - 1) / job_.spans;
  const int64_t affordable = p.batch * p.pixels / (PIXELS_A_ROW * std::max<int64_t>(1, p.rows));
  job_.groups = std::max<int64_t>(
      1, std::min({wanted, affordable, p.batch * job_.windows}));
  if (job_.groups > 1)
    job_.partial = static_cast<double*>(
        allocate(job_.groups * job_.blocks * sums_of_block(job_), sizeof(double)));
  if (p.mean.data)
    job_.statistics = static_cast<double*>(
        allocate(p.batch * job_.windows * job_.blocks * 2 * BLOCK, sizeof(double)));
}

int Pass::backward() {
  if (const int status = begin()) return status;
  set_groups();
  run(job_.groups * job_.spans, kernels_->backward);
  if (job_.partial) run(job_.blocks * job_.row_pieces, kernels_->join);
  if (job_.statistics) run(job_.p.batch, kernels_->join_statistics);
  return status_;
}

}  // namespace
}  // namespace scam::affine

extern "C" int affine_cpu_forward(const AffineParams* params, ScaParallelFor parallel_for) {
  try {
    return scam::affine::Pass(*params, parallel_for).forward();
  } catch (const std::bad_alloc&) {
    return SCA_OUT_OF_MEMORY;
  }
}

extern "C" int affine_cpu_backward(const AffineParams* params, ScaParallelFor parallel_for) {
  try {
    return scam::affine::Pass(*params, parallel_for).backward();
  } catch (const std::bad_alloc&) {
    return SCA_OUT_OF_MEMORY;
  }
}
