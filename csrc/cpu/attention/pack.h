// SPDX-License-Identifier: Apache-2.0
// Wide items of any strides as lanes: pointers to their channels, in memory where it can be used
// as it is, else in a packed tile.
#pragma once

// One (batch, head) slice of a tensor.
template <class T>
struct Items {
  T* data;
  int64_t item, channel;  // strides

  static Items of(const ScaTensor& t, int64_t b, int64_t h) {
    return {static_cast<T*>(t.data) + b * t.stride[0] + h * t.stride[1], t.stride[2], t.stride[3]};
  }
  T* at(int64_t i) const { return data + i * item; }
};

// The items of a window in lane order, and how many follow them in later windows.
struct Window {
  const int32_t* items;
  int64_t count, ahead;
  int64_t first;     // the lowest item, if they are consecutive (in some order)
  bool consecutive;
};

inline Window window_at(const Job& job, const Plan& plan, int64_t first) {
  const int64_t left = job.wide - first, count = left < job.window ? left : job.window;
  return {plan.wide_order + first, count, left - count, first, job.consecutive};
}

template <class T>
class Tile {
 public:
  typedef typename Accumulate<T>::type A;

  // What the constructor takes from a workspace.
  static size_t bytes(int64_t window, int64_t depth) {
    return sizeof(A) * window * padded(depth) + sizeof(A*) * (window + SPARE) + 128;
  }
  Tile(Workspace* space, int64_t window, int64_t depth)
      : depth_(depth),
        stride_(padded(depth)),
        memory_(space->take<A>(window * stride_)),
        lanes_(space->take<A*>(window + SPARE)) {}

  A* const* lanes() const { return lanes_; }

  // Points the lanes at the window's items, without reading them.
  void place(const Items<T>& at, const Window& w) {
    at_ = at;
    window_ = w;
    direct_ = sizeof(T) == sizeof(A) && at.channel == 1 && depth_ == stride_;
    across_ = !direct_ && at.item == 1 && at.channel != 1 && w.consecutive;
    for (int64_t l = 0; l < w.count; ++l)
      lanes_[l] = direct_   ? reinterpret_cast<A*>(at.at(w.items[l]))
                  : across_ ? memory_ + (w.items[l] - w.first) * stride_
                            : memory_ + l * stride_;
    for (int64_t l = w.count; l < w.count + SPARE; ++l)
      lanes_[l] = direct_ && l < w.count + w.ahead ? reinterpret_cast<A*>(at.at(w.items[l]))
                                                   : lanes_[w.count - 1];
  }

  void read(const Items<T>& from, const Window& w) {
    place(from, w);
    if (direct_) return;
    if (across_) {
      read_across();
    } else {
      for (int64_t l = 0; l < w.count; ++l) read_item(from.at(w.items[l]), lanes_[l]);
    }
    for (int64_t l = 0; l < w.count && depth_ < stride_; ++l)
      memset(lanes_[l] + depth_, 0, sizeof(A) * (stride_ - depth_));
  }

  // Where place() was called: memory gets what the lanes hold.
  void write() const {
    if (direct_) return;
    if (across_) return write_across();
    for (int64_t l = 0; l < window_.count; ++l) write_item(lanes_[l], at_.at(window_.items[l]));
  }

 private:
  static constexpr int WIDTH = VecOf<A>::lanes;

  void read_item(const T* from, A* to) const {
    int64_t d = 0;
    if (at_.channel == 1)
      for (; d + WIDTH <= depth_; d += WIDTH) store(to + d, load(from + d));
    for (; d < depth_; ++d) to[d] = widen(from[d * at_.channel]);
  }
  void write_item(const A* from, T* to) const {
    int64_t d = 0;
    if (at_.channel == 1)
      for (; d + WIDTH <= depth_; d += WIDTH) store(to + d, load(from + d));
    for (; d < depth_; ++d) shorten(from[d], to + d * at_.channel);
  }

  // Square blocks of items x channels, transposed; items are contiguous in memory, channels in
  // the tile. The next channels are far away in memory: ask for them early.
  void read_across() const {
    for (int64_t d = 0; d < depth_; d += WIDTH)
      for (int64_t i = 0; i < window_.count; i += WIDTH) {
        const T* from = at_.data + window_.first + i + d * at_.channel;
        A* to = memory_ + i * stride_ + d;
        if (i + WIDTH > window_.count || d + WIDTH > depth_) {
          for (int64_t k = 0; k < WIDTH && d + k < depth_; ++k)
            for (int64_t l = 0; l < WIDTH && i + l < window_.count; ++l)
              to[l * stride_ + k] = widen(from[k * at_.channel + l]);
          continue;
        }
        Vec<A> block[WIDTH];
        for (int k = 0; k < WIDTH; ++k) {
          if (d + 2 * WIDTH <= depth_) prefetch(from + (k + WIDTH) * at_.channel);
          block[k] = load(from + k * at_.channel);
        }
        transpose(block);
        for (int l = 0; l < WIDTH; ++l) store(to + l * stride_, block[l]);
      }
  }
  void write_across() const {
    for (int64_t d = 0; d < depth_; d += WIDTH)
      for (int64_t i = 0; i < window_.count; i += WIDTH) {
        T* to = at_.data + window_.first + i + d * at_.channel;
        const A* from = memory_ + i * stride_ + d;
        if (i + WIDTH > window_.count || d + WIDTH > depth_) {
          for (int64_t k = 0; k < WIDTH && d + k < depth_; ++k)
            for (int64_t l = 0; l < WIDTH && i + l < window_.count; ++l)
              shorten(from[l * stride_ + k], to + k * at_.channel + l);
          continue;
        }
        Vec<A> block[WIDTH];
        for (int l = 0; l < WIDTH; ++l) block[l] = load(from + l * stride_);
        transpose(block);
        for (int k = 0; k < WIDTH; ++k) {
          if (d + 2 * WIDTH <= depth_) prefetch_to_write(to + (k + WIDTH) * at_.channel);
          store(to + k * at_.channel, block[k]);
        }
      }
  }

  int64_t depth_, stride_;
  A* memory_;
  A** lanes_;
  Items<T> at_{};
  Window window_{};
  bool direct_ = false, across_ = false;
};
