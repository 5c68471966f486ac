// SPDX-License-Identifier: Apache-2.0
// A window of pixels sorted by label.
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

// Consecutive pixels of one label, and the slots they take.
struct Run {
  int32_t pixel, slot, count, segment;
};

// The slots of one label: `count` pixels in pixel order, then padding up to whole vectors.
struct Segment {
  int32_t group, slot, count, end;
};

// `LANES` numbers from pixel on to slot on, or one number.
struct Copy {
  int32_t pixel, slot;
};

// LANES slots to a vector. Between segments lies one vector that whole-vector copies of runs may
// overwrite.
template <int LANES>
struct Window {
  int64_t first, count;  // pixels
  Run* runs;
  Segment* segments;
  int64_t run_count, segment_count;
  Copy* copies;  // first of vectors, in pixel order, then of single numbers
  int64_t vector_copies, copy_count;
  int64_t stride;     // slots from one channel to the next
  int32_t* pixel_of;  // by slot, from `first`; padding names a pixel of its own segment
  int32_t* slot_of;   // by pixel
  bool scattered;     // runs are too short to be copied one by one
  int32_t* groups;    // by pixel
  int32_t* place;     // by group: its segment in this window, -1 between calls

  static int64_t most_slots(const Job& job) {
    const int64_t segments = job.group_limit < job.window ? job.group_limit : job.window;
    return (job.window + segments * 2 * LANES + 63) / 16 * 16;
  }
  static size_t bytes(const Job& job) {
    return Workspace::bytes_of<Run>(job.window) + Workspace::bytes_of<Segment>(job.window) +
           Workspace::bytes_of<int32_t>(most_slots(job)) +
           2 * Workspace::bytes_of<int32_t>(job.window) +
           Workspace::bytes_of<int32_t>(job.group_limit) +
           Workspace::bytes_of<Copy>(2 * job.window);
  }
  Window(const Job& job, Workspace* workspace)
      : runs(workspace->take<Run>(job.window)),
        segments(workspace->take<Segment>(job.window)),
        copies(workspace->take<Copy>(2 * job.window)),
        pixel_of(workspace->take<int32_t>(most_slots(job))),
        slot_of(workspace->take<int32_t>(job.window)),
        groups(workspace->take<int32_t>(job.window)),
        place(workspace->take<int32_t>(job.group_limit)) {
    for (int64_t g = 0; g < job.group_limit; ++g) place[g] = -1;
  }

  void sort(const Job& job, int64_t b, int64_t window) {
    first = window * job.window;
    count = job.p.pixels - first < job.window ? job.p.pixels - first : job.window;
    groups_of_pixels(job, b, first, count, groups);
    find_runs();
    // An odd number of 64-byte lines keeps the channels of a slot apart in the cache.
    int64_t slot = 0;
    for (int64_t s = 0; s < segment_count; ++s) {
      Segment& segment = segments[s];
      segment.slot = int32_t(slot);
      segment.end = int32_t(slot + (segment.count + LANES - 1) / LANES * LANES);
      place[segment.group] = -1;
      slot = segment.end + LANES;
    }
    stride = (slot + 15) / 16 * 16;
    if (stride % 32 == 0) stride += 16;
    number_slots();
    scattered = run_count > count / 8 + 1;
    list_copies();
  }

 private:
  void find_runs() {
    run_count = segment_count = 0;
    for (int64_t i = 0; i < count;) {
      const int32_t group = groups[i];
      int64_t end = i + 1;
      while (end < count && groups[end] == group) ++end;
      if (place[group] < 0) {
        place[group] = int32_t(segment_count);
        segments[segment_count++] = {group, 0, 0, 0};
      }
      Segment& segment = segments[place[group]];
      runs[run_count++] = {int32_t(i), segment.count, int32_t(end - i), place[group]};
      segment.count += int32_t(end - i);
      i = end;
    }
  }

  // A vector may run past the end of its run: going out, the pixels it spoils are those of later
  // runs, and those of the next window are spared.
  void list_copies() {
    vector_copies = copy_count = 0;
    int64_t singles_from = run_count;
    for (int64_t r = 0; r < run_count; ++r) {
      const Run& run = runs[r];
      for (int32_t i = 0; i < run.count; i += LANES) {
        int32_t from = i;
        if (run.pixel + i + LANES > count) {
          if (run.count < LANES) {
            if (singles_from == run_count) singles_from = r;
            break;
          }
          from = run.count - LANES;
        }
        copies[copy_count++] = {run.pixel + from, run.slot + from};
      }
    }
    vector_copies = copy_count;
    for (int64_t r = singles_from; r < run_count; ++r)
      for (int32_t i = 0; i < runs[r].count && runs[r].count < LANES; ++i)
        copies[copy_count++] = {runs[r].pixel + i, runs[r].slot + i};
  }

  void number_slots() {
    for (int64_t r = 0; r < run_count; ++r) {
      Run& run = runs[r];
      run.slot += segments[run.segment].slot;
      for (int32_t i = 0; i < run.count; ++i) {
        pixel_of[run.slot + i] = run.pixel + i;
        slot_of[run.pixel + i] = run.slot + i;
      }
    }
    for (int64_t s = 0; s < segment_count; ++s) {
      const Segment& segment = segments[s];
      for (int32_t i = segment.count; i < segment.end - segment.slot; ++i)
        pixel_of[segment.slot + i] = pixel_of[segment.slot];
    }
  }
};
