// SPDX-License-Identifier: Apache-2.0
// The tokens of each image, brought together by label.
#pragma once

#include <vector>

#include "job.h"

namespace scam::modulation {

struct TokenPlanStorage {
  std::vector<int32_t> order, label_group, table;
  std::vector<int64_t> label_value;
  std::vector<TokenGroup> groups;
};

void plan_tokens(const ModulationParams& params, std::vector<TokenPlanStorage>* storage,
                 std::vector<TokenPlan>* plans);

}  // namespace scam::modulation
