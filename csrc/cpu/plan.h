// SPDX-License-Identifier: Apache-2.0
// Sorting labels, once per call: O(queries + keys) for labels below 65536, else O(n log n).
#pragma once

#include <cstdint>
#include <vector>

#include "job.h"

namespace scam {

// Owns what a Plan points to.
struct PlanStorage {
  std::vector<int32_t> narrow_order, narrow_group, wide_order, wide_group;
  std::vector<Group> groups;
  std::vector<int64_t> slots;
  int64_t partial_rows = 0;

  Plan view(int64_t partial_base) const;
};

// Labels of one batch element, widened.
std::vector<int64_t> read_labels(const ScaLabels& labels, int64_t batch, int64_t count);

// Sorts both sides: wide items by label as a whole, or inside windows of consecutive items.
void sort_labels(const Job& job, const std::vector<int64_t>& narrow,
                 const std::vector<int64_t>& wide, PlanStorage* plan);

// Gives every (chunk, group) that occurs its partial rows.
void assign_slots(const Job& job, PlanStorage* plan);

}  // namespace scam
