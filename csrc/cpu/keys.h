// SPDX-License-Identifier: Apache-2.0
// Wide keys ("latents read pixels"): the softmax of a narrow query runs over lanes and windows.
#pragma once

// A partial row of the forward pass: value_dim weighted sums, then maximum and denominator.
// Rows of one group against the lanes of one segment.
template <class A>
struct RowAttention {
  static constexpr int lanes = VecOf<A>::lanes;
  const A* queries;  // panels, times scale
  int64_t rows, dim, value_dim;
  A* s;  // (ROW_BLOCK, stride)
  int64_t stride;

  void forward(const A* key, const A* value, int64_t count, A* partial, int64_t width) const {
    for (int64_t r = 0; r < rows; r += ROW_BLOCK) {
      const int64_t n = rows - r < ROW_BLOCK ? rows - r : ROW_BLOCK;
      A* block = partial + r * width;
      scores(queries + r * dim, n, dim, key, stride, count, s, stride);
      for (int64_t j = 0; j < n; ++j) softmax_row(s + j * stride, count, block + j * width);
      reduce(s, n, stride, value, stride, count, value_dim, block, width);
    }
  }

  // Scores become weights; the row's sums so far shrink to the new maximum.
  inline void softmax_row(A* score, int64_t count, A* row) const {
    A &top = row[value_dim], &sum = row[value_dim + 1];
    const Vec<A> lowest = fill(A(-__builtin_inf()));
    Vec<A> best = lowest;
    for (int64_t p = 0; p < count; p += lanes) {
      const IntVec<A> mask = first_lanes<A>(count - p < lanes ? count - p : lanes);
      const Vec<A> masked = mask ? load(score + p) : lowest;
      store(score + p, masked);
      best = max<A>(masked, best);
    }
    const A before = top, now = max_lanes<A>(best);
    top = now > before ? now : before;
    const A base = top == A(-__builtin_inf()) ? A(0) : top;  // scores of -inf weigh 0, not NaN
    Vec<A> total{};
    for (int64_t p = 0; p < count; p += lanes) {
      const Vec<A> weight = exp<A>(load(score + p) - base);
      store(score + p, weight);
      total += weight;
    }
    const A shrink = sum == A(0) ? A(0) : exp<A>(fill(before - base))[0];
    for (int64_t d = 0; d < value_dim; ++d) row[d] *= shrink;
    sum = sum * shrink + sum_lanes<A>(total);
  }

  struct Gradients {
    const A* grad_out;  // panels
    const A* lse;       // by row
    const A* delta;
    A* weight_gradient;  // (ROW_BLOCK, stride): workspace
    A* key;              // lanes
    A* value;            // lanes; may be `key`, which then gets both
    A* query;            // rows of `row_stride`, without the factor scale
    int64_t row_stride;
  };

  void backward(const A* key, const A* value, int64_t count, const Gradients& to) const {
    A* ds = to.weight_gradient;
    for (int64_t r = 0; r < rows; r += ROW_BLOCK) {
      const int64_t n = rows - r < ROW_BLOCK ? rows - r : ROW_BLOCK;
      const A* grad_panels = to.grad_out + r * value_dim;
      scores(queries + r * dim, n, dim, key, stride, count, s, stride);
      scores(grad_panels, n, value_dim, value, stride, count, ds, stride);
      for (int64_t j = 0; j < n; ++j)
        for (int64_t p = 0; p < count; p += lanes) {
          A *weight = s + j * stride + p, *gradient = ds + j * stride + p;
          store(weight, exp<A>(load(weight) - to.lse[r + j]));
          store(gradient, load(weight) * (load(gradient) - to.delta[r + j]));
        }
      mix(queries + r * dim, n, dim, ds, stride, count, to.key, stride, r > 0);
      mix(grad_panels, n, value_dim, s, stride, count, to.value, stride,
          r > 0 || to.value == to.key);
      reduce(ds, n, stride, key, stride, count, dim, to.query + r * to.row_stride, to.row_stride);
    }
  }
};

template <class T>
int forward_keys(const Job& job, int64_t begin, int64_t end) {
  typedef typename Accumulate<T>::type A;
  const ScaParams& p = job.p;
  const View<T> view{job};
  const int64_t stride = tile_stride(job.window);
  Workspace space(sizeof(A) * stride * (p.dim + p.value_dim + ROW_BLOCK + 8) +
                  sizeof(Run) * 2 * job.window + 1024);
  if (!space.ok()) return SCA_OUT_OF_MEMORY;
  A* key = space.take<A>(p.dim * stride);
  A* value = p.value.data ? space.take<A>(p.value_dim * stride) : key;
  A* s = space.take<A>(ROW_BLOCK * stride);
  Run* runs = space.take<Run>(2 * job.window);

  for (int64_t i = begin; i < end; ++i) {
    const int64_t b = i / (p.kv_heads * job.chunks), kv = i / job.chunks % p.kv_heads;
    const int64_t chunk = i % job.chunks;
    const Plan& plan = job.plans[b];
    for (int64_t g = 0; g < plan.group_count; ++g)
      if (A* row = view.partial(b, kv, chunk, g))
        for (int64_t r = 0; r < plan.groups[g].count * job.narrow_heads; ++r) {
          memset(row, 0, sizeof(A) * job.partial_width);
          row[p.value_dim] = A(-__builtin_inf());
          row += job.partial_width;
        }
    A* rest = p.uniform ? view.partial_rest(b, kv, chunk) : nullptr;
    if (rest) memset(rest, 0, sizeof(A) * p.value_dim);

    const int64_t last = (chunk + 1) * job.chunk_windows * job.window;
    for (int64_t first = chunk * job.chunk_windows * job.window; first < last && first < p.keys;
         first += job.window) {
      const int64_t count = p.keys - first < job.window ? p.keys - first : job.window;
      const int32_t* groups = plan.wide_group + first;
      const Window window = find_runs(plan.wide_order + first, count, p.keys - first - count, runs);
      pack(view.items(p.key, b, kv, p.keys), window, p.dim, key, stride);
      if (p.value.data)
        pack(view.items(p.value, b, kv, p.keys), window, p.value_dim, value, stride);
      for (int64_t d = 0; rest && d < p.value_dim; ++d)
        for (int64_t l = 0; l < count; ++l) rest[d] += value[d * stride + l];
      for (Segment g{0, 0, 0}; g.end < count;) {
        g = next_segment(groups, g.end, count);
        if (g.group < 0) continue;
        const Group& group = plan.groups[g.group];
        const RowAttention<A> attention{view.panels(b, kv, group),
                                        group.count * job.narrow_heads, p.dim, p.value_dim, s,
                                        stride};
        attention.forward(key + g.begin, value + g.begin, g.end - g.begin,
                          view.partial(b, kv, chunk, g.group), job.partial_width);
      }
    }
  }
  return SCA_OK;
}

template <class T>
int backward_keys(const Job& job, int64_t begin, int64_t end) {
  typedef typename Accumulate<T>::type A;
  const ScaParams& p = job.p;
  const View<T> view{job};
  const bool own_value = p.value.data != nullptr;
  const int64_t stride = tile_stride(job.window);
  Workspace space(sizeof(A) * stride * (2 * p.dim + 2 * p.value_dim + 2 * ROW_BLOCK + 8) +
                  sizeof(Run) * 2 * job.window + 1024);
  if (!space.ok()) return SCA_OUT_OF_MEMORY;
  A* key = space.take<A>(p.dim * stride);
  A* grad_key = space.take<A>(p.dim * stride);
  A* value = own_value ? space.take<A>(p.value_dim * stride) : key;
  A* grad_value = own_value ? space.take<A>(p.value_dim * stride) : grad_key;
  A* s = space.take<A>(ROW_BLOCK * stride);
  A* ds = space.take<A>(ROW_BLOCK * stride);
  Run* runs = space.take<Run>(2 * job.window);

  for (int64_t i = begin; i < end; ++i) {
    const int64_t b = i / (p.kv_heads * job.chunks), kv = i / job.chunks % p.kv_heads;
    const int64_t chunk = i % job.chunks;
    const Plan& plan = job.plans[b];
    for (int64_t g = 0; g < plan.group_count; ++g)
      if (A* rows = view.partial(b, kv, chunk, g))
        memset(rows, 0,
               sizeof(A) * plan.groups[g].count * job.narrow_heads * job.partial_width);

    const int64_t last = (chunk + 1) * job.chunk_windows * job.window;
    for (int64_t first = chunk * job.chunk_windows * job.window; first < last && first < p.keys;
         first += job.window) {
      const int64_t count = p.keys - first < job.window ? p.keys - first : job.window;
      const int32_t* groups = plan.wide_group + first;
      const Window window = find_runs(plan.wide_order + first, count, p.keys - first - count, runs);
      pack(view.items(p.key, b, kv, p.keys), window, p.dim, key, stride);
      if (own_value) pack(view.items(p.value, b, kv, p.keys), window, p.value_dim, value, stride);
      for (Segment g{0, 0, 0}; g.end < count;) {
        g = next_segment(groups, g.end, count);
        if (g.group < 0) {
          fill_lanes<A>(grad_key, stride, p.dim, g, nullptr);
          if (own_value) fill_lanes<A>(grad_value, stride, p.value_dim, g, nullptr);
          continue;
        }
        const Group& group = plan.groups[g.group];
        const RowAttention<A> attention{view.panels(b, kv, group),
                                        group.count * job.narrow_heads, p.dim, p.value_dim, s,
                                        stride};
        const int64_t row = view.row(b, kv, group);
        attention.backward(key + g.begin, value + g.begin, g.end - g.begin,
                           {view.value_panels(b, kv, group), View<T>::at(job.row_lse, row),
                            View<T>::at(job.row_delta, row), ds, grad_key + g.begin,
                            grad_value + g.begin, view.partial(b, kv, chunk, g.group),
                            job.partial_width});
      }
      if (p.uniform) {  // every value, seen or not, gets its share of the queries that see nothing
        const A* share = view.rest(b, kv);
        for (int64_t d = 0; d < p.value_dim; ++d)
          for (int64_t l = 0; l < count; ++l) grad_value[d * stride + l] += share[d];
      }
      unpack(view.items(p.grad_key, b, kv, p.keys), window, p.dim, grad_key, stride);
      if (own_value)
        unpack(view.items(p.grad_value, b, kv, p.keys), window, p.value_dim, grad_value, stride);
    }
  }
  return SCA_OK;
}
