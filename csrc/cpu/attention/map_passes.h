// SPDX-License-Identifier: Apache-2.0
// The two passes over wide queries that lie as maps; see maps.h.
#pragma once

template <class T>
int forward_maps(const Job& job, int64_t begin, int64_t end) {
  typedef typename Accumulate<T>::type A;
  constexpr int lanes = VecOf<A>::lanes;
  const ScaParams& p = job.p;
  const View<T> view{job};
  const int64_t room = job.window * job.group_rows * lanes;
  Workspace space(MapWindow<T>::bytes(job, p.dim) + MapWindow<T>::bytes(job, p.value_dim) +
                  Pieces<A>::bytes(job.window) + sizeof(A) * (room + job.window + lanes) + 256);
  if (!space.ok()) return SCA_OUT_OF_MEMORY;
  MapWindow<T> query(&space, job, p.dim), out(&space, job, p.value_dim);
  Pieces<A> pieces(&space, job.window);
  A* s = space.take<A>(room);
  A* lse = space.take<A>(job.window + lanes);
  const A nothing = p.uniform ? A(__builtin_log(double(p.keys))) : A(-__builtin_inf());

  for (int64_t i = begin; i < end; ++i) {
    const int64_t b = i / (p.heads * job.windows), h = i / job.windows % p.heads;
    const int64_t kv = h / (p.heads / p.kv_heads), first = i % job.windows * job.window;
    const Plan& plan = job.plans[b];
    const int64_t left = job.wide - first, count = left < job.window ? left : job.window;
    query.read(Items<T>::of(p.query, b, h), first, count);
    out.place(Items<T>::of(p.out, b, h), first, count);
    pieces.find(plan, first, count, s, nullptr);
    const MapAttention<T> attention{pieces, &plan};
    attention.scores([&](const Group& g) { return view.rows_a(b, kv, g); }, query, p.dim,
                     &Piece<A>::s);
    for (int64_t k = 0; k < pieces.count; ++k) {
      const Piece<A>& piece = pieces.by_label[k];
      const Vec<A> found = piece.group < 0
                               ? fill(nothing)
                               : softmax<A>(piece.s, plan.groups[piece.group].count, lanes);
      store(lse + piece.at, piece.mask ? found : load(lse + piece.at));
    }
    attention.mix([&](const Group& g) { return view.rows_b(b, kv, g); }, &Piece<A>::s,
                  p.uniform ? view.rest(b, kv) : nullptr, p.value_dim, out);
    out.write();
    A* to = View<T>::at(p.lse.data, b * p.lse.stride[0] + h * p.lse.stride[1]);
    for (int64_t l = 0; l < count; ++l) to[(first + l) * p.lse.stride[2]] = lse[l];
  }
  return SCA_OK;
}

// Turns scores into weights, as the forward pass did, and gradients of weights into gradients of
// scores; zeros in the lanes of other labels, whatever those hold.
template <class A>
inline void softmax_backward(const Piece<A>& piece, int64_t rows, const Vec<A>& grad_lse) {
  constexpr int lanes = VecOf<A>::lanes;
  softmax<A>(piece.s, rows, lanes);
  Vec<A> mean{};  // of the gradients of weights
  for (int64_t j = 0; j < rows; ++j) {
    const Vec<A> weight = load(piece.s + j * lanes);
    store(piece.s + j * lanes, piece.mask ? weight : Vec<A>{});
    mean += weight * load(piece.ds + j * lanes);
  }
  for (int64_t j = 0; j < rows; ++j) {
    const Vec<A> apart = (load(piece.ds + j * lanes) - mean) + grad_lse;
    const Vec<A> ds = load(piece.s + j * lanes) * apart;
    store(piece.ds + j * lanes, piece.mask ? ds : Vec<A>{});
  }
}

template <class T>
int backward_maps(const Job& job, int64_t begin, int64_t end) {
  typedef typename Accumulate<T>::type A;
  constexpr int lanes = VecOf<A>::lanes;
  const ScaParams& p = job.p;
  const View<T> view{job};
  const int64_t room = job.window * job.group_rows * lanes, heads = p.heads / p.kv_heads;
  Workspace space(2 * MapWindow<T>::bytes(job, p.dim) + MapWindow<T>::bytes(job, p.value_dim) +
                  Pieces<A>::bytes(job.window) +
                  sizeof(A) * (2 * room + job.window + lanes) + 256);
  if (!space.ok()) return SCA_OUT_OF_MEMORY;
  MapWindow<T> query(&space, job, p.dim), grad_query(&space, job, p.dim);
  MapWindow<T> grad_out(&space, job, p.value_dim);
  Pieces<A> pieces(&space, job.window);
  A* s = space.take<A>(room);
  A* ds = space.take<A>(room);
  A* grad_lse = space.take<A>(job.window + lanes);

  for (int64_t i = begin; i < end; ++i) {
    const int64_t b = i / (p.kv_heads * job.chunks), kv = i / job.chunks % p.kv_heads;
    const int64_t chunk = i % job.chunks;
    const Plan& plan = job.plans[b];
    A* rest = clear_partials<T>(job, b, kv, chunk);
    const auto keys = [&](const Group& g) { return view.rows_a(b, kv, g); };
    const auto values = [&](const Group& g) { return view.rows_b(b, kv, g); };
    const auto key_sums = [&](int64_t g) { return view.partial(b, kv, chunk, g); };
    const auto value_sums = [&](int64_t g) { return key_sums(g) + padded(p.dim); };

    const int64_t last = (chunk + 1) * job.chunk_windows * job.window;
    for (int64_t h = kv * heads; h < (kv + 1) * heads; ++h)
      for (int64_t first = chunk * job.chunk_windows * job.window;
           first < last && first < p.queries; first += job.window) {
        const int64_t left = job.wide - first, count = left < job.window ? left : job.window;
        query.read(Items<T>::of(p.query, b, h), first, count);
        grad_out.read(Items<T>::of(p.grad_out, b, h), first, count);
        grad_query.place(Items<T>::of(p.grad_query, b, h), first, count);
        read_grad_lse<T>(job, b, h, Consecutive{first}, count, grad_lse);
        pieces.find(plan, first, count, s, ds);
        const MapAttention<T> attention{pieces, &plan};
        attention.scores(keys, query, p.dim, &Piece<A>::s);
        attention.scores(values, grad_out, p.value_dim, &Piece<A>::ds);
        for (int64_t k = 0; k < pieces.count; ++k) {
          const Piece<A>& piece = pieces.by_label[k];
          if (piece.group >= 0)
            softmax_backward<A>(piece, plan.groups[piece.group].count, load(grad_lse + piece.at));
          else if (rest)
            attention.add_lanes(grad_out, piece, p.value_dim, rest);
        }
        attention.mix(keys, &Piece<A>::ds, nullptr, p.dim, grad_query);
        attention.reduce(grad_out, &Piece<A>::s, p.value_dim, job.partial_width, value_sums);
        attention.reduce(query, &Piece<A>::ds, p.dim, job.partial_width, key_sums);
        grad_query.write();
      }
  }
  return SCA_OK;
}
