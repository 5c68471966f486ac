// SPDX-License-Identifier: Apache-2.0
// Wide items of any strides to and from tiles, reading along the direction that is contiguous.
#pragma once

// One (batch, head) slice of a tensor.
template <class T>
struct Items {
  T* data;
  int64_t item, channel;  // strides
  int64_t count;          // items the slice has: everything in [0, count) may be read

  static Items of(const ScaTensor& t, int64_t b, int64_t h, int64_t count) {
    return {static_cast<T*>(t.data) + b * t.stride[0] + h * t.stride[1], t.stride[2], t.stride[3],
            count};
  }
  T& at(int64_t i, int64_t d) const { return data[i * item + d * channel]; }
};

// Lanes [lane, lane + length) of a window hold the items [item, item + length).
struct Run {
  int32_t lane, item, length;
};

// The items of a window, in lane order.
struct Window {
  const int32_t* items;
  int64_t count;
  int64_t ahead;  // items that follow in memory, in later windows
  Run* by_lane;  // runs by lane, and by item
  Run* by_item;
  int64_t runs;  // 0: too many to be worth it
};

// `buffer` has room for 2 * count runs.
inline Window find_runs(const int32_t* items, int64_t count, int64_t ahead, Run* buffer) {
  Window w{items, count, ahead, buffer, buffer + count, 0};
  int64_t runs = 0;
  for (int64_t i = 0; i < count;) {
    int64_t end = i + 1;
    while (end < count && items[end] == items[end - 1] + 1) ++end;
    w.by_lane[runs++] = {int32_t(i), items[i], int32_t(end - i)};
    i = end;
  }
  if (runs * 4 > count + 8) return w;
  for (int64_t r = 0; r < runs; ++r) {  // insertion sort: few runs, mostly in order
    int64_t at = r;
    for (; at > 0 && w.by_item[at - 1].item > w.by_lane[r].item; --at)
      w.by_item[at] = w.by_item[at - 1];
    w.by_item[at] = w.by_lane[r];
  }
  w.runs = runs;
  return w;
}

// Memory is far away and the hardware does not see what comes after a run or a row: ask for it
// some steps ahead. Only the address matters; nothing is read.
constexpr int64_t ROWS_AHEAD = 4;
SCAM_INLINE void prefetch(const void* p) { __builtin_prefetch(p, 0, 2); }

// tile[d][lane] for channels that are contiguous: square transposes.
template <class T, class A>
void pack_channels(const Items<T>& from, const Window& w, int64_t depth, A* tile, int64_t stride) {
  constexpr int lanes = VecOf<A>::lanes;
  for (int64_t i = 0; i < w.count; i += lanes) {
    const T* rows[lanes];
    for (int k = 0; k < lanes; ++k)
      rows[k] = from.data + w.items[i + k < w.count ? i + k : w.count - 1] * from.item;
    const bool more = i + 2 * lanes <= w.count + w.ahead;
    int64_t d = 0;
    for (; d + lanes <= depth; d += lanes) {
      if (more)
        for (int k = 0; k < lanes; ++k)
          prefetch(from.data + w.items[i + lanes + k] * from.item + d);
      Vec<A> block[lanes];
      for (int k = 0; k < lanes; ++k) block[k] = load(rows[k] + d);
      transpose<A>(block);
      for (int k = 0; k < lanes; ++k) store(tile + (d + k) * stride + i, block[k]);
    }
    for (; d < depth; ++d)
      for (int k = 0; k < lanes; ++k) tile[d * stride + i + k] = widen(rows[k][d]);
  }
}

template <class T, class A>
void unpack_channels(const Items<T>& to, const Window& w, int64_t depth, const A* tile,
                     int64_t stride) {
  constexpr int lanes = VecOf<A>::lanes;
  for (int64_t i = 0; i < w.count; i += lanes) {
    const int valid = w.count - i < lanes ? int(w.count - i) : lanes;
    const bool more = i + 2 * lanes <= w.count + w.ahead;
    int64_t d = 0;
    for (; d + lanes <= depth; d += lanes) {
      if (more)
        for (int k = 0; k < lanes; ++k) prefetch(to.data + w.items[i + lanes + k] * to.item + d);
      Vec<A> block[lanes];
      for (int k = 0; k < lanes; ++k) block[k] = load(tile + (d + k) * stride + i);
      transpose<A>(block);
      if (valid == lanes) {
        for (int k = 0; k < lanes; ++k) store(to.data + w.items[i + k] * to.item + d, block[k]);
      } else {
        for (int k = 0; k < valid; ++k) store(to.data + w.items[i + k] * to.item + d, block[k]);
      }
    }
    for (; d < depth; ++d)
      for (int k = 0; k < valid; ++k)
        shorten(tile[d * stride + i + k], to.data + w.items[i + k] * to.item + d);
  }
}

// Items that are contiguous: copy the runs. Whole vectors may spill over the end of a run, over
// lanes that the next run then writes; never past the items that exist.
template <class T, class A>
void pack_runs(const Items<T>& from, const Window& w, int64_t depth, A* tile, int64_t stride) {
  constexpr int lanes = VecOf<A>::lanes;
  for (int64_t d = 0; d < depth; ++d) {
    const T* source = from.data + d * from.channel;
    A* row = tile + d * stride;
    const int64_t ahead = d + ROWS_AHEAD < depth ? ROWS_AHEAD * from.channel : 0;
    for (int64_t r = 0; r < w.runs; ++r) {
      const Run run = w.by_lane[r];
      const T* s = source + run.item;
      A* t = row + run.lane;
      int64_t i = 0;
      for (; i < run.length && run.item + i + lanes <= from.count; i += lanes) {
        prefetch(s + i + ahead);
        store(t + i, load(s + i));
      }
      for (; i < run.length; ++i) t[i] = widen(s[i]);
    }
  }
}

template <class T, class A>
void unpack_runs(const Items<T>& to, const Window& w, int64_t depth, const A* tile,
                 int64_t stride) {
  constexpr int lanes = VecOf<A>::lanes;
  for (int64_t d = 0; d < depth; ++d) {
    T* target = to.data + d * to.channel;
    const A* row = tile + d * stride;
    const int64_t ahead = d + ROWS_AHEAD < depth ? ROWS_AHEAD * to.channel : 0;
    for (int64_t r = 0; r < w.runs; ++r) {
      const Run run = w.by_item[r];
      T* t = target + run.item;
      const A* s = row + run.lane;
      // a spill may only hit items of this window that come later, in a run that follows on
      const bool follows = r + 1 < w.runs && w.by_item[r + 1].item == run.item + run.length &&
                           w.by_item[r + 1].length >= lanes;
      const int64_t limit = follows ? run.length : run.length - lanes + 1;
      int64_t i = 0;
      for (; i < limit; i += lanes) {
        prefetch(t + i + ahead);
        store(t + i, load(s + i));
      }
      for (; i < run.length; ++i) shorten(s[i], t + i);
    }
  }
}

template <class T, class A>
void pack(const Items<T>& from, const Window& w, int64_t depth, A* tile, int64_t stride) {
  if (from.channel == 1) return pack_channels(from, w, depth, tile, stride);
  if (from.item == 1 && w.runs > 0) return pack_runs(from, w, depth, tile, stride);
  for (int64_t d = 0; d < depth; ++d) {
    const T* source = from.data + d * from.channel;
    for (int64_t i = 0; i < w.count; ++i)
      tile[d * stride + i] = widen(source[w.items[i] * from.item]);
  }
}

template <class T, class A>
void unpack(const Items<T>& to, const Window& w, int64_t depth, const A* tile, int64_t stride) {
  if (to.channel == 1) return unpack_channels(to, w, depth, tile, stride);
  if (to.item == 1 && w.runs > 0) return unpack_runs(to, w, depth, tile, stride);
  for (int64_t d = 0; d < depth; ++d) {
    T* target = to.data + d * to.channel;
    for (int64_t i = 0; i < w.count; ++i)
      shorten(tile[d * stride + i], target + w.items[i] * to.item);
  }
}
