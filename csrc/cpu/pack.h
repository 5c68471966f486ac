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

#ifndef PFD
#define PFD 16
#endif
constexpr int64_t STRETCH = 256;  // channels of one block of lanes that go through the first cache

// tile[d][lane] for channels that are contiguous: rows through a small buffer, so that memory is
// read in one stream, then square transposes.
template <class T, class A>
void pack_channels(const Items<T>& from, const Window& w, int64_t depth, A* tile, int64_t stride) {
  constexpr int lanes = VecOf<A>::lanes;
  alignas(64) A rows[lanes][STRETCH + lanes];
  for (int64_t i = 0; i < w.count; i += lanes) {
    for (int64_t d0 = 0; d0 < depth; d0 += STRETCH) {
      const int64_t length = depth - d0 < STRETCH ? depth - d0 : STRETCH;
      for (int k = 0; k < lanes; ++k) {
        const int64_t item = w.items[i + k < w.count ? i + k : w.count - 1];
        const T* row = from.data + item * from.item + d0;
        const T* next = from.data + w.items[i + k + PFD < w.count + w.ahead ? i + k + PFD : i] * from.item + d0;
        int64_t d = 0;
        for (; d + lanes <= length; d += lanes) { prefetch(next + d); store(rows[k] + d, load(row + d)); }
        for (; d < length; ++d) rows[k][d] = widen(row[d]);
      }
      for (int64_t d = 0; d < length; d += lanes) {
        Vec<A> block[lanes];
        for (int k = 0; k < lanes; ++k) block[k] = load(rows[k] + d);
        transpose<A>(block);
        A* to = tile + (d0 + d) * stride + i;
        if (d + lanes <= length) {
          for (int k = 0; k < lanes; ++k) store(to + k * stride, block[k]);
        } else {
          for (int k = 0; k < lanes; ++k)
            if (d + k < length) store(to + k * stride, block[k]);
        }
      }
    }
  }
}

template <class T, class A>
void unpack_channels(const Items<T>& to, const Window& w, int64_t depth, const A* tile,
                     int64_t stride) {
  constexpr int lanes = VecOf<A>::lanes;
  alignas(64) A rows[lanes][STRETCH + lanes];
  for (int64_t i = 0; i < w.count; i += lanes) {
    for (int64_t d0 = 0; d0 < depth; d0 += STRETCH) {
      const int64_t length = depth - d0 < STRETCH ? depth - d0 : STRETCH;
      for (int64_t d = 0; d < length; d += lanes) {
        const A* from = tile + (d0 + d) * stride + i;
        Vec<A> block[lanes];
        for (int k = 0; k < lanes; ++k) block[k] = load(from + (d + k < length ? k : 0) * stride);
        transpose<A>(block);
        for (int k = 0; k < lanes; ++k) store(rows[k] + d, block[k]);
      }
      for (int k = 0; k < lanes && i + k < w.count; ++k) {
        T* row = to.data + w.items[i + k] * to.item + d0;
        int64_t d = 0;
        T* next = to.data + w.items[i + k + PFD < w.count + w.ahead ? i + k + PFD : i] * to.item + d0;
        for (; d + lanes <= length; d += lanes) { prefetch(next + d); store(row + d, load(rows[k] + d));}
        for (; d < length; ++d) shorten(rows[k][d], row + d);
      }
    }
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
