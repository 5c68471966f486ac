// SPDX-License-Identifier: Apache-2.0
// The forward pass over windows.
#pragma once

template <class T>
inline Rows<T> rows_of(const ScaTensor& map, int64_t b, int64_t count) {
  return {static_cast<T*>(map.data) + b * map.stride[0], map.stride[1], map.stride[2], count};
}

// The operands of a window in slots. Channels are brought in some at a time, and their part of the
// scores is added up while they are near.
template <class T>
struct Slots {
  typedef typename Accumulate<T>::type A;
  static constexpr int lanes = VecOf<A>::lanes;
  Window<lanes> window;
  int64_t most, step;   // slots, channels brought in at a time
  int64_t scored_rows;  // channels held of what scores see
  A *x, *noise, *sums;  // sums: x + position

  // Pixel by pixel a whole line of channels is read at once.
  static int64_t step_of(const Job& job) {
    const ModulationParams& p = job.p;
    const bool along_channels = channels_last(p.x) || (p.position.data && p.position.stride[1] != 1);
    return along_channels ? padded_channels(p.channels) : CHANNELS;
  }
  static size_t bytes(const Job& job, bool keep) {
    const int64_t most = Window<lanes>::most_slots(job), padded = padded_channels(job.p.channels);
    const int64_t rows = keep ? padded : step_of(job);
    return Window<lanes>::bytes(job) +
           Workspace::bytes_of<A>(most * (padded + (job.p.position.data ? rows : 0) + 1)) + 256;
  }
  // keep: all channels of what scores see.
  Slots(const Job& job, bool keep, Workspace* workspace) : window(job, workspace) {
    const int64_t padded = padded_channels(job.p.channels);
    most = Window<lanes>::most_slots(job), step = step_of(job);
    x = workspace->take<A>(most * padded);
    scored_rows = keep ? padded : step;
    sums = job.p.position.data ? workspace->take<A>(most * scored_rows) : nullptr;
    noise = workspace->take<A>(most);
    memset(noise, 0, sizeof(A) * most);
  }

  A* scored(int64_t channel) const {
    return sums ? sums + channel % scored_rows * window.stride : x + channel * window.stride;
  }

  void open(const Job& job, int64_t b, int64_t index) {
    window.sort(job, b, index);
    const ModulationParams& p = job.p;
    if (!p.noise.data) return;
    const Rows<const T> field = {element<T>(p.noise, b), 0, p.noise.stride[1], 1};
    move_in(field, 0, 1, window, noise);
  }

  void load_channels(const Job& job, int64_t b, int64_t begin, int64_t end) {
    const ModulationParams& p = job.p;
    A* to = x + begin * window.stride;
    const Rows<const T> map = rows_of<const T>(p.x, b, p.channels);
    if (!sums) return move_in(map, begin, end, window, to);
    const Rows<const T> code = {static_cast<const T*>(p.position.data), p.position.stride[0],
                                p.position.stride[1], p.channels};
    A* sum = scored(begin);
    if (map.along_pixels() && code.along_pixels() && !window.scattered)
      return move_in_both(map, code, begin, end, window, to, sum);
    move_in(map, begin, end, window, to);
    move_in(code, begin, end, window, sum);
    for (int64_t i = 0; i < (end - begin) * window.stride; i += lanes)
      store(sum + i, load(sum + i) + load(to + i));
  }
};

// Calls body.run<R>(segment, group, tokens) for each segment of a window, R being the rows in a
// block of its tokens.
template <class A, class W, class F>
inline void for_segments(const Job& job, int64_t b, const W& window, const F& body) {
  for (int64_t s = 0; s < window.segment_count; ++s) {
    const Segment& segment = window.segments[s];
    const TokenGroup& group = job.plans[b].groups[segment.group];
    const Tokens<A> tokens = tokens_of<A>(job, b, group);
    switch (group.block) {
      case 1: body.template run<1>(segment, group, tokens); break;
      case 2: body.template run<2>(segment, group, tokens); break;
      case 4: body.template run<4>(segment, group, tokens); break;
      default: body.template run<8>(segment, group, tokens);
    }
  }
}

template <class T>
struct ScoreSegment {
  typedef A_of<T> A;
  const Slots<T>& slots;
  A* p;
  int64_t begin, end;

  template <int R>
  void run(const Segment& s, const TokenGroup& group, const Tokens<A>& t) const {
    if (group.count)
      score_slots<A, R>(t, begin, end, slots.scored(begin) + s.slot, slots.window.stride,
                        s.end - s.slot, p + s.slot, slots.window.stride);
  }
};

template <class T>
struct ModulateSegment {
  typedef A_of<T> A;
  const Slots<T>& slots;
  const A* p;
  int64_t begin, end;

  template <int R>
  void run(const Segment& s, const TokenGroup&, const Tokens<A>& t) const {
    const int64_t stride = slots.window.stride;
    modulate_slots<A, R>(t, begin, end, p + s.slot, slots.noise + s.slot,
                         slots.x + begin * stride + s.slot, stride, s.end - s.slot);
  }
};

// Scores of all segments, [row][slot], to probabilities.
template <class A, int LANES>
inline void softmax_segments(const Job& job, int64_t b, const Window<LANES>& w, A* p) {
  for (int64_t s = 0; s < w.segment_count; ++s) {
    const Segment& segment = w.segments[s];
    const TokenGroup& group = job.plans[b].groups[segment.group];
    for (int64_t i = segment.slot; i < segment.end; i += LANES) {
      for (int64_t h = 0; h < job.p.heads && group.count; ++h)
        softmax<A>(p + h * group.count * w.stride + i, w.stride, group.count);
      for (int64_t row = group.count ? group.rows : 0; row < group.padded_rows(); ++row)
        store(p + row * w.stride + i, fill(A(group.count == 0)));
    }
  }
}

template <class T>
int forward(const Job& job, int64_t begin, int64_t end) {
  typedef typename Accumulate<T>::type A;
  const int64_t channels = job.p.channels;
  const int64_t p_numbers = job.row_limit * Window<VecOf<A>::lanes>::most_slots(job);
  Workspace workspace(Slots<T>::bytes(job, false) + Workspace::bytes_of<A>(p_numbers) +
                      Workspace::bytes_of<T>(job.window) + 256);
  if (!workspace.ok()) return SCA_OUT_OF_MEMORY;
  Slots<T> slots(job, false, &workspace);
  A* p = workspace.take<A>(p_numbers);
  T* row = workspace.take<T>(job.window);
  for (int64_t item = begin; item < end; ++item) {
    const int64_t b = item / job.windows, step = slots.step;
    const auto last = [&](int64_t c) { return c + step < channels ? c + step : channels; };
    slots.open(job, b, item % job.windows);
    for (int64_t c = 0; c < channels; c += step) {
      slots.load_channels(job, b, c, last(c));
      for_segments<A>(job, b, slots.window, ScoreSegment<T>{slots, p, c, last(c)});
    }
    softmax_segments(job, b, slots.window, p);
    const Rows<T> y = rows_of<T>(job.p.y, b, channels);
    for (int64_t c = 0; c < channels; c += step) {
      for_segments<A>(job, b, slots.window, ModulateSegment<T>{slots, p, c, last(c)});
      write_out(slots.x + c * slots.window.stride, slots.window, c, last(c), y, row);
    }
  }
  streamed();
  return SCA_OK;
}
