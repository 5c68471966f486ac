// SPDX-License-Identifier: Apache-2.0
#include "plan.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace scam {
namespace {

constexpr int64_t DENSE_LABELS = 1 << 16;  // labels below are counted, others compared

template <class T>
struct LabelReader {
  const T* from;
  int64_t stride;
  LabelReader(const ScaLabels& labels, int64_t batch)
      : from(static_cast<const T*>(labels.data) + batch * labels.stride[0]),
        stride(labels.stride[1]) {}
  T operator[](int64_t i) const { return from[i * stride]; }
};

template <class F>
void with_labels(const ScaLabels& labels, int64_t batch, const F& body) {
  switch (labels.dtype) {
    case SCA_UINT8: return body(LabelReader<uint8_t>(labels, batch));
    case SCA_INT8: return body(LabelReader<int8_t>(labels, batch));
    case SCA_INT16: return body(LabelReader<int16_t>(labels, batch));
    case SCA_INT32: return body(LabelReader<int32_t>(labels, batch));
    default: return body(LabelReader<int64_t>(labels, batch));
  }
}

template <class Reader>
void find_runs(const Reader& labels, int64_t count, std::vector<Run>* runs) {
  for (int64_t i = 0; i < count;) {
    const auto label = labels[i];
    const int64_t first = i;
    while (++i < count && labels[i] == label) {
    }
    runs->push_back({int64_t(label), int32_t(first), int32_t(i - first)});
  }
}

// Items by label, stable, negative labels last.
std::vector<int32_t> order_by_label(const std::vector<int64_t>& labels) {
  std::vector<int32_t> order(labels.size());
  int64_t top = -1;
  for (int64_t label : labels) top = std::max(top, label);
  if (top < DENSE_LABELS) {
    std::vector<int32_t> next(size_t(top) + 3, 0);  // where the label's next item goes
    const auto bin = [top](int64_t label) { return label < 0 ? top + 1 : label; };
    for (int64_t label : labels) ++next[size_t(bin(label)) + 1];
    std::partial_sum(next.begin(), next.end(), next.begin());
    for (size_t i = 0; i < labels.size(); ++i)
      order[size_t(next[size_t(bin(labels[i]))]++)] = int32_t(i);
  } else {
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&labels](int32_t a, int32_t b) {
      return uint64_t(labels[size_t(a)]) < uint64_t(labels[size_t(b)]);
    });
  }
  return order;
}

// Which group a label belongs to.
class LabelTable {
 public:
  explicit LabelTable(const std::vector<int64_t>& ascending) : labels_(ascending) {
    if (labels_.empty() || labels_.back() >= DENSE_LABELS) return;
    dense_.assign(size_t(labels_.back()) + 1, -1);
    for (size_t g = 0; g < labels_.size(); ++g) dense_[size_t(labels_[g])] = int32_t(g);
  }
  int32_t find(int64_t label) const {
    if (!dense_.empty())
      return uint64_t(label) < dense_.size() ? dense_[size_t(label)] : -1;
    const auto at = std::lower_bound(labels_.begin(), labels_.end(), label);
    return at != labels_.end() && *at == label ? int32_t(at - labels_.begin()) : -1;
  }

 private:
  const std::vector<int64_t>& labels_;
  std::vector<int32_t> dense_;
};

void sort_narrow(const std::vector<int64_t>& narrow, PlanStorage* plan) {
  plan->narrow_order = order_by_label(narrow);
  for (size_t s = 0; s < narrow.size(); ++s) {
    const int64_t label = narrow[size_t(plan->narrow_order[s])];
    if (label < 0) break;
    if (plan->labels.empty() || plan->labels.back() != label) {
      plan->labels.push_back(label);
      plan->label_groups.push_back({int64_t(s), 0});
    }
    ++plan->label_groups.back().count;
  }
}

// Consecutive items of one group.
struct GroupRun {
  int32_t group, first, count;
};

std::vector<GroupRun> cut_at_windows(const std::vector<GroupRun>& runs, int64_t window) {
  std::vector<GroupRun> result;
  result.reserve(runs.size());
  for (const GroupRun& run : runs)
    for (int64_t first = run.first, end = first + run.count; first < end;) {
      const int64_t next = std::min(end, (first / window + 1) * window);
      result.push_back({run.group, int32_t(first), int32_t(next - first)});
      first = next;
    }
  return result;
}

// Items window by window (a window may hold all), by group inside a window, those of no group
// last; stable.
void order_wide(const std::vector<GroupRun>& runs, int64_t window, PlanStorage* plan) {
  const size_t bins = plan->groups.size() + 1;
  std::vector<int32_t> next(bins);  // where the group's next item goes
  const auto bin = [bins](int32_t group) { return group < 0 ? bins - 1 : size_t(group); };
  for (size_t r = 0; r < runs.size();) {
    const int64_t at = runs[r].first / window;
    const size_t begin = r;
    std::fill(next.begin(), next.end(), 0);
    for (; r < runs.size() && runs[r].first / window == at; ++r)
      next[bin(runs[r].group)] += runs[r].count;
    int32_t start = runs[begin].first;
    for (int32_t& place : next) start += std::exchange(place, start);
    for (size_t k = begin; k < r; ++k) {
      int32_t& place = next[bin(runs[k].group)];
      std::iota(&plan->wide_order[size_t(place)], &plan->wide_order[size_t(place)] + runs[k].count,
                runs[k].first);
      std::fill_n(&plan->wide_group[size_t(place)], runs[k].count, runs[k].group);
      place += runs[k].count;
    }
  }
}

}  // namespace

void read_labels(const Job& job, int64_t batch, PlanStorage* plan) {
  const ScaParams& p = job.p;
  const ScaLabels& narrow = job.wide_queries ? p.key_labels : p.query_labels;
  const ScaLabels& wide = job.wide_queries ? p.query_labels : p.key_labels;
  std::vector<int64_t> widened(static_cast<size_t>(job.narrow));
  with_labels(narrow, batch, [&](const auto& labels) {
    for (int64_t i = 0; i < job.narrow; ++i) widened[size_t(i)] = int64_t(labels[i]);
  });
  sort_narrow(widened, plan);
  with_labels(wide, batch,
              [&](const auto& labels) { find_runs(labels, job.wide, &plan->wide); });
}

void sort_labels(const Job& job, PlanStorage* plan) {
  const std::vector<Group>& all = plan->label_groups;
  const LabelTable table(plan->labels);
  std::vector<GroupRun> runs;
  runs.reserve(plan->wide.size());
  std::vector<int32_t> kept(all.size(), -1);  // numbers of the groups that both sides have
  for (const Run& run : plan->wide) {
    const int32_t group = table.find(run.label);
    if (group >= 0) kept[size_t(group)] = 0;
    runs.push_back({group, run.first, run.count});
  }
  plan->narrow_group.assign(plan->narrow_order.size(), -1);
  for (size_t g = 0; g < all.size(); ++g) {
    if (kept[g] < 0) continue;
    kept[g] = int32_t(plan->groups.size());
    std::fill_n(plan->narrow_group.begin() + all[g].first, all[g].count, kept[g]);
    plan->groups.push_back(all[g]);
  }
  for (GroupRun& run : runs)
    if (run.group >= 0) run.group = kept[size_t(run.group)];

  plan->wide_order.resize(size_t(job.wide));
  plan->wide_group.resize(size_t(job.wide));
  if (job.consecutive) {
    order_wide(cut_at_windows(runs, job.window), job.window, plan);
  } else {
    order_wide(runs, std::max<int64_t>(job.wide, 1), plan);
  }
}

void assign_slots(const Job& job, PlanStorage* plan) {
  if (job.chunks == 0) return;
  const size_t groups = plan->groups.size(), count = plan->wide_group.size();
  plan->slots.assign(size_t(job.chunks) * groups, -1);
  const size_t span = size_t(job.chunk_windows * job.window);
  for (size_t begin = 0, chunk = 0; begin < count; begin += span, ++chunk) {
    int32_t before = -1;
    for (size_t p = begin; p < std::min(begin + span, count); ++p) {
      const int32_t group = plan->wide_group[p];
      if (group < 0 || group == before) continue;
      before = group;
      int64_t& slot = plan->slots[chunk * groups + size_t(group)];
      if (slot >= 0) continue;
      slot = plan->partial_rows;
      plan->partial_rows += plan->groups[size_t(group)].count * job.narrow_heads;
    }
  }
}

Plan PlanStorage::view(int64_t partial_base) const {
  return {narrow_order.data(), narrow_group.data(), groups.data(), int64_t(groups.size()),
          wide_order.data(),   wide_group.data(),   slots.data(),  partial_rows,
          partial_base};
}

}  // namespace scam
