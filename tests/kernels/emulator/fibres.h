// SPDX-License-Identifier: Apache-2.0
// A CUDA block on one CPU thread: each CUDA thread is a fibre, blocks run one after another.
// Warp collectives and barriers switch fibres. x86-64 only.
#pragma once

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#ifndef __x86_64__
#error "the emulator switches stacks in x86-64 assembly"
#endif

extern "C" void sca_emulator_switch(void** save, void* restore);

#ifdef SCA_EMULATOR_MAIN
// Keeps what the System V calling convention asks a function to keep; the rest is the caller's.
asm(R"(
.text
.globl sca_emulator_switch
.hidden sca_emulator_switch
.type sca_emulator_switch, @function
sca_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size sca_emulator_switch, .-sca_emulator_switch
)");
#endif

namespace emulator {

constexpr int WARP = 32;
constexpr size_t STACK = 128 * 1024;
constexpr int GUARD = 256;  // bytes around shared memory that nobody may write

// What one lane hands to a collective and gets back.
struct Slot {
  uint32_t in[12];
  uint32_t out[4];
};

struct Warp {
  Slot slots[2][WARP];  // by parity: a lane is at most one collective ahead of another
  const void* kind = nullptr;
  int arrived = 0;
  uint64_t done = 0;
};

struct Copy {
  char* to;
  const void* from;
};

struct Fibre {
  void* stack_pointer = nullptr;
  const uint64_t* awaited = nullptr;
  uint64_t value = 0;
  bool finished = false;
  std::vector<std::vector<Copy>> groups;  // committed copies, not yet there
  std::vector<Copy> open;
};

struct Block {
  int index[3];
  int threads;
  char* shared;
  size_t shared_bytes;
  std::vector<Fibre> fibres;
  std::vector<Warp> warps;
  int arrived = 0, alive = 0;
  uint64_t barriers = 0;
  int current = 0;
  void* scheduler = nullptr;
  void (*body)(void*) = nullptr;
  void* argument = nullptr;
  std::string error;
};

inline Block* block = nullptr;
inline int order_of_fibres = 0;  // 0 ascending, 1 descending, else a seed: shuffled every round
inline bool early_copies = false;  // else as late as they may be
inline size_t shared_limit = 163 * 1024;  // bytes of a block, what sm_80 has

struct Launch {
  int64_t blocks, threads, shared_bytes;
};
inline bool recording = false;  // launches are noted and not run
inline std::vector<Launch> launches;

inline void yield() {
  sca_emulator_switch(&block->fibres[block->current].stack_pointer, block->scheduler);
}

[[noreturn]] inline void fail(const std::string& message) {
  if (block->error.empty()) block->error = message;
  for (;;) yield();
}

inline void wait_for(const uint64_t& counter, uint64_t value) {
  Fibre& me = block->fibres[block->current];
  me.awaited = &counter;
  me.value = value;
  while (counter < value) yield();
}

inline int lane() { return block->current % WARP; }

// All lanes hand in words; the last to arrive computes for all.
template <class Deposit, class Compute>
Slot& collective(const void* kind, Deposit deposit, Compute compute) {
  Warp& warp = block->warps[block->current / WARP];
  Slot(&slots)[WARP] = warp.slots[warp.done % 2];
  if (warp.arrived == 0) warp.kind = kind;
  if (warp.kind != kind) fail("lanes of a warp are at different collectives");
  Slot& mine = slots[lane()];
  deposit(mine);
  const uint64_t target = warp.done + 1;
  if (++warp.arrived == WARP) {
    compute(slots);
    warp.arrived = 0;
    warp.done = target;
  } else {
    wait_for(warp.done, target);
  }
  return mine;
}

inline void sync_block() {
  Block& b = *block;
  if (b.alive != b.threads) fail("a thread has left before a barrier of the block");
  const uint64_t target = b.barriers + 1;
  if (++b.arrived == b.threads) {
    b.arrived = 0;
    b.barriers = target;
  } else {
    wait_for(b.barriers, target);
  }
}

inline void check_shared(const void* address, size_t bytes, size_t alignment) {
  const char* at = static_cast<const char*>(address);
  if (at < block->shared || at + bytes > block->shared + block->shared_bytes)
    fail("shared memory: out of bounds");
  if (reinterpret_cast<uintptr_t>(address) % alignment) fail("shared memory: misaligned");
}

inline void entry() {
  Block& b = *block;
  b.body(b.argument);
  Fibre& me = b.fibres[b.current];
  if (!me.groups.empty() || !me.open.empty()) fail("a thread leaves with copies under way");
  me.finished = true;
  --b.alive;
  for (;;) yield();
}

inline void run_block(Block& b, char* stacks, std::mt19937& random) {
  std::vector<int> order(b.threads);
#ifdef __SANITIZE_ADDRESS__
  __asan_unpoison_memory_region(stacks, b.threads * STACK);  // threads before never returned
#endif
  for (int i = 0; i < b.threads; ++i) {
    order[i] = order_of_fibres == 1 ? b.threads - 1 - i : i;
    char* top = stacks + (i + 1) * STACK;
    void** frame = reinterpret_cast<void**>(top) - 8;  // six registers, return address, alignment
    std::fill(frame, frame + 8, nullptr);
    frame[6] = reinterpret_cast<void*>(&entry);
    b.fibres[i].stack_pointer = frame;
  }
  block = &b;
  while (b.alive > 0 && b.error.empty()) {
    if (order_of_fibres > 1) std::shuffle(order.begin(), order.end(), random);
    bool moved = false;
    for (int i : order) {
      Fibre& fibre = b.fibres[i];
      if (fibre.finished || (fibre.awaited && *fibre.awaited < fibre.value)) continue;
      moved = true;
      fibre.awaited = nullptr;
      b.current = i;
      sca_emulator_switch(&b.scheduler, fibre.stack_pointer);
      if (!b.error.empty()) break;
    }
    if (!moved) b.error = "deadlock: a barrier or collective that not all threads reach";
  }
  block = nullptr;
  if (!b.error.empty()) throw std::runtime_error(b.error);
}

template <class Params>
void run(void (*kernel)(Params), const unsigned (&grid)[3], int threads, size_t shared_bytes,
         const Params& params) {
  if (threads % WARP || threads < 1 || threads > 1024) throw std::runtime_error("bad block size");
  if (shared_bytes > shared_limit) throw std::runtime_error("too much shared memory");
  if (grid[1] > 65535 || grid[2] > 65535) throw std::runtime_error("grid too large");
  if (recording) {
    const int64_t blocks = static_cast<int64_t>(grid[0]) * grid[1] * grid[2];
    launches.push_back({blocks, threads, static_cast<int64_t>(shared_bytes)});
    return;
  }
  std::unique_ptr<char[]> stacks(new char[threads * STACK]);
  std::vector<char> shared(shared_bytes + 2 * GUARD + 16);
  char* inside = shared.data() + GUARD;
  inside += (16 - reinterpret_cast<uintptr_t>(inside) % 16) % 16;
  std::mt19937 random(order_of_fibres);
  struct Call {
    void (*kernel)(Params);
    const Params* params;
  } call{kernel, &params};
  std::vector<unsigned> order(grid[0] * grid[1] * grid[2]);
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  if (order_of_fibres == 1) std::reverse(order.begin(), order.end());
  if (order_of_fibres > 1) std::shuffle(order.begin(), order.end(), random);
  for (unsigned i : order) {
    std::memset(shared.data(), 0xff, shared.size());  // NaN in every dtype
    Block b;
    b.index[0] = i % grid[0];
    b.index[1] = i / grid[0] % grid[1];
    b.index[2] = i / grid[0] / grid[1];
    b.threads = b.alive = threads;
    b.shared = inside;
    b.shared_bytes = shared_bytes;
    b.fibres.resize(threads);
    b.warps.resize(threads / WARP);
    b.body = [](void* argument) {
      Call& made = *static_cast<Call*>(argument);
      made.kernel(*made.params);
    };
    b.argument = &call;
    run_block(b, stacks.get(), random);
    const char *start = shared.data(), *end = start + shared.size(), *used = inside;
    const auto touched = [](char c) { return c != char(0xff); };
    if (std::any_of(start, used, touched) || std::any_of(used + shared_bytes, end, touched))
      throw std::runtime_error("shared memory: written out of bounds");
  }
}

}  // namespace emulator
