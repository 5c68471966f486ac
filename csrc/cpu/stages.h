// SPDX-License-Identifier: Apache-2.0
// What drivers share: kernels of the instruction set in use, memory of a pass, stages in parallel.
#pragma once

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <vector>

#include "../sca.h"

namespace scam {

template <class Job, class Kernels>
class Stages {
 protected:
  typedef int (*Stage)(const Job&, int64_t begin, int64_t end);
  typedef const Kernels& (*Of)(int dtype);

  explicit Stages(ScaParallelFor parallel_for) : parallel_for_(parallel_for) {}

  int choose_kernels(int32_t dtype, std::initializer_list<int32_t> labels, Of plain, Of avx2,
                     Of avx512) {
    if (dtype != SCA_FLOAT64 && dtype != SCA_FLOAT32 && dtype != SCA_BFLOAT16)
      return SCA_BAD_DTYPE;
    for (int32_t of_labels : labels)
      if (of_labels < SCA_UINT8 || of_labels > SCA_INT64) return SCA_BAD_DTYPE;
    int status;
    const char* isa = sca_cpu_isa(&status);
    if (status != SCA_OK) return status;
    const Of chosen = !std::strcmp(isa, "avx512") ? avx512
                      : !std::strcmp(isa, "avx2") ? avx2
                                                  : plain;
    kernels_ = &chosen(dtype);
    return SCA_OK;
  }

  // Memory until the end of the pass; null once something failed.
  void* allocate(int64_t numbers, int64_t size) {
    memory_.emplace_back(std::aligned_alloc(64, (numbers * size + 127) / 64 * 64));
    if (!memory_.back()) status_ = SCA_OUT_OF_MEMORY;
    return memory_.back().get();
  }

  void run(int64_t count, Stage stage) {
    if (count == 0 || status_ != SCA_OK) return;
    Call call = {&job_, stage, &status_};
    parallel_for_(
        count,
        [](void* context, int64_t begin, int64_t end) {
          Call& c = *static_cast<Call*>(context);
          const int status = c.stage(*c.job, begin, end);
          if (status != SCA_OK) c.status->store(status);
        },
        &call);
  }

  Job job_{};
  const Kernels* kernels_ = nullptr;
  std::atomic<int> status_{SCA_OK};

 private:
  struct Call {
    const Job* job;
    Stage stage;
    std::atomic<int>* status;
  };
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };

  ScaParallelFor parallel_for_;
  std::vector<std::unique_ptr<void, Free>> memory_;
};

}  // namespace scam
