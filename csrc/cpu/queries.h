// SPDX-License-Identifier: Apache-2.0
// Wide queries ("pixels read latents"): a lane is a query and owns its softmax.
#pragma once

// One label's keys against the lanes of one segment. Scores of at most ROW_BLOCK rows are held;
// more keys go through in blocks, with the running maximum of online softmax.
template <class A>
struct LaneAttention {
  static constexpr int lanes = VecOf<A>::lanes;
  const A* keys;    // panels, times scale
  const A* values;  // panels
  int64_t rows, dim, value_dim;
  A* s;  // (ROW_BLOCK, stride)
  int64_t stride;

  // out lanes, not yet divided by `sum` if there was more than one block
  void forward(const A* q, int64_t count, A* out, A* lse, A* sum) const {
    for (int64_t r = 0; r < rows; r += ROW_BLOCK) {
      const int64_t n = rows - r < ROW_BLOCK ? rows - r : ROW_BLOCK;
      scores(keys + r * dim, n, dim, q, stride, count, s, stride);
      for (int64_t p = 0; p < count; p += lanes) softmax_block(n, p, r == 0, out, lse, sum);
      mix(values + r * value_dim, n, value_dim, s, stride, count, out, stride, r > 0);
    }
    const bool blocks = rows > ROW_BLOCK;
    for (int64_t p = 0; p < count; ++p) {
      lse[p] += rows == 1 ? A(0) : A(__builtin_log(sum[p]));
      sum[p] = A(1) / sum[p];
    }
    for (int64_t d = 0; blocks && d < value_dim; ++d)
      for (int64_t p = 0; p < count; ++p) out[d * stride + p] *= sum[p];
  }

  // Scores become weights; `top` and `sum` are the running maximum and denominator.
  inline void softmax_block(int64_t n, int64_t p, bool first, A* out, A* top, A* sum) const {
    A* column = s + p;
    Vec<A> best = load(column);
    if (rows == 1) {  // one key: a gather. The softmax of one score is 1, its lse the score
      store(top + p, best);
      store(sum + p, fill(A(1)));
      return store(column, fill(A(1)));
    }
    for (int64_t j = 1; j < n; ++j) best = max<A>(load(column + j * stride), best);
    if (!first) best = max<A>(load(top + p), best);
    // scores of -inf weigh 0, not NaN
    const Vec<A> base = best == A(-__builtin_inf()) ? Vec<A>{} : best;
    Vec<A> total{};
    for (int64_t j = 0; j < n; ++j) {
      const Vec<A> weight = exp<A>(load(column + j * stride) - base);
      store(column + j * stride, weight);
      total += weight;
    }
    if (!first) {
      const Vec<A> shrink = exp<A>(load(top + p) - base);
      total += shrink * load(sum + p);
      for (int64_t d = 0; d < value_dim; ++d)
        store(out + d * stride + p, shrink * load(out + d * stride + p));
    }
    if (rows <= ROW_BLOCK) {
      const Vec<A> share = fill(A(1)) / total;
      for (int64_t j = 0; j < n; ++j) store(column + j * stride, share * load(column + j * stride));
    }
    store(top + p, best);
    store(sum + p, total);
  }

  struct Gradients {
    A* weight_gradient;  // (ROW_BLOCK, stride): workspace
    A* query;            // lanes
    A* key;              // rows of `key_stride`, without the factor scale
    A* value;
    int64_t row_stride;
  };

  // `delta` comes in as -grad_lse and becomes sum(weight * weight gradient) - grad_lse.
  void backward(const A* q, const A* grad_out, const A* lse, A* delta, int64_t count,
                const Gradients& to) const {
    for (int64_t r = 0; r < rows; r += ROW_BLOCK) {
      const int64_t n = weights(r, q, grad_out, lse, count, to.weight_gradient);
      for (int64_t j = 0; j < n; ++j)
        for (int64_t p = 0; p < count; ++p)
          delta[p] += s[j * stride + p] * to.weight_gradient[j * stride + p];
    }
    for (int64_t r = 0; r < rows; r += ROW_BLOCK) {
      const int64_t n = rows <= ROW_BLOCK ? rows
                                          : weights(r, q, grad_out, lse, count, to.weight_gradient);
      A* ds = to.weight_gradient;
      reduce(s, n, stride, grad_out, stride, count, value_dim, to.value + r * to.row_stride,
             to.row_stride);
      for (int64_t j = 0; j < n; ++j)
        for (int64_t p = 0; p < count; ++p)
          ds[j * stride + p] = s[j * stride + p] * (ds[j * stride + p] - delta[p]);
      reduce(ds, n, stride, q, stride, count, dim, to.key + r * to.row_stride, to.row_stride);
      mix(keys + r * dim, n, dim, ds, stride, count, to.query, stride, r > 0);
    }
  }

  // Weights into s and their gradients into `gradient`, for the block of rows at r.
  inline int64_t weights(int64_t r, const A* q, const A* grad_out, const A* lse, int64_t count,
                         A* gradient) const {
    const int64_t n = rows - r < ROW_BLOCK ? rows - r : ROW_BLOCK;
    scores(keys + r * dim, n, dim, q, stride, count, s, stride);
    for (int64_t j = 0; j < n; ++j)
      for (int64_t p = 0; p < count; p += lanes) {
        A* at = s + j * stride + p;
        store(at, exp<A>(load(at) - load(lse + p)));
      }
    scores(values + r * value_dim, n, value_dim, grad_out, stride, count, gradient, stride);
    return n;
  }
};

template <class T>
int forward_queries(const Job& job, int64_t begin, int64_t end) {
  typedef typename Accumulate<T>::type A;
  const ScaParams& p = job.p;
  const View<T> view{job};
  const int64_t stride = tile_stride(job.window);
  Workspace space(sizeof(A) * stride * (p.dim + p.value_dim + ROW_BLOCK + 8) +
                  sizeof(Run) * 2 * job.window + 1024);
  if (!space.ok()) return SCA_OUT_OF_MEMORY;
  A* q = space.take<A>(p.dim * stride);
  A* out = space.take<A>(p.value_dim * stride);
  A* s = space.take<A>(ROW_BLOCK * stride);
  A* lse = space.take<A>(stride);
  A* sum = space.take<A>(stride);
  Run* runs = space.take<Run>(2 * job.window);
  const A nothing = p.uniform ? A(__builtin_log(double(p.keys))) : A(-__builtin_inf());

  for (int64_t i = begin; i < end; ++i) {
    const int64_t b = i / (p.heads * job.windows), h = i / job.windows % p.heads;
    const int64_t kv = h / (p.heads / p.kv_heads), first = i % job.windows * job.window;
    const Plan& plan = job.plans[b];
    const int32_t* groups = plan.wide_group + first;
    const int64_t count = p.queries - first < job.window ? p.queries - first : job.window;
    const Window window = find_runs(plan.wide_order + first, count, p.queries - first - count, runs);
    pack(view.items(p.query, b, h, p.queries), window, p.dim, q, stride);
    for (Segment g{0, 0, 0}; g.end < count;) {
      g = next_segment(groups, g.end, count);
      if (g.group < 0) {
        fill_lanes(out, stride, p.value_dim, g, p.uniform ? view.rest(b, kv) : nullptr);
        for (int64_t l = g.begin; l < g.end; ++l) lse[l] = nothing;
        continue;
      }
      const Group& group = plan.groups[g.group];
      const LaneAttention<A> attention{view.panels(b, kv, group), view.value_panels(b, kv, group),
                                       group.count, p.dim, p.value_dim, s, stride};
      attention.forward(q + g.begin, g.end - g.begin, out + g.begin, lse + g.begin,
                        sum + g.begin);
    }
    unpack(view.items(p.out, b, h, p.queries), window, p.value_dim, out, stride);
    A* to = View<T>::at(p.lse.data, b * p.lse.stride[0] + h * p.lse.stride[1]);
    for (int64_t l = 0; l < count; ++l) to[window.items[l] * p.lse.stride[2]] = lse[l];
  }
  return SCA_OK;
}

template <class T>
int backward_queries(const Job& job, int64_t begin, int64_t end) {
  typedef typename Accumulate<T>::type A;
  const ScaParams& p = job.p;
  const View<T> view{job};
  const int64_t stride = tile_stride(job.window), heads = p.heads / p.kv_heads;
  Workspace space(sizeof(A) * stride * (2 * p.dim + p.value_dim + 2 * ROW_BLOCK + 8) +
                  sizeof(Run) * 2 * job.window + 1024);
  if (!space.ok()) return SCA_OUT_OF_MEMORY;
  A* q = space.take<A>(p.dim * stride);
  A* grad_query = space.take<A>(p.dim * stride);
  A* grad_out = space.take<A>(p.value_dim * stride);
  A* s = space.take<A>(ROW_BLOCK * stride);
  A* ds = space.take<A>(ROW_BLOCK * stride);
  A* lse = space.take<A>(stride);
  A* delta = space.take<A>(stride);
  Run* runs = space.take<Run>(2 * job.window);

  for (int64_t i = begin; i < end; ++i) {
    const int64_t b = i / (p.kv_heads * job.chunks), kv = i / job.chunks % p.kv_heads;
    const int64_t chunk = i % job.chunks;
    const Plan& plan = job.plans[b];
    for (int64_t g = 0; g < plan.group_count; ++g)
      if (A* rows = view.partial(b, kv, chunk, g))
        memset(rows, 0, sizeof(A) * plan.groups[g].count * job.partial_width);
    A* rest = p.uniform ? view.partial_rest(b, kv, chunk) : nullptr;
    if (rest) memset(rest, 0, sizeof(A) * p.value_dim);

    const int64_t last = (chunk + 1) * job.chunk_windows * job.window;
    for (int64_t h = kv * heads; h < (kv + 1) * heads; ++h)
      for (int64_t first = chunk * job.chunk_windows * job.window;
           first < last && first < p.queries; first += job.window) {
        const int64_t count = p.queries - first < job.window ? p.queries - first : job.window;
        const int32_t* groups = plan.wide_group + first;
        const Window window = find_runs(plan.wide_order + first, count, p.queries - first - count, runs);
        pack(view.items(p.query, b, h, p.queries), window, p.dim, q, stride);
        pack(view.items(p.grad_out, b, h, p.queries), window, p.value_dim, grad_out, stride);
        const A* lse_from = View<T>::at(p.lse.data, b * p.lse.stride[0] + h * p.lse.stride[1]);
        const A* grad_lse = View<T>::at(p.grad_lse.data,
                                        b * p.grad_lse.stride[0] + h * p.grad_lse.stride[1]);
        for (int64_t l = 0; l < count; ++l) {
          lse[l] = lse_from[window.items[l] * p.lse.stride[2]];
          delta[l] = p.grad_lse.data ? -grad_lse[window.items[l] * p.grad_lse.stride[2]] : A(0);
        }
        for (Segment g{0, 0, 0}; g.end < count;) {
          g = next_segment(groups, g.end, count);
          if (g.group < 0) {
            fill_lanes<A>(grad_query, stride, p.dim, g, nullptr);
            for (int64_t d = 0; rest && d < p.value_dim; ++d)
              for (int64_t l = g.begin; l < g.end; ++l) rest[d] += grad_out[d * stride + l];
            continue;
          }
          const Group& group = plan.groups[g.group];
          const LaneAttention<A> attention{view.panels(b, kv, group),
                                           view.value_panels(b, kv, group),
                                           group.count, p.dim, p.value_dim, s, stride};
          A* partial = view.partial(b, kv, chunk, g.group);
          attention.backward(q + g.begin, grad_out + g.begin, lse + g.begin, delta + g.begin,
                             g.end - g.begin,
                             {ds, grad_query + g.begin, partial, partial + p.dim,
                              job.partial_width});
        }
        unpack(view.items(p.grad_query, b, h, p.queries), window, p.dim, grad_query, stride);
      }
  }
  return SCA_OK;
}
