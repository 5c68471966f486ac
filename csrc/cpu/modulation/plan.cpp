// SPDX-License-Identifier: Apache-2.0
#include "plan.h"

#include <algorithm>
#include <utility>

namespace scam::modulation {
namespace {

constexpr int64_t TABLE = 4096;  // labels below are looked up, others searched for

int64_t label_at(const ScaLabels& labels, int64_t b, int64_t i) {
  const int64_t at = b * labels.stride[0] + i * labels.stride[1];
  switch (labels.dtype) {
    case SCA_UINT8: return static_cast<const uint8_t*>(labels.data)[at];
    case SCA_INT8: return static_cast<const int8_t*>(labels.data)[at];
    case SCA_INT16: return static_cast<const int16_t*>(labels.data)[at];
    case SCA_INT32: return static_cast<const int32_t*>(labels.data)[at];
    default: return static_cast<const int64_t*>(labels.data)[at];
  }
}

// n up to a power of two, or beyond 8 to a multiple.
int64_t padded(int64_t n, int64_t multiple) {
  if (n > 8) return (n + multiple - 1) / multiple * multiple;
  return n < 3 ? n : n < 5 ? 4 : 8;
}

TokenGroup group_of(int64_t first, int64_t count, int64_t heads) {
  TokenGroup group = {};
  group.first = first, group.count = count;
  group.span = padded(count, 16), group.rows = padded(heads * group.span, 8);
  group.block = std::min<int64_t>(group.rows, 8);
  return group;
}

void plan_image(const ModulationParams& p, int64_t b, TokenPlanStorage* plan) {
  // (first token, label) of each label, and (place among the groups, token) of each token
  std::vector<int64_t> labels(p.tokens);
  for (int64_t j = 0; j < p.tokens; ++j) labels[j] = label_at(p.token_labels, b, j);
  std::vector<std::pair<int64_t, int32_t>> sorted;  // label, token
  for (int64_t j = 0; j < p.tokens; ++j)
    if (labels[j] >= 0) sorted.emplace_back(labels[j], int32_t(j));
  if (!std::is_sorted(sorted.begin(), sorted.end())) std::sort(sorted.begin(), sorted.end());
  struct Found {
    int32_t first_token;
    size_t begin, end;
    int64_t label;
  };
  std::vector<Found> found;
  for (size_t i = 0; i < sorted.size();) {
    size_t end = i + 1;
    while (end < sorted.size() && sorted[end].first == sorted[i].first) ++end;
    found.push_back({sorted[i].second, i, end, sorted[i].first});
    i = end;
  }
  const auto earlier = [](const Found& a, const Found& b) { return a.first_token < b.first_token; };
  if (!std::is_sorted(found.begin(), found.end(), earlier))
    std::sort(found.begin(), found.end(), earlier);
  std::vector<std::pair<int64_t, int32_t>> high;  // label, group
  int64_t highest = -1;
  for (const Found& f : found)
    if (f.label < TABLE) highest = std::max(highest, f.label);
  plan->table.assign(highest + 1, -1);
  plan->order.reserve(p.tokens);
  for (const Found& f : found) {
    const int32_t number = int32_t(plan->groups.size());
    const int64_t count = int64_t(f.end - f.begin);
    plan->groups.push_back(group_of(int64_t(plan->order.size()), count, p.heads));
    for (size_t i = f.begin; i < f.end; ++i) plan->order.push_back(sorted[i].second);
    if (f.label < TABLE) plan->table[f.label] = number;
    else high.emplace_back(f.label, number);
  }
  plan->groups.push_back(group_of(0, 1, 1));
  plan->groups.back().count = 0;
  for (int64_t j = 0; j < p.tokens; ++j)
    if (labels[j] < 0) plan->order.push_back(int32_t(j));
  std::sort(high.begin(), high.end());
  for (const auto& [label, group] : high) {
    plan->label_value.push_back(label);
    plan->label_group.push_back(group);
  }
}

}  // namespace

void plan_tokens(const ModulationParams& p, std::vector<TokenPlanStorage>* storage,
                 std::vector<TokenPlan>* plans) {
  storage->resize(p.batch);
  for (int64_t b = 0; b < p.batch; ++b) {
    TokenPlanStorage& plan = (*storage)[b];
    if (b > 0 && p.token_labels.stride[0] == 0) {
      plan = (*storage)[0];
    } else {
      plan_image(p, b, &plan);
    }
    plans->push_back({plan.order.data(), plan.groups.data(), int64_t(plan.groups.size()) - 1,
                      plan.label_value.data(), plan.label_group.data(),
                      int64_t(plan.label_value.size()), plan.table.data(),
                      int64_t(plan.table.size())});
  }
}

}  // namespace scam::modulation
