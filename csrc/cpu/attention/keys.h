// SPDX-License-Identifier: Apache-2.0
// Wide keys ("latents read pixels"): the softmax of a narrow query runs over lanes and windows.
#pragma once

// Rows of one group against the lanes of one segment. A partial row of the forward pass holds
// the weighted sums of values, then (at padded value_dim) the maximum and the denominator.
template <class A>
struct RowAttention {
  static constexpr int lanes = VecOf<A>::lanes;
  const A* queries;  // rows of padded `dim`, times scale
  int64_t rows, dim, value_dim;  // padded
  A* s;  // (ROW_BLOCK, stride)
  int64_t stride;

  void forward(const A* const* key, const A* const* value, int64_t count, A* partial,
               int64_t width) const {
    for (int64_t r = 0; r < rows; r += ROW_BLOCK) {
      const int64_t n = rows - r < ROW_BLOCK ? rows - r : ROW_BLOCK;
      A* block = partial + r * width;
      scores(queries + r * dim, n, dim, key, count, s, stride);
      for (int64_t j = 0; j < n; ++j) softmax_row(s + j * stride, count, block + j * width);
      reduce(s, n, stride, value, count, value_dim, block, width);
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
    const A* grad_out;   // rows of padded value_dim
    const RowStatistics<A>* row;
    A* weight_gradient;  // (ROW_BLOCK, stride): workspace
    A* const* key;       // lanes; null: not wanted, nor is `value`
    A* const* value;     // lanes; may be `key`, which then gets both
    A* query;            // rows of `row_stride`, without the factor scale
    int64_t row_stride;
  };

  void backward(const A* const* key, const A* const* value, int64_t count,
                const Gradients& to) const {
    A* ds = to.weight_gradient;
    for (int64_t r = 0; r < rows; r += ROW_BLOCK) {
      const int64_t n = rows - r < ROW_BLOCK ? rows - r : ROW_BLOCK;
      const A* gradients = to.grad_out + r * value_dim;
      scores(queries + r * dim, n, dim, key, count, s, stride);
      scores(gradients, n, value_dim, value, count, ds, stride);
      for (int64_t j = 0; j < n; ++j) {
        const RowStatistics<A>& row = to.row[r + j];
        for (int64_t p = 0; p < count; p += lanes) {
          A *weight = s + j * stride + p, *gradient = ds + j * stride + p;
          const Vec<A> below = (load(weight) - row.lse) - row.lse_rest;
          store(weight, exp<A>(below > A(0) ? Vec<A>{} : below));  // NaN stays
          store(gradient, load(weight) * ((load(gradient) - row.mean) + row.grad_lse));
        }
      }
      if (to.key) {
        mix(queries + r * dim, n, dim, ds, stride, count, to.key, r > 0);
        mix(gradients, n, value_dim, s, stride, count, to.value, r > 0 || to.value == to.key);
      }
      reduce(ds, n, stride, key, count, dim, to.query + r * to.row_stride, to.row_stride);
    }
  }
};

template <class T>
int forward_keys(const Job& job, int64_t begin, int64_t end) {
  typedef typename Accumulate<T>::type A;
  const ScaParams& p = job.p;
  const View<T> view{job};
  const int64_t stride = score_stride(job.window);
  Workspace space(Tile<T>::bytes(job.window, p.dim) + Tile<T>::bytes(job.window, p.value_dim) +
                  sizeof(A) * stride * ROW_BLOCK + 256);
  if (!space.ok()) return SCA_OUT_OF_MEMORY;
  Tile<T> key(&space, job.window, p.dim), own_value(&space, job.window, p.value_dim);
  const Tile<T>& value = p.value.data ? own_value : key;
  A* s = space.take<A>(ROW_BLOCK * stride);

  for (int64_t i = begin; i < end; ++i) {
    const int64_t b = i / (p.kv_heads * job.chunks), kv = i / job.chunks % p.kv_heads;
    const int64_t chunk = i % job.chunks;
    const Plan& plan = job.plans[b];
    for (int64_t g = 0; g < plan.group_count; ++g)
      if (A* row = view.partial(b, kv, chunk, g))
        for (int64_t r = 0; r < plan.groups[g].count * job.narrow_heads; ++r) {
          memset(row, 0, sizeof(A) * job.partial_width);
          row[padded(p.value_dim)] = A(-__builtin_inf());
          row += job.partial_width;
        }
    A* rest = p.uniform ? view.partial_rest(b, kv, chunk) : nullptr;
    if (rest) memset(rest, 0, sizeof(A) * p.value_dim);

    const int64_t last = (chunk + 1) * job.chunk_windows * job.window;
    for (int64_t first = chunk * job.chunk_windows * job.window; first < last && first < p.keys;
         first += job.window) {
      const Window window = window_at(job, plan, first);
      key.read(Items<T>::of(p.key, b, kv), window);
      if (p.value.data) own_value.read(Items<T>::of(p.value, b, kv), window);
      if (rest) add_lanes<A>(value.lanes(), p.value_dim, {0, window.count, -1}, rest);
      for (Segment g{0, 0, 0}; g.end < window.count;) {
        g = next_segment(plan.wide_group + first, g.end, window.count);
        if (g.group < 0) continue;
        const Group& group = plan.groups[g.group];
        const RowAttention<A> attention{view.rows_a(b, kv, group),
                                        group.count * job.narrow_heads, padded(p.dim),
                                        padded(p.value_dim), s, stride};
        attention.forward(key.lanes() + g.begin, value.lanes() + g.begin, g.end - g.begin,
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
  const bool shared = p.value.data == nullptr, wanted = p.grad_key.data != nullptr;
  const int64_t stride = score_stride(job.window);
  Workspace space(2 * Tile<T>::bytes(job.window, p.dim) +
                  2 * Tile<T>::bytes(job.window, p.value_dim) +
                  sizeof(A) * stride * 2 * ROW_BLOCK + 256);
  if (!space.ok()) return SCA_OUT_OF_MEMORY;
  Tile<T> key(&space, job.window, p.dim), own_value(&space, job.window, p.value_dim);
  Tile<T> grad_key(&space, job.window, p.dim), own_grad(&space, job.window, p.value_dim);
  const Tile<T>&value = shared ? key : own_value, &grad_value = shared ? grad_key : own_grad;
  A* s = space.take<A>(ROW_BLOCK * stride);
  A* ds = space.take<A>(ROW_BLOCK * stride);

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
      const Window window = window_at(job, plan, first);
      key.read(Items<T>::of(p.key, b, kv), window);
      if (!shared) own_value.read(Items<T>::of(p.value, b, kv), window);
      if (wanted) grad_key.place(Items<T>::of(p.grad_key, b, kv), window);
      if (wanted && !shared) own_grad.place(Items<T>::of(p.grad_value, b, kv), window);
      for (Segment g{0, 0, 0}; g.end < window.count;) {
        g = next_segment(plan.wide_group + first, g.end, window.count);
        if (g.group < 0 && wanted) {
          fill_lanes<A>(grad_key.lanes(), p.dim, g, nullptr);
          if (!shared) fill_lanes<A>(grad_value.lanes(), p.value_dim, g, nullptr);
        } else if (g.group >= 0) {
          const Group& group = plan.groups[g.group];
          const RowAttention<A> attention{view.rows_a(b, kv, group),
                                          group.count * job.narrow_heads, padded(p.dim),
                                          padded(p.value_dim), s, stride};
          attention.backward(key.lanes() + g.begin, value.lanes() + g.begin, g.end - g.begin,
                             {view.rows_b(b, kv, group), view.row_statistics(b, kv, group), ds,
                              wanted ? grad_key.lanes() + g.begin : nullptr,
                              grad_value.lanes() + g.begin,
                              view.partial(b, kv, chunk, g.group), job.partial_width});
        }
      }
      if (!wanted) continue;
      if (p.uniform) {  // every value, seen or not, gets its share of the queries that see nothing
        const A* share = view.rest(b, kv);
        for (int64_t l = 0; l < window.count; ++l)
          for (int64_t d = 0; d < p.value_dim; ++d) grad_value.lanes()[l][d] += share[d];
      }
      grad_key.write();
      if (!shared) own_grad.write();
    }
  }
  return SCA_OK;
}
