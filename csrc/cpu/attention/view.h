// SPDX-License-Identifier: Apache-2.0
// Where things lie in a job's shared buffers and in a window.
#pragma once

constexpr int64_t ROW_BLOCK = 64;  // narrow rows whose scores are held at once

// Stride of score rows: room for two vectors past the last lane, and an odd number of 64-byte
// lines, so that rows do not collide in the cache.
inline int64_t score_stride(int64_t window) { return (window + 63) / 32 * 32 + 16; }

template <class T>
struct View {  // typed access to a job
  typedef typename Accumulate<T>::type A;
  const Job& job;

  int64_t pair(int64_t b, int64_t kv) const { return b * job.p.kv_heads + kv; }
  static A* at(void* data, int64_t index) { return static_cast<A*>(data) + index; }

  A* rows_a(int64_t b, int64_t kv, const Group& g) const {
    return at(job.rows_a, row(b, kv, g) * padded(job.p.dim));
  }
  A* rows_b(int64_t b, int64_t kv, const Group& g) const {
    return at(job.rows_b, row(b, kv, g) * padded(job.p.value_dim));
  }
  int64_t row(int64_t b, int64_t kv, const Group& g) const {
    return pair(b, kv) * job.rows() + g.first * job.narrow_heads;
  }
  RowStatistics<A>* row_statistics(int64_t b, int64_t kv, const Group& g) const {
    return static_cast<RowStatistics<A>*>(job.row_statistics) + row(b, kv, g);
  }
  A* rest(int64_t b, int64_t kv) const { return at(job.rest, pair(b, kv) * job.p.value_dim); }
  A* partial_rest(int64_t b, int64_t kv, int64_t chunk) const {
    return at(job.partial_rest, (pair(b, kv) * job.chunks + chunk) * job.p.value_dim);
  }
  // Partial rows of a group in a chunk, or null.
  A* partial(int64_t b, int64_t kv, int64_t chunk, int64_t group) const {
    const Plan& plan = job.plans[b];
    const int64_t slot = plan.slots[chunk * plan.group_count + group];
    if (slot < 0) return nullptr;
    return at(job.partial,
              (plan.partial_base + kv * plan.partial_rows + slot) * job.partial_width);
  }
};

// The windows of a chunk, and the segments of one label in a window.
struct Segment {
  int64_t begin, end, group;  // lanes; group -1: none
};

inline Segment next_segment(const int32_t* groups, int64_t begin, int64_t count) {
  int64_t end = begin + 1;
  while (end < count && groups[end] == groups[begin]) ++end;
  return {begin, end, groups[begin]};
}

// Channels of the segment's lanes; `channels` null: zeros.
template <class A>
inline void fill_lanes(A* const* lanes, int64_t depth, const Segment& s, const A* channels) {
  for (int64_t p = s.begin; p < s.end; ++p) {
    if (channels) {
      memcpy(lanes[p], channels, sizeof(A) * depth);
    } else {
      memset(lanes[p], 0, sizeof(A) * depth);
    }
  }
}

template <class A>
inline void add_lanes(const A* const* lanes, int64_t depth, const Segment& s, A* sum) {
  for (int64_t p = s.begin; p < s.end; ++p)
    for (int64_t d = 0; d < depth; ++d) sum[d] += lanes[p][d];
}
