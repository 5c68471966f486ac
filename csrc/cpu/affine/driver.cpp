// SPDX-License-Identifier: Apache-2.0
// The passes of the affine by index as sequences of stages. What is cut into what depends on
// shapes and strides, never on the number of threads.
#include <algorithm>
#include <new>

#include "../stages.h"
#include "job.h"

namespace scam::affine {
namespace {

constexpr int64_t WINDOW = 4096;     // long streams where pixels adjoin
constexpr int64_t WIDE_ROWS = 8192;  // whose sums of a wide block stay in a cache
constexpr int64_t ROW_PIECE = 256;

// Of the backward pass: items for so many threads, as long as a group of windows has so many pixels
// to each row. With 16 partial sums take a quarter of the memory of an fp32 x, with 4 all of it.
struct Share {
  int64_t items, pixels_a_row;
};
constexpr Share SHARES[] = {{32, 16}, {4, 4}};

class Pass : Stages<Job, Kernels> {
 public:
  Pass(const AffineParams& params, ScaParallelFor parallel_for) : Stages(parallel_for) {
    job_.p = params;
  }
  int forward();
  int backward();

 private:
  int begin(int64_t most_width);
  void set_tables();
  void set_groups();
  bool as_it_is(const ScaTensor& table) const {
    return job_.p.dtype != SCA_BFLOAT16 && job_.p.channels % job_.width == 0 &&
           table.stride[1] == 1;
  }
};

int Pass::begin(int64_t most_width) {
  const AffineParams& p = job_.p;
  if (p.pixels >= INT32_MAX || p.rows >= INT32_MAX) return SCA_TOO_LARGE;
  const int status =
      choose_kernels(p.dtype, {p.index.dtype}, kernels_plain, kernels_avx2, kernels_avx512);
  if (status != SCA_OK) return status;
  job_.window = WINDOW, job_.windows = (p.pixels + WINDOW - 1) / WINDOW;
  const int64_t padded = (p.channels + TILE - 1) / TILE * TILE;
  job_.width = p.x.stride[2] == 1 ? TILE : most_width;
  while (padded % job_.width) job_.width -= TILE;  // blocks with channels missing are slower
  job_.blocks = (p.channels + job_.width - 1) / job_.width;
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
  const int64_t width = job_.blocks * job_.width, size = p.dtype == SCA_FLOAT64 ? 8 : 4;
  job_.scale = job_.packed_scale = allocate(p.rows * width, size);
  job_.shift = job_.packed_shift = allocate(p.rows * width, size);
  job_.scale_stride = job_.shift_stride = width;
  run(job_.row_pieces, kernels_->pack);
}

int Pass::forward() {
  if (const int status = begin(MAX_WIDTH)) return status;
  run(job_.p.batch * job_.windows * job_.blocks, kernels_->forward);
  return status_;
}

// Few rows: partial sums of many groups of windows. Many: one group, and blocks are the items.
void Pass::set_groups() {
  const AffineParams& p = job_.p;
  job_.groups = 1;
  for (const Share& share : SHARES) {
    const int64_t wanted = (share.items + job_.blocks - 1) / job_.blocks;
    const int64_t affordable =
        p.batch * p.pixels / (share.pixels_a_row * std::max<int64_t>(1, p.rows));
    job_.groups = std::max(job_.groups, std::min(wanted, affordable));
  }
  job_.groups = std::min(job_.groups, p.batch * job_.windows);
  if (job_.groups > 1)
    job_.partial = static_cast<double*>(
        allocate(job_.groups * job_.blocks * sums_of_block(job_), sizeof(double)));
  if (p.mean.data)
    job_.statistics = static_cast<double*>(
        allocate(p.batch * job_.windows * job_.blocks * 2 * job_.width, sizeof(double)));
}

int Pass::backward() {
  if (const int status = begin(job_.p.rows > WIDE_ROWS ? TILE : MAX_WIDTH)) return status;
  set_groups();
  run(job_.groups * job_.blocks, kernels_->backward);
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
