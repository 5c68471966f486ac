// SPDX-License-Identifier: Apache-2.0
// The passes as a sequence of stages: what is wide, how it is cut, which buffers it needs.
// The cut depends on shapes, strides and labels, never on the number of threads.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "job.h"
#include "plan.h"

namespace scam {
namespace {

constexpr int64_t TILE_NUMBERS = 1 << 15;      // of one packed tile: half of a small L2
constexpr int64_t CHUNKS = 32;                 // enough work items for this many threads
constexpr int64_t PARTIAL_NUMBERS = 1 << 24;   // bound on partial sums

struct Isa {
  const char* name;
  bool supported;
  const Kernels& (*kernels)(int dtype);
};

// The best supported set, or what SCAM_CPU_ISA asks for.
int choose_isa(Isa* chosen) {
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl");
  const Isa all[] = {{"avx512", avx512, kernels_avx512},
                     {"avx2", avx2, kernels_avx2},
                     {"plain", true, kernels_plain}};
  const char* wanted = std::getenv("SCAM_CPU_ISA");
  const bool forced = wanted && *wanted && std::strcmp(wanted, "auto") != 0;
  for (const Isa& isa : all) {
    if (forced ? std::strcmp(wanted, isa.name) != 0 : !isa.supported) continue;
    *chosen = isa;
    return isa.supported ? SCA_OK : SCA_UNSUPPORTED_ISA;
  }
  return SCA_UNKNOWN_ISA;
}

struct Free {
  void operator()(void* p) const { std::free(p); }
};

class Pass {
 public:
  Pass(const ScaParams& params, ScaParallelFor parallel_for) : parallel_for_(parallel_for) {
    job_.p = params;
  }
  int forward();
  int backward();

 private:
  struct Call {
    const Job* job;
    Stage stage;
    std::atomic<int>* status;
  };

  int begin();
  void cut(bool partials, int64_t partial_width);
  void make_plans();
  int64_t pairs() const { return job_.p.batch * job_.p.kv_heads; }
  void run(int64_t count, Stage stage);
  // Reserves room in the shared buffer; allocate() then fills in the pointers.
  void reserve(void** pointer, int64_t numbers);
  void allocate();

  Job job_{};
  ScaParallelFor parallel_for_;
  const Kernels* kernels_ = nullptr;
  std::vector<PlanStorage> storage_;
  std::vector<Plan> plans_;
  std::vector<std::pair<void**, int64_t>> reserved_;
  std::unique_ptr<void, Free> buffer_;
  std::atomic<int> status_{SCA_OK};
};

int Pass::begin() {
  const ScaParams& p = job_.p;
  if (p.dtype != SCA_FLOAT64 && p.dtype != SCA_FLOAT32 && p.dtype != SCA_BFLOAT16)
    return SCA_BAD_DTYPE;
  for (int32_t dtype : {p.query_labels.dtype, p.key_labels.dtype})
    if (dtype < SCA_UINT8 || dtype > SCA_INT64) return SCA_BAD_DTYPE;
  if (std::max(p.queries, p.keys) >= INT32_MAX) return SCA_TOO_LARGE;
  Isa isa;
  const int status = choose_isa(&isa);
  if (status == SCA_OK) kernels_ = &isa.kernels(p.dtype);
  return status;
}

void Pass::cut(bool partials, int64_t partial_width) {
  const ScaParams& p = job_.p;
  job_.wide_queries = p.queries >= p.keys;
  job_.wide = job_.wide_queries ? p.queries : p.keys;
  job_.narrow = job_.wide_queries ? p.keys : p.queries;
  job_.narrow_heads = job_.wide_queries ? 1 : p.heads / p.kv_heads;
  // Maps with contiguous pixels are read a stretch of pixels at a time.
  const auto map = [](const ScaTensor& t) { return t.data && t.stride[2] < t.stride[3]; };
  job_.consecutive = job_.wide_queries
                         ? map(p.query) || map(p.out) || map(p.grad_out) || map(p.grad_query)
                         : map(p.key) || map(p.value) || map(p.grad_key) || map(p.grad_value);
  job_.window = 64;
  while (job_.window < 512 && 2 * job_.window * std::max(p.dim, p.value_dim) <= TILE_NUMBERS)
    job_.window *= 2;
  job_.windows = (job_.wide + job_.window - 1) / job_.window;
  job_.partial_width = partial_width;
  job_.chunks = 0;
  if (partials && job_.windows > 0 && pairs() > 0) {
    const int64_t numbers = std::max<int64_t>(1, pairs() * job_.rows() * partial_width);
    const int64_t chunks = std::min((CHUNKS + pairs() - 1) / pairs(), PARTIAL_NUMBERS / numbers);
    job_.chunk_windows = (job_.windows - 1) / std::max<int64_t>(1, chunks) + 1;
    job_.chunks = (job_.windows - 1) / job_.chunk_windows + 1;
  }
  make_plans();
}

void Pass::make_plans() {
  const ScaParams& p = job_.p;
  const ScaLabels& wide_labels = job_.wide_queries ? p.query_labels : p.key_labels;
  const ScaLabels& narrow_labels = job_.wide_queries ? p.key_labels : p.query_labels;
  const bool shared = wide_labels.stride[0] == 0 && narrow_labels.stride[0] == 0;
  storage_.resize(size_t(shared ? std::min<int64_t>(p.batch, 1) : p.batch));
  struct Context {
    Pass* pass;
    const ScaLabels &wide, &narrow;
  } context{this, wide_labels, narrow_labels};
  const ScaBody body = [](void* opaque, int64_t begin, int64_t end) {
    const Context& c = *static_cast<Context*>(opaque);
    const Job& job = c.pass->job_;
    try {
      for (int64_t b = begin; b < end; ++b) {
        PlanStorage& plan = c.pass->storage_[size_t(b)];
        sort_labels(job, read_labels(c.narrow, b, job.narrow), read_labels(c.wide, b, job.wide),
                    &plan);
        assign_slots(job, &plan);
      }
    } catch (const std::bad_alloc&) {
      c.pass->status_ = SCA_OUT_OF_MEMORY;
    }
  };
  parallel_for_(int64_t(storage_.size()), body, &context);
  int64_t rows = 0;
  for (int64_t b = 0; b < p.batch; ++b) {
    const PlanStorage& plan = storage_[shared ? 0 : size_t(b)];
    plans_.push_back(plan.view(rows));
    rows += plan.partial_rows * p.kv_heads;
    job_.group_limit = std::max(job_.group_limit, plans_.back().group_count);
  }
  job_.plans = plans_.data();
  reserve(&job_.partial, rows * job_.partial_width);
}

void Pass::reserve(void** pointer, int64_t numbers) { reserved_.emplace_back(pointer, numbers); }

void Pass::allocate() {
  const int64_t size = job_.p.dtype == SCA_FLOAT64 ? 8 : 4;
  int64_t total = 64;
  for (const auto& [pointer, numbers] : reserved_) total += (numbers * size + 63) / 64 * 64;
  buffer_.reset(std::aligned_alloc(64, size_t(total)));
  if (!buffer_) throw std::bad_alloc();
  char* next = static_cast<char*>(buffer_.get());
  for (const auto& [pointer, numbers] : reserved_) {
    *pointer = next;
    next += (numbers * size + 63) / 64 * 64;
  }
}

void Pass::run(int64_t count, Stage stage) {
  if (count <= 0 || status_ != SCA_OK) return;
  Call call{&job_, stage, &status_};
  const ScaBody body = [](void* opaque, int64_t begin, int64_t end) {
    const Call& c = *static_cast<Call*>(opaque);
    const int status = c.stage(*c.job, begin, end);
    if (status != SCA_OK) *c.status = status;
  };
  parallel_for_(count, body, &call);
}

int Pass::forward() {
  if (const int status = begin()) return status;
  const ScaParams& p = job_.p;
  const bool wide_keys = p.queries < p.keys;
  cut(wide_keys, padded(p.value_dim) + 16);
  reserve(&job_.rows_a, pairs() * job_.rows() * padded(p.dim));
  if (job_.wide_queries) reserve(&job_.rows_b, pairs() * job_.rows() * padded(p.value_dim));
  reserve(&job_.rest, pairs() * p.value_dim);
  reserve(&job_.partial_rest, pairs() * job_.chunks * p.value_dim);
  allocate();

  run(pairs() * (job_.group_limit + 1), kernels_->prepare_forward);
  if (job_.wide_queries) {
    run(p.batch * p.heads * job_.windows, kernels_->forward_queries);
  } else {
    run(pairs() * job_.chunks, kernels_->forward_keys);
    run(pairs() * job_.narrow, kernels_->finish_forward_keys);
  }
  return status_;
}

int Pass::backward() {
  if (const int status = begin()) return status;
  const ScaParams& p = job_.p;
  cut(true, padded(p.dim) + (p.queries >= p.keys ? padded(p.value_dim) : 0));
  reserve(&job_.rows_a, pairs() * job_.rows() * padded(p.dim));
  reserve(&job_.rows_b, pairs() * job_.rows() * padded(p.value_dim));
  reserve(&job_.row_lse, pairs() * job_.rows());
  reserve(&job_.row_delta, pairs() * job_.rows());
  reserve(&job_.rest, pairs() * p.value_dim);
  reserve(&job_.partial_rest, pairs() * job_.chunks * p.value_dim);
  allocate();

  run(pairs() * (job_.group_limit + 1), kernels_->prepare_backward);
  if (job_.wide_queries) {
    run(pairs() * job_.chunks, kernels_->backward_queries);
    run(pairs() * job_.narrow, kernels_->finish_keys);
  } else {
    run(pairs() * job_.chunks, kernels_->backward_keys);
    run(pairs() * job_.narrow, kernels_->finish_queries);
  }
  return status_;
}

}  // namespace
}  // namespace scam

extern "C" int sca_cpu_forward(const ScaParams* params, ScaParallelFor parallel_for) {
  try {
    return scam::Pass(*params, parallel_for).forward();
  } catch (const std::bad_alloc&) {
    return SCA_OUT_OF_MEMORY;
  }
}

extern "C" int sca_cpu_backward(const ScaParams* params, ScaParallelFor parallel_for) {
  try {
    return scam::Pass(*params, parallel_for).backward();
  } catch (const std::bad_alloc&) {
    return SCA_OUT_OF_MEMORY;
  }
}

extern "C" const char* sca_cpu_isa(int* status) {
  scam::Isa isa{};
  *status = scam::choose_isa(&isa);
  return *status == SCA_OK ? isa.name : nullptr;
}

extern "C" const char* sca_status_text(int status) {
  switch (status) {
    case SCA_OK: return "ok";
    case SCA_BAD_DTYPE: return "tensors must be fp64, fp32 or bf16, labels uint8 or int8 to int64";
    case SCA_TOO_LARGE: return "more than 2^31 - 2 queries or keys";
    case SCA_OUT_OF_MEMORY: return "out of memory";
    case SCA_UNKNOWN_ISA: return "SCAM_CPU_ISA must be auto, plain, avx2 or avx512";
    case SCA_UNSUPPORTED_ISA: return "this CPU lacks the instructions SCAM_CPU_ISA asks for";
  }
  return "unknown status";
}
