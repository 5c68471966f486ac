// SPDX-License-Identifier: Apache-2.0
// The passes of the modulation as sequences of stages. What is cut into what depends on shapes,
// strides and labels, never on the number of threads, and for one image never on the others.
#include <algorithm>
#include <cstring>
#include <new>
#include <vector>

#include "../stages.h"
#include "job.h"
#include "plan.h"

namespace scam::modulation {
namespace {

constexpr int64_t WINDOW_NUMBERS = 1 << 16;    // of one operand: a quarter of an L2
constexpr int64_t CHUNKS = 8;                  // per image
constexpr int64_t PARTIAL_NUMBERS = 1 << 24;   // bound on partial sums held at once
constexpr int64_t SCAN = 4096;                 // pixels whose labels are looked through at once
constexpr int64_t STAT_CHUNK = 512;
constexpr int64_t CLEAR_PIECES = 64;

class Pass : Stages<Job, Kernels> {
 public:
  Pass(const ModulationParams& params, ScaParallelFor parallel_for) : Stages(parallel_for) {
    job_.p = params;
  }
  int forward();
  int backward();

 private:
  int begin();
  int64_t accumulator() const { return job_.p.dtype == SCA_FLOAT64 ? 8 : 4; }
  void choose_present();
  void cut_backward();

  std::vector<TokenPlanStorage> storage_;
  std::vector<TokenPlan> plans_;
  std::vector<PresentGroup> present_;
};

int Pass::begin() {
  const ModulationParams& p = job_.p;
  if (p.pixels >= INT32_MAX || p.heads * (p.tokens + 1) >= INT32_MAX) return SCA_TOO_LARGE;
  const int status = choose_kernels(p.dtype, {p.labels.dtype, p.token_labels.dtype},
                                    kernels_plain, kernels_avx2, kernels_avx512);
  if (status != SCA_OK) return status;
  plan_tokens(p, &storage_, &plans_);
  job_.plans = plans_.data();
  for (const TokenPlan& plan : plans_) {
    job_.group_limit = std::max(job_.group_limit, plan.group_count + 1);
    for (int64_t g = 0; g <= plan.group_count; ++g)
      job_.row_limit = std::max(job_.row_limit, plan.groups[g].rows);
  }
  job_.window = 512;
  while (job_.window > 64 && job_.window * p.channels > WINDOW_NUMBERS) job_.window /= 2;
  job_.windows = (p.pixels + job_.window - 1) / job_.window;
  job_.scan = SCAN, job_.scans = (p.pixels + SCAN - 1) / SCAN;
  job_.stat_chunk = STAT_CHUNK, job_.stat_chunks = (p.pixels + STAT_CHUNK - 1) / STAT_CHUNK;
  const int64_t flags = p.batch * job_.group_limit;
  job_.present = static_cast<unsigned char*>(allocate(flags, 1));
  if (job_.present) std::memset(job_.present, 0, flags);
  return status_;
}

// Only groups that some pixel reads are packed and summed.
void Pass::choose_present() {
  const ModulationParams& p = job_.p;
  const int64_t padded = padded_channels(p.channels);
  int64_t packed = 0;
  for (int64_t b = 0; b < p.batch; ++b) {
    int64_t partial = 0, index = 0;
    for (int64_t g = 0; g <= plans_[b].group_count; ++g) {
      TokenGroup& group = storage_[b].groups[g];
      group.index = -1;
      if (!job_.present[b * job_.group_limit + g]) continue;
      const int64_t numbers = (group.rows * (3 * padded + 1) + 15) / 16 * 16;
      group.index = index++, group.packed = packed, group.partial = partial;
      packed += numbers, partial += numbers;
      present_.push_back({b, g});
    }
    job_.partial_limit = std::max(job_.partial_limit, partial);
  }
  job_.present_groups = present_.data();
  job_.packed = allocate(packed, accumulator());
  job_.constants = allocate(p.batch * padded * 3, accumulator());
}

int Pass::forward() {
  const ModulationParams& p = job_.p;
  if (const int status = begin()) return status;
  const bool last = channels_last(p.x);
  if (last)
    job_.stats = static_cast<double*>(
        allocate(p.batch * job_.stat_chunks * p.channels * 2, sizeof(double)));
  run(p.batch * job_.scans, kernels_->scan);
  run(p.batch * (last ? job_.stat_chunks : p.channels), kernels_->statistics);
  if (last) run(p.batch, kernels_->join_statistics);
  if (status_ != SCA_OK) return status_;
  choose_present();
  run(present_.size(), kernels_->pack_tokens);
  run(p.batch, kernels_->pack_constants);
  run(p.batch * job_.windows, kernels_->forward);
  return status_;
}

void Pass::cut_backward() {
  const ModulationParams& p = job_.p;
  const int64_t padded = padded_channels(p.channels);
  const int64_t most = std::max<int64_t>(1, 3 * padded * p.heads * p.tokens);
  const int64_t chunks =
      std::max<int64_t>(1, std::min<int64_t>(CHUNKS, 2 * PARTIAL_NUMBERS / most));
  job_.chunk_windows = std::max<int64_t>(1, (job_.windows + chunks - 1) / chunks);
  job_.chunks = (job_.windows + job_.chunk_windows - 1) / job_.chunk_windows;
  const int64_t image = std::max<int64_t>(1, job_.chunks * job_.partial_limit);
  const int64_t local = p.dtype == SCA_BFLOAT16 ? p.channels * p.pixels : 0;
  job_.image_count = std::max<int64_t>(1, std::min(p.batch, PARTIAL_NUMBERS / (image + local)));
  job_.partial = allocate(job_.image_count * image, accumulator());
  if (local) job_.local = allocate(job_.image_count * local, accumulator());
  job_.touched = static_cast<unsigned char*>(
      allocate(job_.image_count * job_.chunks * job_.group_limit, 1));
  job_.partial_noise = allocate(p.batch * job_.chunks * padded, accumulator());
  job_.means = allocate(p.batch * padded * 2, accumulator());
}

int Pass::backward() {
  const ModulationParams& p = job_.p;
  if (const int status = begin()) return status;
  const int64_t parts = padded_channels(p.channels) / 16;
  run(p.batch * job_.scans, kernels_->scan);
  choose_present();
  cut_backward();
  run(present_.size(), kernels_->pack_tokens);
  run(p.batch, kernels_->pack_constants);
  const int64_t most = job_.image_count;
  const bool last = channels_last(p.x) && channels_last(p.grad_x);
  for (int64_t b = 0; b < p.batch; b += most) {
    job_.first_image = b, job_.image_count = std::min(most, p.batch - b);
    run(job_.image_count * job_.chunks, kernels_->backward);
    run(job_.image_count * parts, kernels_->join);
    run(job_.image_count * (last ? job_.stat_chunks : p.channels), kernels_->finish);
  }
  if (p.grad_noise_scale.data) run(parts, kernels_->join_noise);
  job_.clear_pieces = std::min<int64_t>(p.tokens, CLEAR_PIECES);
  run(p.batch * job_.clear_pieces, kernels_->clear);
  return status_;
}

}  // namespace
}  // namespace scam::modulation

extern "C" int modulation_cpu_forward(const ModulationParams* params,
                                      ScaParallelFor parallel_for) {
  try {
    return scam::modulation::Pass(*params, parallel_for).forward();
  } catch (const std::bad_alloc&) {
    return SCA_OUT_OF_MEMORY;
  }
}

extern "C" int modulation_cpu_backward(const ModulationParams* params,
                                       ScaParallelFor parallel_for) {
  try {
    return scam::modulation::Pass(*params, parallel_for).backward();
  } catch (const std::bad_alloc&) {
    return SCA_OUT_OF_MEMORY;
  }
}
