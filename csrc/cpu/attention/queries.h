// SPDX-License-Identifier: Apache-2.0
// Wide queries ("pixels read latents"): a lane is a query and owns its softmax.
#pragma once

// All scores of a column of lanes become weights; returns lse.
template <class A>
SCAM_INLINE Vec<A> softmax(A* column, int64_t rows, int64_t stride) {
  Vec<A> best = load(column);
  if (rows == 1) {  // a gather: the weight is 1, lse the score; 0 * score: NaN stays visible
    const Vec<A> weight = best * A(0) + A(1);
    store(column, weight);
    return best * weight;
  }
  for (int64_t j = 1; j < rows; ++j) best = max<A>(load(column + j * stride), best);
  Vec<A> total{};
  for (int64_t j = 0; j < rows; ++j) {
    const Vec<A> weight = exp<A>(load(column + j * stride) - best);
    store(column + j * stride, weight);
    total += weight;
  }
  const Vec<A> share = fill(A(1)) / total;
  for (int64_t j = 0; j < rows; ++j)
    store(column + j * stride, share * load(column + j * stride));
  return best + log<A>(total);
}

// One label's keys against the lanes of one segment. Scores of at most ROW_BLOCK rows are held;
// more keys go through in blocks, with the running maximum of online softmax.
template <class A>
struct LaneAttention {
  static constexpr int lanes = VecOf<A>::lanes;
  const A* keys;    // rows of padded `dim`, times scale
  const A* values;  // rows of padded `value_dim`
  int64_t rows, dim, value_dim;
  A* s;       // (ROW_BLOCK, stride)
  A* shrink;  // (stride)
  int64_t stride;

  void forward(const A* const* q, int64_t count, A* const* out, A* lse, A* sum) const {
    if (rows > ROW_BLOCK) return forward_blocks(q, count, out, lse, sum);
    for (int64_t p = 0; p < count; p += NEAR) {
      const int64_t near = count - p < NEAR ? count - p : NEAR;
      scores(keys, rows, dim, q + p, near, s, stride);
      for (int64_t l = 0; l < near; l += lanes)
        store(lse + p + l, softmax<A>(s + l, rows, stride));
      mix(values, rows, value_dim, s, stride, near, out + p, false);
    }
  }

  void forward_blocks(const A* const* q, int64_t count, A* const* out, A* lse, A* sum) const {
    for (int64_t r = 0; r < rows; r += ROW_BLOCK) {
      const int64_t n = rows - r < ROW_BLOCK ? rows - r : ROW_BLOCK;
      scores(keys + r * dim, n, dim, q, count, s, stride);
      for (int64_t p = 0; p < count; p += lanes) softmax_block(n, p, r == 0, lse, sum);
      if (r > 0) scale_items(out, count, value_dim, shrink);
      mix(values + r * value_dim, n, value_dim, s, stride, count, out, r > 0);
    }
    for (int64_t p = 0; p < count; p += lanes) {
      const Vec<A> total = load(sum + p);
      const Vec<A> share = fill(A(1)) / total;
      // NaN, as of the plain form, where all scores are -inf: lse is -inf where nothing is seen
      store(lse + p, total > A(0) ? load(lse + p) + log<A>(total) : total * share);
      store(sum + p, share);
    }
    scale_items(out, count, value_dim, sum);
  }

  // Scores become weights, not yet divided by their sum. `top` and `sum` are the running maximum
  // and denominator, `shrink` gets the factor of what came before.
  inline void softmax_block(int64_t n, int64_t p, bool first, A* top, A* sum) const {
    A* column = s + p;
    Vec<A> best = load(column);
    for (int64_t j = 1; j < n; ++j) best = max<A>(load(column + j * stride), best);
    if (!first) best = max<A>(load(top + p), best);
    // a block's scores of -inf weigh 0, not NaN
    const Vec<A> base = best == A(-__builtin_inf()) ? Vec<A>{} : best;
    Vec<A> total{};
    for (int64_t j = 0; j < n; ++j) {
      const Vec<A> weight = exp<A>(load(column + j * stride) - base);
      store(column + j * stride, weight);
      total += weight;
    }
    if (!first) {
      const Vec<A> factor = exp<A>(load(top + p) - base);
      total += factor * load(sum + p);
      store(shrink + p, factor);
    }
    store(top + p, best);
    store(sum + p, total);
  }

  struct Gradients {
    A* weight_gradient;  // (ROW_BLOCK, stride): workspace
    A* const* query;     // lanes
    A* key;              // rows of `row_stride`, without the factor scale
    A* value;
    int64_t row_stride;
  };

  // The softmax is made again, not read off lse: a weight is then exact to its last digits however
  // large the scores are, and where one key has all the weight, gradients of scores are 0.
  void backward(const A* const* q, const A* const* grad_out, const A* grad_lse, int64_t count,
                const Gradients& to) const {
    for (int64_t p = 0; p < count; p += NEAR) {
      Gradients near = to;
      near.query += p;
      backward_near(q + p, grad_out + p, grad_lse + p, count - p < NEAR ? count - p : NEAR, near);
    }
  }

  inline void backward_near(const A* const* q, const A* const* grad_out, const A* grad_lse,
                            int64_t count, const Gradients& to) const {
    A top[NEAR + lanes], sum[NEAR + lanes], mean[NEAR + lanes];  // mean: of weight gradients
    A* ds = to.weight_gradient;
    for (int64_t r = 0; r < rows; r += ROW_BLOCK) {
      const int64_t n = scores_of_block(r, q, grad_out, count, ds);
      for (int64_t p = 0; p < count; p += lanes) {
        softmax_block(n, p, r == 0, top, sum);
        Vec<A> total = r == 0 ? Vec<A>{} : load(shrink + p) * load(mean + p);
        for (int64_t j = 0; j < n; ++j)
          total += load(s + j * stride + p) * load(ds + j * stride + p);
        store(mean + p, total);
      }
    }
    for (int64_t p = 0; p < count; p += lanes) {
      const Vec<A> share = fill(A(1)) / load(sum + p);
      store(sum + p, share);
      store(mean + p, share * load(mean + p));
    }
    for (int64_t r = 0; r < rows; r += ROW_BLOCK) {
      int64_t n = rows;
      if (rows > ROW_BLOCK) {
        n = scores_of_block(r, q, grad_out, count, ds);
        for (int64_t j = 0; j < n; ++j)
          for (int64_t p = 0; p < count; p += lanes) {
            A* at = s + j * stride + p;
            store(at, exp<A>(load(at) - load(top + p)));
          }
      }
      for (int64_t j = 0; j < n; ++j)
        for (int64_t p = 0; p < count; p += lanes) {
          A *weight = s + j * stride + p, *gradient = ds + j * stride + p;
          store(weight, load(sum + p) * load(weight));
          store(gradient, load(weight) * ((load(gradient) - load(mean + p)) + load(grad_lse + p)));
        }
      reduce(s, n, stride, grad_out, count, value_dim, to.value + r * to.row_stride,
             to.row_stride);
      reduce(ds, n, stride, q, count, dim, to.key + r * to.row_stride, to.row_stride);
      mix(keys + r * dim, n, dim, ds, stride, count, to.query, r > 0);
    }
  }

  // Scores into s and gradients of weights into `gradient`, for the block of rows at r.
  inline int64_t scores_of_block(int64_t r, const A* const* q, const A* const* grad_out,
                                 int64_t count, A* gradient) const {
    const int64_t n = rows - r < ROW_BLOCK ? rows - r : ROW_BLOCK;
    scores(keys + r * dim, n, dim, q, count, s, stride);
    scores(values + r * value_dim, n, value_dim, grad_out, count, gradient, stride);
    return n;
  }
};

template <class T>
int forward_queries(const Job& job, int64_t begin, int64_t end) {
  typedef typename Accumulate<T>::type A;
  const ScaParams& p = job.p;
  const View<T> view{job};
  const int64_t stride = score_stride(job.window);
  Workspace space(Tile<T>::bytes(job.window, p.dim) + Tile<T>::bytes(job.window, p.value_dim) +
                  sizeof(A) * stride * (ROW_BLOCK + 3) + 256);
  if (!space.ok()) return SCA_OUT_OF_MEMORY;
  Tile<T> query(&space, job.window, p.dim), out(&space, job.window, p.value_dim);
  A* s = space.take<A>(ROW_BLOCK * stride);
  A* shrink = space.take<A>(stride);
  A* lse = space.take<A>(stride);
  A* sum = space.take<A>(stride);
  const A nothing = p.uniform ? A(__builtin_log(double(p.keys))) : A(-__builtin_inf());

  for (int64_t i = begin; i < end; ++i) {
    const int64_t b = i / (p.heads * job.windows), h = i / job.windows % p.heads;
    const int64_t kv = h / (p.heads / p.kv_heads), first = i % job.windows * job.window;
    const Plan& plan = job.plans[b];
    const Window window = window_at(job, plan, first);
    query.read(Items<T>::of(p.query, b, h), window);
    out.place(Items<T>::of(p.out, b, h), window);
    for (Segment g{0, 0, 0}; g.end < window.count;) {
      g = next_segment(plan.wide_group + first, g.end, window.count);
      if (g.group < 0) {
        fill_lanes<A>(out.lanes(), p.value_dim, g, p.uniform ? view.rest(b, kv) : nullptr);
        for (int64_t l = g.begin; l < g.end; ++l) lse[l] = nothing;
        continue;
      }
      const Group& group = plan.groups[g.group];
      const LaneAttention<A> attention{view.rows_a(b, kv, group), view.rows_b(b, kv, group),
                                       group.count, padded(p.dim), padded(p.value_dim),
                                       s, shrink, stride};
      attention.forward(query.lanes() + g.begin, g.end - g.begin, out.lanes() + g.begin,
                        lse + g.begin, sum + g.begin);
    }
    out.write();
    A* to = View<T>::at(p.lse.data, b * p.lse.stride[0] + h * p.lse.stride[1]);
    for (int64_t l = 0; l < window.count; ++l) to[window.items[l] * p.lse.stride[2]] = lse[l];
  }
  return SCA_OK;
}

// grad_lse (or zeros) of the items named by items[0 .. count).
template <class T, class Numbers>
inline void read_grad_lse(const Job& job, int64_t b, int64_t h, const Numbers& items,
                          int64_t count, typename Accumulate<T>::type* to) {
  typedef typename Accumulate<T>::type A;
  const ScaTensor& grad = job.p.grad_lse;
  const A* from = View<T>::at(grad.data, b * grad.stride[0] + h * grad.stride[1]);
  for (int64_t l = 0; l < count; ++l) to[l] = grad.data ? from[items[l] * grad.stride[2]] : A(0);
}

// Zeros the partial sums of a chunk; returns the one for queries that see nothing, if wanted.
template <class T>
inline typename Accumulate<T>::type* clear_partials(const Job& job, int64_t b, int64_t kv,
                                                    int64_t chunk) {
  typedef typename Accumulate<T>::type A;
  const View<T> view{job};
  const Plan& plan = job.plans[b];
  for (int64_t g = 0; g < plan.group_count; ++g)
    if (A* rows = view.partial(b, kv, chunk, g))
      memset(rows, 0, sizeof(A) * plan.groups[g].count * job.partial_width);
  A* rest = job.p.uniform ? view.partial_rest(b, kv, chunk) : nullptr;
  if (rest) memset(rest, 0, sizeof(A) * job.p.value_dim);
  return rest;
}

template <class T>
int backward_queries(const Job& job, int64_t begin, int64_t end) {
  typedef typename Accumulate<T>::type A;
  const ScaParams& p = job.p;
  const View<T> view{job};
  const int64_t stride = score_stride(job.window), heads = p.heads / p.kv_heads;
  Workspace space(2 * Tile<T>::bytes(job.window, p.dim) +
                  Tile<T>::bytes(job.window, p.value_dim) +
                  sizeof(A) * (stride * (2 * ROW_BLOCK + 2) + NEAR + 64) + 256);
  if (!space.ok()) return SCA_OUT_OF_MEMORY;
  Tile<T> query(&space, job.window, p.dim), grad_query(&space, job.window, p.dim);
  Tile<T> grad_out(&space, job.window, p.value_dim);
  A* s = space.take<A>(ROW_BLOCK * stride);
  A* ds = space.take<A>(ROW_BLOCK * stride);
  A* shrink = space.take<A>(stride);
  A* grad_lse = space.take<A>(stride + NEAR);

  for (int64_t i = begin; i < end; ++i) {
    const int64_t b = i / (p.kv_heads * job.chunks), kv = i / job.chunks % p.kv_heads;
    const int64_t chunk = i % job.chunks;
    const Plan& plan = job.plans[b];
    A* rest = clear_partials<T>(job, b, kv, chunk);

    const int64_t last = (chunk + 1) * job.chunk_windows * job.window;
    for (int64_t h = kv * heads; h < (kv + 1) * heads; ++h)
      for (int64_t first = chunk * job.chunk_windows * job.window;
           first < last && first < p.queries; first += job.window) {
        const Window window = window_at(job, plan, first);
        query.read(Items<T>::of(p.query, b, h), window);
        grad_out.read(Items<T>::of(p.grad_out, b, h), window);
        grad_query.place(Items<T>::of(p.grad_query, b, h), window);
        read_grad_lse<T>(job, b, h, window.items, window.count, grad_lse);
        for (Segment g{0, 0, 0}; g.end < window.count;) {
          g = next_segment(plan.wide_group + first, g.end, window.count);
          if (g.group < 0) {
            fill_lanes<A>(grad_query.lanes(), p.dim, g, nullptr);
            if (rest) add_lanes<A>(grad_out.lanes(), p.value_dim, g, rest);
            continue;
          }
          const Group& group = plan.groups[g.group];
          const LaneAttention<A> attention{view.rows_a(b, kv, group), view.rows_b(b, kv, group),
                                           group.count, padded(p.dim), padded(p.value_dim),
                                           s, shrink, stride};
          A* partial = view.partial(b, kv, chunk, g.group);
          attention.backward(query.lanes() + g.begin, grad_out.lanes() + g.begin,
                             grad_lse + g.begin, g.end - g.begin,
                             {ds, grad_query.lanes() + g.begin, partial,
                              partial + padded(p.dim), job.partial_width});
        }
        grad_query.write();
      }
  }
  return SCA_OK;
}
