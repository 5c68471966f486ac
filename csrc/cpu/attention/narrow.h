// SPDX-License-Identifier: Apache-2.0
// Before and after the windows: narrow rows gathered, and partial sums into results.
#pragma once

// The narrow side of a job as rows: row r of a group is item order[first + r % count] of the
// group's head number r / count.
template <class T>
struct Narrow {
  typedef typename Accumulate<T>::type A;
  const Job& job;
  int64_t b, kv;

  const Plan& plan() const { return job.plans[b]; }
  int64_t head(int64_t r, const Group& g) const { return kv * job.narrow_heads + r / g.count; }
  int64_t item(int64_t r, const Group& g) const {
    return plan().narrow_order[g.first + r % g.count];
  }
  A& scalar(const ScaTensor& t, int64_t h, int64_t i) const {
    return *View<T>::at(t.data, b * t.stride[0] + h * t.stride[1] + i * t.stride[2]);
  }

  // The group's rows, times factor, padded with zeros.
  void gather(const ScaTensor& t, const Group& g, int64_t depth, A factor, A* to) const {
    for (int64_t r = 0; r < g.count * job.narrow_heads; ++r, to += padded(depth)) {
      const Items<T> from = Items<T>::of(t, b, head(r, g));
      const T* row = from.at(item(r, g));
      if (from.channel == 1) {
        for (int64_t d = 0; d < depth; ++d) to[d] = factor * widen(row[d]);
      } else {
        for (int64_t d = 0; d < depth; ++d) to[d] = factor * widen(row[d * from.channel]);
      }
      for (int64_t d = depth; d < padded(depth); ++d) to[d] = A(0);
    }
  }
};

// Calls body(Narrow, group, or -1 for what belongs to no group) for the stage items [begin, end).
template <class T, class F>
inline void for_groups(const Job& job, int64_t begin, int64_t end, const F& body) {
  const int64_t per_pair = job.group_limit + 1;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t pair = i / per_pair, g = i % per_pair;
    const Narrow<T> narrow{job, pair / job.p.kv_heads, pair % job.p.kv_heads};
    if (g == job.group_limit) {
      body(narrow, int64_t(-1));
    } else if (g < narrow.plan().group_count) {
      body(narrow, g);
    }
  }
}

template <class T>
struct PrepareForward {
  typedef typename Accumulate<T>::type A;
  void operator()(const Narrow<T>& narrow, int64_t g) const {
    const Job& job = narrow.job;
    const ScaParams& p = job.p;
    const View<T> view{job};
    if (g >= 0) {
      const Group& group = narrow.plan().groups[g];
      narrow.gather(job.wide_queries ? p.key : p.query, group, p.dim, A(p.scale),
                    view.rows_a(narrow.b, narrow.kv, group));
      if (job.wide_queries)
        narrow.gather(p.value.data ? p.value : p.key, group, p.value_dim, A(1),
                      view.rows_b(narrow.b, narrow.kv, group));
    } else if (p.uniform && job.wide_queries) {
      A* mean = view.rest(narrow.b, narrow.kv);
      memset(mean, 0, sizeof(A) * p.value_dim);
      const Items<T> values = Items<T>::of(p.value.data ? p.value : p.key, narrow.b, narrow.kv);
      for (int64_t i = 0; i < p.keys; ++i)
        for (int64_t d = 0; d < p.value_dim; ++d)
          mean[d] += widen(values.at(i)[d * values.channel]);
      for (int64_t d = 0; p.keys > 0 && d < p.value_dim; ++d) mean[d] /= A(p.keys);
    }
  }
};

template <class T>
struct PrepareBackward {
  typedef typename Accumulate<T>::type A;
  void operator()(const Narrow<T>& narrow, int64_t g) const {
    const Job& job = narrow.job;
    const ScaParams& p = job.p;
    if (job.wide_queries) {
      if (g >= 0) PrepareForward<T>()(narrow, g);
    } else if (g >= 0) {
      group(narrow, narrow.plan().groups[g]);
    } else if (p.uniform) {
      rest(narrow);
    }
  }

  static void group(const Narrow<T>& narrow, const Group& g) {
    const Job& job = narrow.job;
    const ScaParams& p = job.p;
    const View<T> view{job};
    narrow.gather(p.query, g, p.dim, A(p.scale), view.rows_a(narrow.b, narrow.kv, g));
    narrow.gather(p.grad_out, g, p.value_dim, A(1), view.rows_b(narrow.b, narrow.kv, g));
    // Where one weight is 1, out is that value, and the mean must be that weight's gradient to the
    // bit, for the gradient of its score to be 0: hence dot().
    const A* grad = view.rows_b(narrow.b, narrow.kv, g);
    RowStatistics<A>* row = view.row_statistics(narrow.b, narrow.kv, g);
    for (int64_t r = 0; r < g.count * job.narrow_heads; ++r, grad += padded(p.value_dim)) {
      const int64_t h = narrow.head(r, g), i = narrow.item(r, g);
      const Items<T> out = Items<T>::of(p.out, narrow.b, h);
      row[r] = {narrow.scalar(p.lse, h, i), narrow.scalar(p.lse_rest, h, i),
                dot(out.at(i), out.channel, grad, p.value_dim),
                p.grad_lse.data ? narrow.scalar(p.grad_lse, h, i) : A(0)};
    }
  }

  static void rest(const Narrow<T>& narrow) {
    const Job& job = narrow.job;
    const ScaParams& p = job.p;
    A* share = View<T>{job}.rest(narrow.b, narrow.kv);
    memset(share, 0, sizeof(A) * p.value_dim);
    for (int64_t hl = 0; hl < job.narrow_heads; ++hl) {
      const int64_t h = narrow.kv * job.narrow_heads + hl;
      const Items<T> grad = Items<T>::of(p.grad_out, narrow.b, h);
      for (int64_t s = 0; s < job.narrow; ++s)
        for (int64_t d = 0; narrow.plan().narrow_group[s] < 0 && d < p.value_dim; ++d)
          share[d] += widen(grad.at(narrow.plan().narrow_order[s])[d * grad.channel]);
    }
    for (int64_t d = 0; d < p.value_dim; ++d) share[d] /= A(p.keys);
  }
};

template <class T>
int prepare_forward(const Job& job, int64_t begin, int64_t end) {
  for_groups<T>(job, begin, end, PrepareForward<T>());
  return SCA_OK;
}

template <class T>
int prepare_backward(const Job& job, int64_t begin, int64_t end) {
  for_groups<T>(job, begin, end, PrepareBackward<T>());
  return SCA_OK;
}

// One narrow item in the finishing stages.
template <class T>
struct Finished {
  typedef typename Accumulate<T>::type A;
  Narrow<T> narrow;
  int64_t item, group, position;  // position inside its group

  Finished(const Job& job, int64_t i)
      : narrow{job, i / (job.narrow * job.p.kv_heads), i / job.narrow % job.p.kv_heads} {
    const int64_t s = i % job.narrow;
    item = narrow.plan().narrow_order[s];
    group = narrow.plan().narrow_group[s];
    position = group < 0 ? 0 : s - narrow.plan().groups[group].first;
  }

  // Calls body(partial row of head number `hl` in a chunk) for each chunk that has one, in order.
  template <class F>
  void for_partials(int64_t hl, const F& body) const {
    const Job& job = narrow.job;
    if (group < 0) return;
    const int64_t row = hl * narrow.plan().groups[group].count + position;
    for (int64_t chunk = 0; chunk < job.chunks; ++chunk)
      if (A* rows = View<T>{job}.partial(narrow.b, narrow.kv, chunk, group))
        body(rows + row * job.partial_width);
  }
  // Adds `values` [offset, offset + depth) of every partial row to sum.
  void add_partials(int64_t hl, int64_t offset, int64_t depth, A factor, A* sum) const;
};

template <class A>
struct AddRow {
  A* sum;
  int64_t offset, depth;
  A factor;
  void operator()(const A* row) const {
    for (int64_t d = 0; d < depth; ++d) sum[d] += factor * row[offset + d];
  }
};

template <class T>
void Finished<T>::add_partials(int64_t hl, int64_t offset, int64_t depth, A factor, A* sum) const {
  for_partials(hl, AddRow<A>{sum, offset, depth, factor});
}

template <class T, class A>
inline void write_row(const Items<T>& to, int64_t item, int64_t depth, const A* row) {
  for (int64_t d = 0; d < depth; ++d) shorten(row[d], to.at(item) + d * to.channel);
}

// Sum over chunks of what is spread evenly: the values, or the grad_out of queries seeing nothing.
template <class T, class A>
inline void add_rest(const Job& job, int64_t b, int64_t kv, A* sum) {
  for (int64_t chunk = 0; chunk < job.chunks; ++chunk) {
    const A* rest = View<T>{job}.partial_rest(b, kv, chunk);
    for (int64_t d = 0; d < job.p.value_dim; ++d) sum[d] += rest[d] / A(job.p.keys);
  }
}

template <class A>
struct TopOf {
  A* top;
  int64_t at;
  void operator()(const A* row) const { *top = row[at] > *top ? row[at] : *top; }
};

template <class A>
struct MergeRow {
  A* sum;
  A* total;
  A base;
  int64_t depth;
  void operator()(const A* row) const {
    const A factor = A(__builtin_exp(row[padded(depth)] - base));
    for (int64_t d = 0; d < depth; ++d) sum[d] += factor * row[d];
    *total += factor * row[padded(depth) + 1];
  }
};

template <class T>
int finish_forward_keys(const Job& job, int64_t begin, int64_t end) {
  typedef typename Accumulate<T>::type A;
  const ScaParams& p = job.p;
  Workspace space(sizeof(A) * p.value_dim + 64);
  if (!space.ok()) return SCA_OUT_OF_MEMORY;
  A* row = space.take<A>(p.value_dim);
  for (int64_t i = begin; i < end; ++i) {
    const Finished<T> at(job, i);
    const int64_t b = at.narrow.b, kv = at.narrow.kv;
    for (int64_t hl = 0; hl < job.narrow_heads; ++hl) {
      const int64_t h = kv * job.narrow_heads + hl;
      memset(row, 0, sizeof(A) * p.value_dim);
      A lse = A(-__builtin_inf()), lse_rest = A(0);
      if (at.group >= 0) {
        A top = lse, total = 0;
        at.for_partials(hl, TopOf<A>{&top, padded(p.value_dim)});
        const A base = top == A(-__builtin_inf()) ? A(0) : top;
        at.for_partials(hl, MergeRow<A>{row, &total, base, p.value_dim});
        for (int64_t d = 0; d < p.value_dim; ++d) row[d] /= total;
        lse = two_sum(top, A(__builtin_log(total)), &lse_rest);
        if (!(total > A(0))) lse = total / total;  // NaN; -inf where nothing is seen
      } else if (p.uniform) {
        add_rest<T>(job, b, kv, row);
        lse = A(__builtin_log(double(p.keys)));
      }
      write_row(Items<T>::of(p.out, b, h), at.item, p.value_dim, row);
      at.narrow.scalar(p.lse, h, at.item) = lse;
      at.narrow.scalar(p.lse_rest, h, at.item) = lse_rest;
    }
  }
  return SCA_OK;
}

template <class T>
int finish_queries(const Job& job, int64_t begin, int64_t end) {
  typedef typename Accumulate<T>::type A;
  const ScaParams& p = job.p;
  Workspace space(sizeof(A) * p.dim + 64);
  if (!space.ok()) return SCA_OUT_OF_MEMORY;
  A* row = space.take<A>(p.dim);
  for (int64_t i = begin; i < end; ++i) {
    const Finished<T> at(job, i);
    for (int64_t hl = 0; hl < job.narrow_heads; ++hl) {
      memset(row, 0, sizeof(A) * p.dim);
      at.add_partials(hl, 0, p.dim, A(p.scale), row);
      const int64_t h = at.narrow.kv * job.narrow_heads + hl;
      write_row(Items<T>::of(p.grad_query, at.narrow.b, h), at.item, p.dim, row);
    }
  }
  return SCA_OK;
}

template <class T>
int finish_keys(const Job& job, int64_t begin, int64_t end) {
  typedef typename Accumulate<T>::type A;
  const ScaParams& p = job.p;
  Workspace space(sizeof(A) * (p.dim + p.value_dim) + 128);
  if (!space.ok()) return SCA_OUT_OF_MEMORY;
  A* key = space.take<A>(p.dim);
  A* value = p.value.data ? space.take<A>(p.value_dim) : key;
  for (int64_t i = begin; i < end; ++i) {
    const Finished<T> at(job, i);
    const int64_t b = at.narrow.b, kv = at.narrow.kv;
    memset(key, 0, sizeof(A) * p.dim);
    memset(value, 0, sizeof(A) * p.value_dim);
    at.add_partials(0, 0, p.dim, A(p.scale), key);
    at.add_partials(0, padded(p.dim), p.value_dim, A(1), value);
    if (p.uniform) add_rest<T>(job, b, kv, value);
    write_row(Items<T>::of(p.grad_key, b, kv), at.item, p.dim, key);
    if (p.value.data) write_row(Items<T>::of(p.grad_value, b, kv), at.item, p.value_dim, value);
  }
  return SCA_OK;
}
