// SPDX-License-Identifier: Apache-2.0
// The passes as a sequence of stages: what is wide, how it is cut, which buffers it needs.
// The cut depends on shapes, strides and labels, never on the number of threads.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <new>
#include <vector>

#include "job.h"
#include "plan.h"

namespace scam {
namespace {

constexpr int64_t TILE_NUMBERS = 1 << 15;      // of one packed tile: half of a small L2
constexpr int64_t MAX_WINDOW = 2048;
constexpr int64_t SMOOTH_RUN = 16;             // consecutive items of one label, on average
constexpr int64_t MAP_ROWS = 64;               // keys of a label in maps.h, at most
constexpr int64_t CHUNKS = 32;                 // enough work items for this many threads
constexpr int64_t PARTIAL_NUMBERS = 1 << 24;   // bound on partial sums
constexpr int64_t PARALLEL_NUMBERS = 1 << 16;  // below, waking threads costs more than it saves

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
  void open();
  void for_plans(void (*body)(const Job&, int64_t, PlanStorage*));
  void choose_windows(std::initializer_list<ScaTensor> wide);
  void choose_chunks(int64_t partial_width);
  void make_plans();
  int64_t pairs() const { return job_.p.batch * job_.p.kv_heads; }
  void for_range(int64_t count, ScaBody body, void* context);
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

// What is wide, and its labels.
void Pass::open() {
  const ScaParams& p = job_.p;
  job_.wide_queries = p.queries >= p.keys;
  job_.wide = job_.wide_queries ? p.queries : p.keys;
  job_.narrow = job_.wide_queries ? p.keys : p.queries;
  job_.narrow_heads = job_.wide_queries ? 1 : p.heads / p.kv_heads;
  const bool shared = p.query_labels.stride[0] == 0 && p.key_labels.stride[0] == 0;
  storage_.resize(size_t(shared ? std::min<int64_t>(p.batch, 1) : p.batch));
  for_plans([](const Job& job, int64_t b, PlanStorage* plan) { read_labels(job, b, plan); });
}

void Pass::for_plans(void (*body)(const Job&, int64_t, PlanStorage*)) {
  struct Context {
    Pass* pass;
    void (*body)(const Job&, int64_t, PlanStorage*);
  } context{this, body};
  const ScaBody run = [](void* opaque, int64_t begin, int64_t end) {
    const Context& c = *static_cast<Context*>(opaque);
    try {
      for (int64_t b = begin; b < end; ++b) c.body(c.pass->job_, b, &c.pass->storage_[size_t(b)]);
    } catch (const std::bad_alloc&) {
      c.pass->status_ = SCA_OUT_OF_MEMORY;
    }
  };
  for_range(int64_t(storage_.size()), run, &context);
}

// How wide items are cut into windows, and in which order they go through the kernels.
void Pass::choose_windows(std::initializer_list<ScaTensor> wide) {
  bool any = false, all = true, rows = job_.p.dtype != SCA_BFLOAT16;
  for (const ScaTensor& t : wide) {
    const bool map = t.stride[2] < t.stride[3];  // contiguous pixels
    any |= map, all &= map && t.stride[2] == 1;
    rows &= t.stride[3] == 1;
  }
  int64_t runs = 0, labels = 0;
  for (const PlanStorage& plan : storage_) {
    runs += int64_t(plan.wide.size());
    labels = std::max(labels, int64_t(plan.labels.size()));
  }
  const bool smooth = runs * SMOOTH_RUN <= int64_t(storage_.size()) * job_.wide;
  job_.consecutive = any;
  job_.maps = all && job_.wide_queries && smooth;
  // Where nothing is copied windows are large. Copies are small, but where the pixels of a label
  // lie scattered, large enough for several: they share the loads of its keys and of their sums.
  int64_t limit = MAX_WINDOW / 4;
  if (!job_.maps && (any || !rows)) {
    limit = TILE_NUMBERS / std::max(job_.p.dim, job_.p.value_dim);
    if (any && !smooth) limit = std::max(limit, 8 * labels);
  }
  job_.window = 64;
  while (2 * job_.window <= std::min(limit, MAX_WINDOW) && job_.window < job_.wide)
    job_.window *= 2;
  job_.windows = (job_.wide + job_.window - 1) / job_.window;
}

void Pass::choose_chunks(int64_t partial_width) {
  job_.partial_width = partial_width;
  job_.chunks = 0;
  if (partial_width == 0 || job_.windows == 0 || pairs() == 0) return;
  const int64_t numbers = std::max<int64_t>(1, pairs() * job_.rows() * partial_width);
  const int64_t chunks = std::min((CHUNKS + pairs() - 1) / pairs(), PARTIAL_NUMBERS / numbers);
  job_.chunk_windows = (job_.windows - 1) / std::max<int64_t>(1, chunks) + 1;
  job_.chunks = (job_.windows - 1) / job_.chunk_windows + 1;
}

void Pass::make_plans() {
  for_plans([](const Job& job, int64_t, PlanStorage* plan) {
    sort_labels(job, plan);
    assign_slots(job, plan);
  });
  int64_t rows = 0;
  for (int64_t b = 0; b < job_.p.batch; ++b) {
    const PlanStorage& plan = storage_[std::min(size_t(b), storage_.size() - 1)];
    plans_.push_back(plan.view(rows));
    rows += plan.partial_rows * job_.p.kv_heads;
    job_.group_limit = std::max(job_.group_limit, plans_.back().group_count);
    for (const Group& group : plan.groups)
      job_.group_rows = std::max(job_.group_rows, group.count);
  }
  if (job_.group_rows > MAP_ROWS) job_.maps = false;
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

void Pass::for_range(int64_t count, ScaBody body, void* context) {
  const ScaParams& p = job_.p;
  if (p.batch * p.heads * job_.wide * (p.dim + p.value_dim) < PARALLEL_NUMBERS) {
    body(context, 0, count);
  } else {
    parallel_for_(count, body, context);
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
  for_range(count, body, &call);
}

int Pass::forward() {
  if (const int status = begin()) return status;
  const ScaParams& p = job_.p;
  open();
  if (job_.wide_queries) {
    choose_windows({p.query, p.out});
    choose_chunks(0);
  } else {
    choose_windows({p.key, p.value.data ? p.value : p.key});
    choose_chunks(padded(p.value_dim) + 16);
  }
  make_plans();
  reserve(&job_.rows_a, pairs() * job_.rows() * padded(p.dim));
  if (job_.wide_queries) reserve(&job_.rows_b, pairs() * job_.rows() * padded(p.value_dim));
  reserve(&job_.rest, pairs() * p.value_dim);
  reserve(&job_.partial_rest, pairs() * job_.chunks * p.value_dim);
  allocate();

  run(pairs() * (job_.group_limit + 1), kernels_->prepare_forward);
  if (job_.wide_queries) {
    run(p.batch * p.heads * job_.windows,
        job_.maps ? kernels_->forward_maps : kernels_->forward_queries);
  } else {
    run(pairs() * job_.chunks, kernels_->forward_keys);
    run(pairs() * job_.narrow, kernels_->finish_forward_keys);
  }
  return status_;
}

int Pass::backward() {
  if (const int status = begin()) return status;
  const ScaParams& p = job_.p;
  open();
  if (job_.wide_queries) {
    choose_windows({p.query, p.grad_out, p.grad_query});
    choose_chunks(padded(p.dim) + padded(p.value_dim));
  } else {
    const bool shared = p.value.data == nullptr;
    const ScaTensor& value = shared ? p.key : p.value;
    if (p.grad_key.data) {
      choose_windows({p.key, p.grad_key, value, shared ? p.grad_key : p.grad_value});
    } else {
      choose_windows({p.key, value});
    }
    choose_chunks(padded(p.dim));
  }
  make_plans();
  reserve(&job_.rows_a, pairs() * job_.rows() * padded(p.dim));
  reserve(&job_.rows_b, pairs() * job_.rows() * padded(p.value_dim));
  if (!job_.wide_queries) reserve(&job_.row_statistics, 4 * pairs() * job_.rows());
  reserve(&job_.rest, pairs() * p.value_dim);
  reserve(&job_.partial_rest, pairs() * job_.chunks * p.value_dim);
  allocate();

  run(pairs() * (job_.group_limit + 1), kernels_->prepare_backward);
  if (job_.wide_queries) {
    run(pairs() * job_.chunks, job_.maps ? kernels_->backward_maps : kernels_->backward_queries);
    if (p.grad_key.data) run(pairs() * job_.narrow, kernels_->finish_keys);
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
    case SCA_TOO_LARGE: return "more than 2^31 - 2 queries, keys, pixels or rows";
    case SCA_OUT_OF_MEMORY: return "out of memory";
    case SCA_UNKNOWN_ISA: return "SCAM_CPU_ISA must be auto, plain, avx2 or avx512";
    case SCA_UNSUPPORTED_ISA: return "this CPU lacks the instructions SCAM_CPU_ISA asks for";
  }
  return "unknown status";
}
