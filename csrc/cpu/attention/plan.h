// SPDX-License-Identifier: Apache-2.0
// Sorting labels, once per call: O(queries + keys) for labels below 65536, else
// O(n log n).
#pragma once

#include <cstdint>
#include <vector>

#include "job.h"

namespace scam {

// Consecutive items of one label.
struct Run {
  int64_t label;
  int32_t first, count;
};

// Owns what a Plan points to.
struct PlanStorage {
  std::vector<Run> wide;
  std::vector<int64_t> labels;      // of the narrow side, ascending
  std::vector<Group> label_groups;  // the narrow items of each, whether seen or not
  std::vector<int32_t> narrow_order, narrow_group, wide_order, wide_group;
  std::vector<Group> groups;
  std::vector<int64_t> slots;
  int64_t partial_rows = 0;

  Plan view(int64_t partial_base) const;
};

// Labels of one batch element: runs of the wide side, the narrow side sorted.
void read_labels(const Job& job, int64_t batch, PlanStorage* plan);

// Sorts the wide side by label, as a whole or inside windows of consecutive items.
void sort_labels(const Job& job, PlanStorage* plan);

// Gives every (chunk, group) that occurs its partial rows.
void assign_slots(const Job& job, PlanStorage* plan);

}  // namespace scam
