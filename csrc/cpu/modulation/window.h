// SPDX-License-Identifier: Apache-2.0
// A window of pixels, brought together by label.
#pragma once

template <class I>
inline void find_groups(const I* labels, int64_t stride, int64_t count, const TokenPlan& plan,
                        int32_t* groups) {
  const int32_t none = int32_t(plan.group_count);
  I last = 0;
  int32_t found = -2;
  for (int64_t i = 0; i < count; ++i) {
    const I label = labels[i * stride];
    if (found == -2 || label != last) {
      const int64_t wanted = int64_t(label);
      found = -1;
      if (wanted >= 0 && wanted < plan.table_size) {
        found = plan.table[wanted];
      } else if (wanted >= 0) {
        int64_t low = 0, high = plan.label_count;
        while (low < high) {
          const int64_t middle = (low + high) / 2;
          if (plan.label_value[middle] < wanted) low = middle + 1;
          else high = middle;
        }
        if (low < plan.label_count && plan.label_value[low] == wanted)
          found = plan.label_group[low];
      }
      if (found < 0) found = none;
      last = label;
    }
    groups[i] = found;
  }
}

// The token group of each of `count` pixels.
inline void groups_of_pixels(const Job& job, int64_t b, int64_t first, int64_t count,
                             int32_t* groups) {
  const ScaLabels& labels = job.p.labels;
  const TokenPlan& plan = job.plans[b];
  const int64_t stride = labels.stride[1], at = b * labels.stride[0] + first * stride;
  switch (labels.dtype) {
    case SCA_UINT8:
      return find_groups((const uint8_t*)labels.data + at, stride, count, plan, groups);
    case SCA_INT8:
      return find_groups((const int8_t*)labels.data + at, stride, count, plan, groups);
    case SCA_INT16:
      return find_groups((const int16_t*)labels.data + at, stride, count, plan, groups);
    case SCA_INT32:
      return find_groups((const int32_t*)labels.data + at, stride, count, plan, groups);
    default:
      return find_groups((const int64_t*)labels.data + at, stride, count, plan, groups);
  }
}

// Pixels that are handled together, and how many before their turn rows are asked for.
constexpr int64_t PIECE = 32, AHEAD = PIECE;

// The pixels of one label: `count` of Window::order from `first` on.
struct Segment {
  int32_t group, first, count;
};

struct Window {
  int64_t first, count;  // pixels
  int64_t segment_count;
  Segment* segments;
  int32_t* order;   // pixels from `first` on, segment by segment, each in pixel order; AHEAD more
  int32_t* groups;  // by pixel
  int32_t* place;   // by group: its segment in this window, -1 between calls

  static size_t bytes(const Job& job) {
    return Workspace::bytes_of<Segment>(job.window) +
           Workspace::bytes_of<int32_t>(job.window + AHEAD) +
           Workspace::bytes_of<int32_t>(job.window) +
           Workspace::bytes_of<int32_t>(job.group_limit);
  }
  Window(const Job& job, Workspace* workspace)
      : segments(workspace->take<Segment>(job.window)),
        order(workspace->take<int32_t>(job.window + AHEAD)),
        groups(workspace->take<int32_t>(job.window)),
        place(workspace->take<int32_t>(job.group_limit)) {
    for (int64_t g = 0; g < job.group_limit; ++g) place[g] = -1;
  }

  void sort(const Job& job, int64_t b, int64_t window) {
    first = window * job.window, segment_count = 0;
    count = job.p.pixels - first < job.window ? job.p.pixels - first : job.window;
    groups_of_pixels(job, b, first, count, groups);
    for (int64_t i = 0; i < count; ++i) {
      int32_t& at = place[groups[i]];
      if (at < 0) {
        at = int32_t(segment_count);
        segments[segment_count++] = {groups[i], 0, 0};
      }
      ++segments[at].count;
    }
    int32_t next = 0;
    for (int64_t s = 0; s < segment_count; ++s) {
      segments[s].first = next;
      next += segments[s].count;
      segments[s].count = 0;
    }
    for (int64_t i = 0; i < count; ++i) {
      Segment& segment = segments[place[groups[i]]];
      order[segment.first + segment.count++] = int32_t(i);
    }
    for (int64_t s = 0; s < segment_count; ++s) place[segments[s].group] = -1;
    for (int64_t i = count; i < count + AHEAD; ++i) order[i] = int32_t(count - 1);
  }
};
