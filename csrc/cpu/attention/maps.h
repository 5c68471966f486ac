// SPDX-License-Identifier: Apache-2.0
// Wide queries that lie as maps (consecutive queries next to each other, channels far apart): a
// vector holds consecutive pixels of one channel, nothing is transposed. A *piece* is the part of
// a vector that belongs to one label; a vector on a border of labels is computed once for each.
#pragma once

// Channels handled for all pieces of a window before the next: maps are read and written in
// stretches of a window, not of a vector.
constexpr int64_t CHANNELS = 32;
// Keys of a label that go straight into the output: the common number. Others take a detour.
constexpr int MIXED = 8;

struct Consecutive {
  int64_t first;
  int64_t operator[](int64_t l) const { return first + l; }
};

template <class A>
struct Piece {
  IntVec<A> mask;  // all ones in the lanes of this label
  int64_t at;      // first pixel of the vector, counted from the window's first
  int64_t group;
  A* s;            // (rows, lanes): scores, then weights
  A* ds;           // (rows, lanes), backward
};

// The pieces of a window. A vector's pieces cover all its lanes that hold pixels.
template <class A>
class Pieces {
 public:
  static size_t bytes(int64_t window) {
    return (sizeof(Piece<A>) + sizeof(Piece<A>*) + sizeof(int32_t)) * (window + 2) + 256;
  }
  Pieces(Workspace* space, int64_t window)
      : by_label(space->take<Piece<A>>(window)),
        by_place(space->take<const Piece<A>*>(window)),
        next_(space->take<int32_t>(window + 2)) {}

  // `s` and `ds` (may be null): room for all rows of all pieces.
  void find(const Plan& plan, int64_t first, int64_t pixels, A* s, A* ds) {
    typedef typename IntOf<A>::scalar Int;
    const int32_t *items = plan.wide_order + first, *groups = plan.wide_group + first;
    memset(next_, 0, sizeof(int32_t) * (pixels / lanes + 2));
    count = 0;
    for (int64_t l = 0; l < pixels;) {
      const int64_t group = groups[l], at = (items[l] - first) / lanes * lanes;
      Int mask[lanes] = {};
      for (; l < pixels && groups[l] == group && items[l] - first < at + lanes; ++l)
        mask[items[l] - first - at] = -1;
      by_label[count++] = {load_bytes<IntVec<A>>(mask), at, group, s, ds};
      ++next_[at / lanes + 1];
      const int64_t room = group < 0 ? 0 : plan.groups[group].count * lanes;
      s += room;
      if (ds) ds += room;
    }
    for (int64_t v = 1; v * lanes < pixels; ++v) next_[v] += next_[v - 1];
    for (int64_t i = 0; i < count; ++i) by_place[next_[by_label[i].at / lanes]++] = by_label + i;
  }

  Piece<A>* const by_label;
  const Piece<A>** const by_place;
  int64_t count = 0;

 private:
  static constexpr int lanes = VecOf<A>::lanes;
  int32_t* const next_;  // of each vector: where its next piece goes
};

// One tensor's pixels of a window, by channel. A window that ends inside a vector is copied.
template <class T>
class MapWindow {
 public:
  typedef typename Accumulate<T>::type A;
  static constexpr int lanes = VecOf<A>::lanes;

  static bool copies(const Job& job) { return job.wide % lanes != 0; }
  static size_t bytes(const Job& job, int64_t depth) {
    return copies(job) ? sizeof(T) * job.window * depth + 64 : 0;
  }
  MapWindow(Workspace* space, const Job& job, int64_t depth)
      : depth_(depth), own_(copies(job) ? space->take<T>(job.window * depth) : nullptr) {}

  void place(const Items<T>& map, int64_t first, int64_t count) {
    map_ = map.at(first), map_channel_ = map.channel, count_ = count;
    copied_ = count % lanes != 0;
    data = copied_ ? own_ : map_;
    channel = copied_ ? (count + lanes - 1) / lanes * lanes : map.channel;
  }
  void read(const Items<T>& map, int64_t first, int64_t count) {
    place(map, first, count);
    for (int64_t d = 0; copied_ && d < depth_; ++d) {
      memcpy(data + d * channel, map_ + d * map_channel_, sizeof(T) * count);
      memset(data + d * channel + count, 0, sizeof(T) * (channel - count));
    }
  }
  void write() const {
    for (int64_t d = 0; copied_ && d < depth_; ++d)
      memcpy(map_ + d * map_channel_, data + d * channel, sizeof(T) * count_);
  }

  T* data = nullptr;
  int64_t channel = 0;  // stride

 private:
  int64_t depth_;
  T* own_;
  T* map_ = nullptr;
  int64_t map_channel_ = 0, count_ = 0;
  bool copied_ = false;
};

// s[p][j] (+)= sum_d rows[j][d] x[d][at p] over n channels, for J rows and P pieces of one label.
template <class T, class A, int J, int P>
SCAM_INLINE void map_scores_block(const A* rows, int64_t depth, const T* const* x,
                                  int64_t channel, int64_t n, bool add, A* const* s) {
  constexpr int lanes = VecOf<A>::lanes;
  Vec<A> sum[P][J];
  for (int p = 0; p < P; ++p)
    for (int j = 0; j < J; ++j) sum[p][j] = add ? load(s[p] + j * lanes) : Vec<A>{};
  for (int64_t d = 0; d < n; ++d) {
    Vec<A> item[P];
    for (int p = 0; p < P; ++p) {
      item[p] = load(x[p] + d * channel);
      prefetch(x[p] + (d + n) * channel);
    }
    for (int j = 0; j < J; ++j)
      for (int p = 0; p < P; ++p) sum[p][j] += rows[j * depth + d] * item[p];
  }
  for (int p = 0; p < P; ++p)
    for (int j = 0; j < J; ++j) store(s[p] + j * lanes, sum[p][j]);
}

template <class T, class A, int P>
inline void map_scores(const A* rows, int64_t count, int64_t depth, const T* const* x,
                       int64_t channel, int64_t n, bool add, A* const* s) {
  constexpr int lanes = VecOf<A>::lanes, J = SUMS / 2;
  A* to[P];
  for (int p = 0; p < P; ++p) to[p] = s[p];
  const auto step = [&](int j) {
    rows += j * depth, count -= j;
    for (int p = 0; p < P; ++p) to[p] += j * lanes;
  };
  for (; count >= J; step(J))
    map_scores_block<T, A, J, P>(rows, depth, x, channel, n, add, to);
  for (; count >= 2; step(2))
    map_scores_block<T, A, 2, P>(rows, depth, x, channel, n, add, to);
  if (count) map_scores_block<T, A, 1, P>(rows, depth, x, channel, n, add, to);
}

// o[p][d] = sum_j w[p][j] rows[j][d] over n channels, added to what is there if `add`.
template <class T, class A, int J, int P>
SCAM_INLINE void map_mix_block(const A* rows, int64_t depth, const A* const* w, T* const* o,
                               int64_t channel, int64_t n, bool add) {
  constexpr int lanes = VecOf<A>::lanes;
  Vec<A> weight[P][J];
  for (int p = 0; p < P; ++p)
    for (int j = 0; j < J; ++j) weight[p][j] = load(w[p] + j * lanes);
  for (int64_t d = 0; d < n; ++d) {
    Vec<A> sum[P];
    for (int p = 0; p < P; ++p) sum[p] = add ? load(o[p] + d * channel) : Vec<A>{};
    for (int j = 0; j < J; ++j)
      for (int p = 0; p < P; ++p) sum[p] += rows[j * depth + d] * weight[p][j];
    for (int p = 0; p < P; ++p) store(o[p] + d * channel, sum[p]);
  }
}

// A vector on a border of two labels: o[d] = mask ? what the first rows give : the second.
template <class T, class A, int J>
SCAM_INLINE void map_mix_border(const A* first, const A* second, int64_t depth, const A* w,
                                const A* v, const IntVec<A>& mask, T* o, int64_t channel,
                                int64_t n) {
  constexpr int lanes = VecOf<A>::lanes;
  Vec<A> weight[2][J];
  for (int j = 0; j < J; ++j) {
    weight[0][j] = load(w + j * lanes);
    weight[1][j] = load(v + j * lanes);
  }
  for (int64_t d = 0; d < n; ++d) {
    Vec<A> sum[2] = {Vec<A>{}, Vec<A>{}};
    for (int j = 0; j < J; ++j) {
      sum[0] += first[j * depth + d] * weight[0][j];
      sum[1] += second[j * depth + d] * weight[1][j];
    }
    store(o + d * channel, mask ? sum[0] : sum[1]);
  }
}

// As map_mix_block, for any number of rows; o: CHANNELS vectors.
template <class A>
inline void map_mix(const A* rows, int64_t count, int64_t depth, const A* w, int64_t n, A* o) {
  constexpr int lanes = VecOf<A>::lanes, J = MIXED;
  A* to[1] = {o};
  bool add = false;
  for (; count >= J; count -= J, rows += J * depth, w += J * lanes, add = true)
    map_mix_block<A, A, J, 1>(rows, depth, &w, to, lanes, n, add);
  for (; count > 0; --count, rows += depth, w += lanes, add = true)
    map_mix_block<A, A, 1, 1>(rows, depth, &w, to, lanes, n, add);
}

template <class T>
struct MapAttention {
  typedef typename Accumulate<T>::type A;
  static constexpr int lanes = VecOf<A>::lanes;
  const Pieces<A>& pieces;
  const Plan* plan;

  // Into `s` or `ds` of each piece: rows(group) are the group's rows of padded `depth`.
  template <class Rows>
  void scores(const Rows& rows, const MapWindow<T>& x, int64_t depth, A* Piece<A>::*to) const {
    for (int64_t d = 0; d < depth; d += CHANNELS) {
      const int64_t some = depth - d < CHANNELS ? depth - d : CHANNELS;
      const T* from = x.data + d * x.channel;
      for (int64_t i = 0; i < pieces.count; ++i) {
        const Piece<A>& piece = *pieces.by_place[i];
        if (piece.group < 0) continue;
        const Group& group = plan->groups[piece.group];
        const A* base = rows(group) + d;
        const Piece<A>* other = follower(i);
        const T* at[2] = {from + piece.at, from + other->at};
        A* s[2] = {piece.*to, other->*to};
        if (other == &piece) {
          map_scores<T, A, 1>(base, group.count, padded(depth), at, x.channel, some, d > 0, s);
        } else {
          map_scores<T, A, 2>(base, group.count, padded(depth), at, x.channel, some, d > 0, s);
          ++i;
        }
      }
    }
  }

  // From `s` or `ds`; pieces of no label get `rest` (null: zeros).
  template <class Rows>
  void mix(const Rows& rows, A* Piece<A>::*weights, const A* rest, int64_t depth,
           const MapWindow<T>& o) const {
    constexpr int J = MIXED;
    for (int64_t d = 0; d < depth; d += CHANNELS) {
      const int64_t some = depth - d < CHANNELS ? depth - d : CHANNELS;
      T* to = o.data + d * o.channel;
      for (int64_t i = 0; i < pieces.count;) {
        const Piece<A>& piece = *pieces.by_place[i];
        const int64_t end = vector_end(i);
        const Piece<A>& last = *pieces.by_place[end - 1];
        if (!has_rows(piece, J) || end > i + 2 || !has_rows(last, J)) {
          mix_vector(i, end, rows, weights, rest ? rest + d : nullptr, d, depth, some,
                     to + piece.at, o.channel);
          i = end;
          continue;
        }
        if (end == i + 2) {
          map_mix_border<T, A, J>(rows(plan->groups[piece.group]) + d,
                                  rows(plan->groups[last.group]) + d, padded(depth),
                                  piece.*weights, last.*weights, piece.mask, to + piece.at,
                                  o.channel, some);
          i = end;
          continue;
        }
        const A* base = rows(plan->groups[piece.group]) + d;
        const Piece<A>* other = follower(i);
        const A* w[2] = {piece.*weights, other->*weights};
        T* at[2] = {to + piece.at, to + other->at};
        if (other == &piece || vector_end(i + 1) != i + 2) {
          map_mix_block<T, A, J, 1>(base, padded(depth), w, at, o.channel, some, false);
          i += 1;
        } else {
          map_mix_block<T, A, J, 2>(base, padded(depth), w, at, o.channel, some, false);
          i += 2;
        }
      }
    }
  }

  // sums(group)[j][d] += sum over the lanes of weights[j] x[d]; rows of `width` numbers.
  template <class Sums>
  void reduce(const MapWindow<T>& x, A* Piece<A>::*weights, int64_t depth, int64_t width,
              const Sums& sums) const {
    for (int64_t d = 0; d < depth; d += CHANNELS) {
      const int64_t to = depth - d < CHANNELS ? depth : d + CHANNELS;
      for (int64_t i = 0, end = 0; i < pieces.count; i = end) {
        const int64_t group = pieces.by_label[i].group;
        while (end < pieces.count && pieces.by_label[end].group == group) ++end;
        if (group < 0) continue;
        const int64_t rows = plan->groups[group].count;
        A* sum = sums(group);
        int64_t r = 0;
        for (; r + SUMS / 2 <= rows; r += SUMS / 2)
          reduce_rows<SUMS / 2>(x, weights, i, end, r, d, to, sum + r * width, width);
        for (; r < rows; ++r)
          reduce_rows<1>(x, weights, i, end, r, d, to, sum + r * width, width);
      }
    }
  }

  // sum[d] += the sum over one piece's lanes of x[d].
  void add_lanes(const MapWindow<T>& x, const Piece<A>& piece, int64_t depth, A* sum) const {
    for (int64_t d = 0; d < depth; ++d)
      sum[d] += sum_lanes<A>(piece.mask ? load(x.data + d * x.channel + piece.at) : Vec<A>{});
  }

 private:
  // The piece after number i if it has the same label: two go together. Else piece i itself.
  const Piece<A>* follower(int64_t i) const {
    const Piece<A>* piece = pieces.by_place[i];
    if (i + 1 == pieces.count || pieces.by_place[i + 1]->group != piece->group) return piece;
    return pieces.by_place[i + 1];
  }

  bool has_rows(const Piece<A>& piece, int64_t rows) const {
    return piece.group >= 0 && plan->groups[piece.group].count == rows;
  }
  // The first piece, by place, of the vector after that of piece i.
  int64_t vector_end(int64_t i) const {
    const int64_t at = pieces.by_place[i]->at;
    while (i < pieces.count && pieces.by_place[i]->at == at) ++i;
    return i;
  }

  // The pieces [i, end) of one vector, whatever they are.
  template <class Rows>
  inline void mix_vector(int64_t i, int64_t end, const Rows& rows, A* Piece<A>::*weights,
                         const A* rest, int64_t d, int64_t depth, int64_t some, T* o,
                         int64_t channel) const {
    alignas(64) A all[CHANNELS * lanes], one[CHANNELS * lanes];
    bool first = true;
    for (; i < end; ++i, first = false) {
      const Piece<A>& piece = *pieces.by_place[i];
      if (piece.group >= 0) {
        const Group& group = plan->groups[piece.group];
        map_mix<A>(rows(group) + d, group.count, padded(depth), piece.*weights, some,
                   first ? all : one);
      } else {
        for (int64_t k = 0; k < some; ++k)
          store((first ? all : one) + k * lanes, fill(rest ? rest[k] : A(0)));
      }
      for (int64_t k = 0; k < some * lanes && !first; k += lanes)
        store(all + k, piece.mask ? load(one + k) : load(all + k));
    }
    for (int64_t k = 0; k < some; ++k) store(o + k * channel, load(all + k * lanes));
  }

  // J rows of one label's pieces [begin, end), from row r on; channels [d, to), D at a time.
  template <int J>
  inline void reduce_rows(const MapWindow<T>& x, A* Piece<A>::*weights, int64_t begin,
                          int64_t end, int64_t r, int64_t d, int64_t to, A* sum,
                          int64_t width) const {
    constexpr int D = SUMS / J;
    for (; d < to; d += D) {
      const T* from[D];  // past the last channel: that one again, and nobody reads its sum
      for (int e = 0; e < D; ++e) from[e] = x.data + (d + e < to ? d + e : to - 1) * x.channel;
      Vec<A> total[J * D];
      for (int k = 0; k < J * D; ++k) total[k] = Vec<A>{};
      for (int64_t i = begin; i < end; ++i) {
        const Piece<A>& piece = pieces.by_label[i];
        const A* w = piece.*weights + r * lanes;
        asm("" : "+r"(w));  // one pointer, not one per row
        Vec<A> item[D];
        for (int e = 0; e < D; ++e) {
          item[e] = piece.mask ? load(from[e] + piece.at) : Vec<A>{};
          prefetch(from[e] + piece.at + 2 * D * x.channel);
        }
        for (int j = 0; j < J; ++j) {
          const Vec<A> weight = load(w + j * lanes);
          for (int e = 0; e < D; ++e) total[j * D + e] += weight * item[e];
        }
      }
      A flat[J * D];
      for (int k = 0; k < J * D; k += lanes) store(flat + k, sum_each<A>(total + k));
      for (int j = 0; j < J; ++j)
        for (int e = 0; e < D && d + e < to; ++e) sum[j * width + d + e] += flat[j * D + e];
    }
  }
};
