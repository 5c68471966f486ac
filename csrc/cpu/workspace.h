// SPDX-License-Identifier: Apache-2.0
#pragma once

// Memory of one thread, cut off in 64-byte pieces. Never initialised.
class Workspace {
 public:
  explicit Workspace(size_t bytes)
      : begin_(static_cast<char*>(aligned_alloc(64, (bytes + 127) / 64 * 64))), next_(begin_) {}
  ~Workspace() { free(begin_); }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  bool ok() const { return begin_ != nullptr; }
  template <class N>
  N* take(int64_t count) {
    N* p = reinterpret_cast<N*>(next_);
    next_ += bytes_of<N>(count);
    return p;
  }
  template <class N>
  static size_t bytes_of(int64_t count) {
    return (count * sizeof(N) + 63) / 64 * 64;
  }

 private:
  char* begin_;
  char* next_;
};
