// SPDX-License-Identifier: Apache-2.0
#include "plan.h"

#include <algorithm>
#include <numeric>

namespace scam {
namespace {

constexpr int64_t DENSE_LABELS = 1 << 16;  // labels below are counted, others compared

template <class T>
void copy_labels(const ScaLabels& labels, int64_t batch, std::vector<int64_t>* to) {
  const T* from = static_cast<const T*>(labels.data) + batch * labels.stride[0];
  for (size_t i = 0; i < to->size(); ++i) (*to)[i] = from[int64_t(i) * labels.stride[1]];
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

// Stable: items move into their windows, each keeping the order it has.
std::vector<int32_t> by_window(const std::vector<int32_t>& order, int64_t window) {
  std::vector<size_t> next((order.size() + size_t(window) - 1) / size_t(window));
  for (size_t w = 0; w < next.size(); ++w) next[w] = w * size_t(window);
  std::vector<int32_t> result(order.size());
  for (int32_t item : order) result[next[size_t(item) / size_t(window)]++] = item;
  return result;
}

}  // namespace

std::vector<int64_t> read_labels(const ScaLabels& labels, int64_t batch, int64_t count) {
  std::vector<int64_t> result(static_cast<size_t>(count));
  switch (labels.dtype) {
    case SCA_UINT8: copy_labels<uint8_t>(labels, batch, &result); break;
    case SCA_INT8: copy_labels<int8_t>(labels, batch, &result); break;
    case SCA_INT16: copy_labels<int16_t>(labels, batch, &result); break;
    case SCA_INT32: copy_labels<int32_t>(labels, batch, &result); break;
    default: copy_labels<int64_t>(labels, batch, &result);
  }
  return result;
}

void sort_labels(const Job& job, const std::vector<int64_t>& narrow,
                 const std::vector<int64_t>& wide, PlanStorage* plan) {
  plan->narrow_order = order_by_label(narrow);
  plan->narrow_group.assign(narrow.size(), -1);
  std::vector<int64_t> found;  // labels of the narrow side, ascending
  std::vector<Group> runs;
  for (size_t s = 0; s < narrow.size(); ++s) {
    const int64_t label = narrow[size_t(plan->narrow_order[s])];
    if (label < 0) break;
    if (found.empty() || found.back() != label) {
      found.push_back(label);
      runs.push_back({int64_t(s), 0});
    }
    ++runs.back().count;
  }

  const LabelTable table(found);
  plan->wide_order = order_by_label(wide);
  if (job.consecutive) plan->wide_order = by_window(plan->wide_order, job.window);
  plan->wide_group.resize(wide.size());
  std::vector<int32_t> seen(found.size(), -1);
  for (size_t p = 0; p < wide.size(); ++p) {
    const int32_t run = table.find(wide[size_t(plan->wide_order[p])]);
    plan->wide_group[p] = run;
    if (run >= 0) seen[size_t(run)] = 0;
  }
  for (size_t r = 0; r < runs.size(); ++r) {  // keep the groups that both sides have
    if (seen[r] < 0) continue;
    seen[r] = int32_t(plan->groups.size());
    const auto first = plan->narrow_group.begin() + runs[r].first;
    std::fill(first, first + runs[r].count, seen[r]);
    plan->groups.push_back(runs[r]);
  }
  for (int32_t& group : plan->wide_group)
    if (group >= 0) group = seen[size_t(group)];
}

void assign_slots(const Job& job, PlanStorage* plan) {
  if (job.chunks == 0) return;
  const size_t groups = plan->groups.size();
  plan->slots.assign(size_t(job.chunks) * groups, -1);
  const size_t span = size_t(job.chunk_windows * job.window);
  for (size_t p = 0; p < plan->wide_group.size(); ++p) {
    const int32_t group = plan->wide_group[p];
    if (group < 0) continue;
    int64_t& slot = plan->slots[p / span * groups + size_t(group)];
    if (slot >= 0) continue;
    slot = plan->partial_rows;
    plan->partial_rows += plan->groups[size_t(group)].count * job.narrow_heads;
  }
}

Plan PlanStorage::view(int64_t partial_base) const {
  return {narrow_order.data(), narrow_group.data(), groups.data(), int64_t(groups.size()),
          wide_order.data(),   wide_group.data(),   slots.data(),  partial_rows,
          partial_base};
}

}  // namespace scam
