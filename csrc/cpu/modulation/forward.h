// SPDX-License-Identifier: Apache-2.0
// Tokens brought together by label, and the forward pass over windows.
#pragma once

template <class T>
int scan(const Job& job, int64_t begin, int64_t end) {
  constexpr int64_t PIECE = 512;
  int32_t groups[PIECE];
  for (int64_t item = begin; item < end; ++item) {
    const int64_t b = item / job.scans, first = item % job.scans * job.scan;
    const int64_t last = first + job.scan < job.p.pixels ? first + job.scan : job.p.pixels;
    unsigned char* present = job.present + b * job.group_limit;
    for (int64_t i = first; i < last; i += PIECE) {
      const int64_t count = last - i < PIECE ? last - i : PIECE;
      groups_of_pixels(job, b, i, count, groups);
      for (int64_t k = 0; k < count; ++k)
        if (!__atomic_load_n(present + groups[k], __ATOMIC_RELAXED))
          __atomic_store_n(present + groups[k], 1, __ATOMIC_RELAXED);
    }
  }
  return SCA_OK;
}

template <class A>
inline void place(A* to, int64_t padded, int64_t block, int64_t width, int64_t row, int64_t c,
                  int64_t which, A value) {
  to[((row / block * padded + c) * width + which) * block + row % block] = value;
}

template <class T>
int pack_tokens(const Job& job, int64_t begin, int64_t end) {
  typedef typename Accumulate<T>::type A;
  const ModulationParams& p = job.p;
  const int64_t padded = padded_channels(p.channels);
  for (int64_t item = begin; item < end; ++item) {
    const int64_t b = job.present_groups[item].batch;
    const TokenPlan& plan = job.plans[b];
    const TokenGroup& group = plan.groups[job.present_groups[item].group];
    const int64_t rows = group.padded_rows();
    A* keys = static_cast<A*>(job.packed) + group.packed;
    A *gamma_beta = keys + rows * padded, *bias = gamma_beta + 2 * rows * padded;
    memset(keys, 0, sizeof(A) * rows * (3 * padded + 1));
    if (group.count == 0) {
      for (int which = 0; which < 2; ++which) {
        const ScaTensor& source = which ? p.default_beta : p.default_gamma;
        for (int64_t c = 0; source.data && c < p.channels; ++c)
          place(gamma_beta, padded, 1, 2, 0, c, which, A(widen(*element<T>(source, b, c))));
      }
    }
    for (int64_t row = 0; row < group.rows && group.count; ++row) {
      const int64_t h = row / group.count, j = plan.order[group.first + row % group.count];
      bias[row] = widen(*element<T>(p.key_bias, b, h, j));
      const T *key = element<T>(p.keys, b, h, j), *gamma = element<T>(p.gamma, b, h, j);
      const T* beta = element<T>(p.beta, b, h, j);
      for (int64_t c = 0; c < p.channels; ++c) {
        place(keys, padded, group.block, 1, row, c, 0, A(widen(key[c * p.keys.stride[3]])));
        place(gamma_beta, padded, group.block, 2, row, c, 0,
              A(widen(gamma[c * p.gamma.stride[3]])));
        place(gamma_beta, padded, group.block, 2, row, c, 1,
              A(widen(beta[c * p.beta.stride[3]])));
      }
    }
  }
  return SCA_OK;
}

template <class T>
int pack_constants(const Job& job, int64_t begin, int64_t end) {
  typedef typename Accumulate<T>::type A;
  const ModulationParams& p = job.p;
  const int64_t padded = padded_channels(p.channels);
  for (int64_t b = begin; b < end; ++b) {
    A* to = static_cast<A*>(job.constants) + b * padded * CONSTANTS;
    memset(to, 0, sizeof(A) * padded * CONSTANTS);
    for (int64_t c = 0; c < p.channels; ++c) {
      to[c * CONSTANTS] = *element<A>(p.mean, b, c);
      to[c * CONSTANTS + 1] = *element<A>(p.rstd, b, c);
      if (p.noise.data) to[c * CONSTANTS + 2] = widen(*element<T>(p.noise_scale, c));
    }
  }
  return SCA_OK;
}

template <class A>
inline Tokens<A> tokens_of(const Job& job, int64_t b, const TokenGroup& group) {
  const int64_t padded = padded_channels(job.p.channels), rows = group.padded_rows();
  const A* packed = static_cast<const A*>(job.packed) + group.packed;
  return {group.blocks,
          job.p.channels,
          padded,
          packed,
          packed + rows * padded,
          packed + 3 * rows * padded,
          static_cast<const A*>(job.constants) + b * padded * CONSTANTS,
          A(job.p.negative_slope)};
}

template <class T>
inline Rows<T> rows_of(const ScaTensor& map, int64_t b, int64_t count) {
  return {static_cast<T*>(map.data) + b * map.stride[0], map.stride[1], map.stride[2], count};
}

// The operands of a window in slots.
template <class T>
struct Slots {
  typedef typename Accumulate<T>::type A;
  static constexpr int lanes = VecOf<A>::lanes;
  Window<lanes> window;
  int64_t most;
  A *x, *scored, *noise;  // scored: x + position, or x itself

  static size_t bytes(const Job& job) {
    const ModulationParams& p = job.p;
    const int64_t most = Window<lanes>::most_slots(job), padded = padded_channels(p.channels);
    return Window<lanes>::bytes(job) +
           Workspace::bytes_of<A>(most * (padded * (p.position.data ? 2 : 1) + 1));
  }
  Slots(const Job& job, Workspace* workspace) : window(job, workspace) {
    most = Window<lanes>::most_slots(job);
    const int64_t padded = padded_channels(job.p.channels);
    x = workspace->take<A>(most * padded);
    scored = job.p.position.data ? workspace->take<A>(most * padded) : x;
    noise = workspace->take<A>(most);
    memset(noise, 0, sizeof(A) * most);
  }

  void load_window(const Job& job, int64_t b, int64_t index) {
    const ModulationParams& p = job.p;
    window.sort(job, b, index);
    move_in(rows_of<const T>(p.x, b, p.channels), window, x);
    if (p.position.data) {
      const ScaTensor& code = p.position;
      const Rows<const T> rows = {static_cast<const T*>(code.data), code.stride[0],
                                  code.stride[1], p.channels};
      move_in(rows, window, scored);
      for (int64_t c = 0; c < p.channels; ++c)
        for (int64_t i = 0; i < window.stride; i += lanes) {
          A* at = scored + c * window.stride + i;
          store(at, load(at) + load(x + c * window.stride + i));
        }
    }
    if (p.noise.data) {
      const Rows<const T> field = {element<T>(p.noise, b), 0, p.noise.stride[1], 1};
      move_in(field, window, noise);
    }
  }
};

template <class A, int R, int U>
inline void forward_unit(const Tokens<A>& t, const TokenGroup& group, int64_t heads, A* p,
                         const A* scored, const A* noise, A* x, int64_t stride) {
  constexpr int lanes = VecOf<A>::lanes;
  constexpr int64_t width = U * lanes;
  if (group.count) {
    for (int64_t k = 0; k < t.blocks; ++k)
      score_block<A, R, U>(t.keys + k * t.padded * R, t.bias + k * R, scored, stride, t.channels,
                           p + k * R * width, width);
    for (int64_t h = 0; h < heads; ++h)
      for (int u = 0; u < U; ++u)
        softmax<A>(p + h * group.count * width + u * lanes, width, group.count);
    for (int64_t i = group.rows * width; i < t.blocks * R * width; ++i) p[i] = 0;
  } else {
    for (int64_t i = 0; i < width; ++i) p[i] = 1;
  }
  if (t.blocks == 1) {
    modulate<A, R, U, true>(t, p, width, noise, x, stride);
  } else {
    modulate<A, R, U, false>(t, p, width, noise, x, stride);
  }
}

template <class T, int R>
inline void forward_segment(const Job& job, int64_t b, const Segment& segment, Slots<T>* slots,
                            typename Accumulate<T>::type* p) {
  typedef typename Accumulate<T>::type A;
  constexpr int lanes = VecOf<A>::lanes;
  const TokenGroup& group = job.plans[b].groups[segment.group];
  const Tokens<A> tokens = tokens_of<A>(job, b, group);
  const int64_t stride = slots->window.stride;
  int64_t i = segment.slot;
  for (; i + UNIT * lanes <= segment.end; i += UNIT * lanes)
    forward_unit<A, R, UNIT>(tokens, group, job.p.heads, p, slots->scored + i, slots->noise + i,
                             slots->x + i, stride);
  if constexpr (UNIT > 1)
    for (; i < segment.end; i += lanes)
      forward_unit<A, R, 1>(tokens, group, job.p.heads, p, slots->scored + i, slots->noise + i,
                            slots->x + i, stride);
}

template <class T>
int forward(const Job& job, int64_t begin, int64_t end) {
  typedef typename Accumulate<T>::type A;
  const int64_t p_numbers = job.row_limit * UNIT * VecOf<A>::lanes;
  Workspace workspace(Slots<T>::bytes(job) + Workspace::bytes_of<A>(p_numbers) + 256);
  if (!workspace.ok()) return SCA_OUT_OF_MEMORY;
  Slots<T> slots(job, &workspace);
  A* p = workspace.take<A>(p_numbers);
  for (int64_t item = begin; item < end; ++item) {
    const int64_t b = item / job.windows;
    slots.load_window(job, b, item % job.windows);
    for (int64_t s = 0; s < slots.window.segment_count; ++s) {
      const Segment& segment = slots.window.segments[s];
      switch (job.plans[b].groups[segment.group].block) {
        case 1: forward_segment<T, 1>(job, b, segment, &slots, p); break;
        case 2: forward_segment<T, 2>(job, b, segment, &slots, p); break;
        case 4: forward_segment<T, 4>(job, b, segment, &slots, p); break;
        default: forward_segment<T, 8>(job, b, segment, &slots, p);
      }
    }
    move_out(slots.x, slots.window, rows_of<T>(job.p.y, b, job.p.channels));
  }
  return SCA_OK;
}
