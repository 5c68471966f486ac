// SPDX-License-Identifier: Apache-2.0
// The backward pass over chunks of windows, and the joining of the chunks' sums.
#pragma once

// Segments are taken in pieces of at most this many numbers of probabilities.
constexpr int64_t PROBABILITIES = 2048;

template <class T>
struct BackwardSlots : Slots<T> {
  typedef typename Accumulate<T>::type A;
  using Slots<T>::lanes;
  A *g, *p, *ds;

  static int64_t probabilities(const Job& job) {
    const int64_t least = job.row_limit * lanes;
    return least > PROBABILITIES ? least : PROBABILITIES;
  }
  static size_t bytes(const Job& job) {
    return Slots<T>::bytes(job, true) +
           Workspace::bytes_of<A>(Window<lanes>::most_slots(job) *
                                padded_channels(job.p.channels)) +
           2 * Workspace::bytes_of<A>(probabilities(job)) + 512;
  }
  BackwardSlots(const Job& job, Workspace* workspace)
      : Slots<T>(job, true, workspace),
        g(workspace->take<A>(this->most * padded_channels(job.p.channels))),
        p(workspace->take<A>(probabilities(job))),
        ds(workspace->take<A>(probabilities(job))) {}

  void load_window(const Job& job, int64_t b, int64_t index) {
    const ModulationParams& params = job.p;
    const Window<lanes>& w = this->window;
    this->open(job, b, index);
    for (int64_t c = 0; c < params.channels; c += this->step)
      this->load_channels(job, b, c,
                          c + this->step < params.channels ? c + this->step : params.channels);
    move_in(rows_of<const T>(params.grad_y, b, params.channels), 0, params.channels, w, g);
    clear_padding(w, params.channels, this->x);
    if (this->sums) clear_padding(w, params.channels, this->sums);
    clear_padding(w, params.channels, g);
    clear_padding(w, 1, this->noise);
    A* const maps[] = {this->x, this->scored(0), g};
    for (A* slots : maps)
      memset(slots + params.channels * w.stride, 0,
             sizeof(A) * (padded_channels(params.channels) - params.channels) * w.stride);
  }
};

// Scores to the probabilities of the forward pass, to the bit, for one vector of slots; lanes
// beyond `valid` get 0.
template <class A>
inline void through_softmax(const TokenGroup& group, int64_t heads, int64_t valid, A* p,
                            int64_t p_stride) {
  const IntVec<A> real = first_lanes<A>(valid);
  if (group.count == 0) {
    store(p, real ? fill(A(1)) : Vec<A>{});
    return;
  }
  for (int64_t h = 0; h < heads; ++h)
    softmax<A>(p + h * group.count * p_stride, p_stride, group.count);
  for (int64_t row = 0; row < group.rows; ++row) {
    A* at = p + row * p_stride;
    store(at, real ? load(at) : Vec<A>{});
  }
  for (int64_t row = group.rows; row < group.padded_rows(); ++row)
    store(p + row * p_stride, Vec<A>{});
}

// ds = p (dp - sum p dp), over dp, one vector of slots.
template <class A>
inline void softmax_backward(const TokenGroup& group, int64_t heads, const A* p, A* ds,
                            int64_t stride, int64_t valid) {
  const IntVec<A> real = first_lanes<A>(valid);
  if (group.count == 0) return store(ds, Vec<A>{});
  for (int64_t h = 0; h < heads; ++h) {
    const int64_t from = h * group.count * stride;
    Vec<A> mean = Vec<A>{};
    for (int64_t j = 0; j < group.count; ++j)
      mean += load(p + from + j * stride) * load(ds + from + j * stride);
    for (int64_t j = 0; j < group.count; ++j) {
      A* at = ds + from + j * stride;
      const Vec<A> slope = load(p + from + j * stride) * (load(at) - mean);
      store(at, real ? slope : Vec<A>{});
    }
  }
  for (int64_t row = group.rows; row < group.padded_rows(); ++row)
    store(ds + row * stride, Vec<A>{});
}

// Slots [first, first + count) of one segment: sums of its group, and grad_x over g.
template <class T, int R>
inline void backward_piece(const Job& job, const TokenGroup& group, const Tokens<A_of<T>>& t,
                           BackwardSlots<T>* slots, int64_t first, int64_t count, int64_t valid,
                           A_of<T>* sums, A_of<T>* noise_sums, bool add) {
  typedef A_of<T> A;
  constexpr int lanes = VecOf<A>::lanes;
  const int64_t stride = slots->window.stride, heads = job.p.heads;
  A *x = slots->x + first, *scored = slots->scored(0) + first, *g = slots->g + first;
  A *p = slots->p, *ds = slots->ds;
  if (group.count) score_slots<A, R>(t, 0, t.channels, scored, stride, count, p, count);
  for (int64_t i = 0; i < count; i += lanes) {
    through_softmax<A>(group, heads, valid - i, p + i, count);
    const A* noise = slots->noise + first + i;
    if (t.blocks == 1) {
      differentiate<A, R, true>(t, p + i, count, noise, x + i, g + i, stride, ds + i, count);
    } else {
      differentiate<A, R, false>(t, p + i, count, noise, x + i, g + i, stride, ds + i, count);
    }
    softmax_backward<A>(group, heads, p + i, ds + i, count, valid - i);
  }
  A* of_keys = sums + 2 * group.padded_rows() * t.padded;
  for (int64_t k = 0; k < t.blocks; ++k) {
    sum_gamma_beta<A, R>(p + k * R * count, count, x, g, stride, count, t.constants, t.padded,
                         sums + k * t.padded * 2 * R, add);
    if (group.count)
      sum_keys<A, R>(ds + k * R * count, count, scored, stride, count, t.padded,
                     of_keys + k * t.padded * R, add);
  }
  A* of_bias = sums + 3 * group.padded_rows() * t.padded;
  for (int64_t row = 0; row < group.rows; ++row) {
    Vec<A> sum = Vec<A>{};
    for (int64_t i = 0; i < count; i += lanes) sum += load(ds + row * count + i);
    of_bias[row] = (add ? of_bias[row] : A(0)) + sum_lanes<A>(sum);
  }
  if (job.p.noise.data)
    sum_noise<A>(slots->noise + first, g, stride, count, t.padded, noise_sums);
  slots_to_grad_x<A, R>(t, p, ds, count, g, stride, count);
}

template <class T, int R>
inline void backward_segment(const Job& job, int64_t b, const Segment& segment,
                             BackwardSlots<T>* slots, A_of<T>* chunk_sums, A_of<T>* noise_sums,
                             unsigned char* touched) {
  typedef A_of<T> A;
  constexpr int lanes = VecOf<A>::lanes;
  const TokenGroup& group = job.plans[b].groups[segment.group];
  const Tokens<A> tokens = tokens_of<A>(job, b, group);
  int64_t piece = PROBABILITIES / group.padded_rows() / lanes * lanes;
  if (piece < lanes) piece = lanes;
  for (int64_t i = segment.slot; i < segment.end; i += piece) {
    const int64_t count = segment.end - i < piece ? segment.end - i : piece;
    backward_piece<T, R>(job, group, tokens, slots, i, count, segment.slot + segment.count - i,
                         chunk_sums + group.partial, noise_sums, touched[group.index]);
    touched[group.index] = 1;
  }
}

// Where grad_x waits for the means over all pixels: in itself, unless that would round it twice.
template <class T>
inline Rows<A_of<T>> local_rows(const Job& job, int64_t b) {
  const ModulationParams& p = job.p;
  if constexpr (sizeof(T) == sizeof(A_of<T>)) {
    return rows_of<T>(p.grad_x, b, p.channels);
  } else {
    const int64_t image = (b - job.first_image) * p.channels * p.pixels;
    const bool last = channels_last(p.x);
    return {static_cast<A_of<T>*>(job.local) + image, last ? 1 : p.pixels,
            last ? p.channels : 1, p.channels};
  }
}

template <class T>
int backward(const Job& job, int64_t begin, int64_t end) {
  typedef A_of<T> A;
  const int64_t padded = padded_channels(job.p.channels);
  Workspace workspace(BackwardSlots<T>::bytes(job));
  if (!workspace.ok()) return SCA_OUT_OF_MEMORY;
  BackwardSlots<T> slots(job, &workspace);
  for (int64_t item = begin; item < end; ++item) {
    const int64_t b = job.first_image + item / job.chunks, chunk = item % job.chunks;
    A* sums = static_cast<A*>(job.partial) + item * job.partial_limit;
    unsigned char* touched = job.touched + item * job.group_limit;
    A* noise = static_cast<A*>(job.partial_noise) + (b * job.chunks + chunk) * padded;
    memset(touched, 0, job.group_limit);
    memset(noise, 0, sizeof(A) * padded);
    const int64_t first = chunk * job.chunk_windows, last = first + job.chunk_windows;
    for (int64_t w = first; w < (last < job.windows ? last : job.windows); ++w) {
      slots.load_window(job, b, w);
      const Window<Slots<T>::lanes>& window = slots.window;
      for (int64_t s = 0; s < window.segment_count; ++s) {
        const Segment& segment = window.segments[s];
        switch (job.plans[b].groups[segment.group].block) {
          case 1: backward_segment<T, 1>(job, b, segment, &slots, sums, noise, touched); break;
          case 2: backward_segment<T, 2>(job, b, segment, &slots, sums, noise, touched); break;
          case 4: backward_segment<T, 4>(job, b, segment, &slots, sums, noise, touched); break;
          default: backward_segment<T, 8>(job, b, segment, &slots, sums, noise, touched);
        }
      }
      move_out(slots.g, window, 0, job.p.channels, local_rows<T>(job, b));
    }
  }
  return SCA_OK;
}
