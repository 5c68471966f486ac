// SPDX-License-Identifier: Apache-2.0
// The names of kernels/sca_cuda/device.cuh on a CPU, so that the same kernels can be judged without
// a GPU.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "../fibres.h"

#define SCA_KERNEL(threads, blocks) void
#define SCA_DEVICE inline
#define SCA_ANYWHERE inline
#define SCA_PARAMS(type) type

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

struct uint2 {
  uint32_t x, y;
};

struct uint4 {
  uint32_t x, y, z, w;
};

namespace sca {

struct Bf16 {
  uint16_t bits;
};
struct Fp16 {
  uint16_t bits;
};

template <class To, class From>
To bit_cast(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}

inline int thread() { return emulator::block->current; }
inline int threads() { return emulator::block->threads; }
inline int block_x() { return emulator::block->index[0]; }
inline int block_y() { return emulator::block->index[1]; }
inline int block_z() { return emulator::block->index[2]; }
inline char* shared_memory() { return emulator::block->shared; }
inline void sync_block() { emulator::sync_block(); }
inline int count_bits(uint32_t bits) { return __builtin_popcount(bits); }
inline int lowest_bit(uint32_t bits) { return __builtin_ffs(bits) - 1; }

// Defined once, in collectives.cpp.
void sync_warp();
uint32_t ballot(bool yes);
uint32_t shuffle_word(uint32_t word, int from);
void load_matrices(uint32_t (&r)[4], const void* row, bool transposed);
uint32_t transpose(uint32_t word);
void mma16_as(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, bool fp16);
void copy_async(void* shared, const void* global, bool valid);
inline void copy_async(void* shared, const void* global) { copy_async(shared, global, true); }
void commit_copies();
void wait_copies_but(size_t pending);

template <class V>
V* opaque(V* address) {
  return address;
}

template <class V>
V shuffle(V value, int from) {
  static_assert(sizeof(V) == 4);
  return bit_cast<V>(shuffle_word(bit_cast<uint32_t>(value), from));
}

template <class V>
V shuffle_xor(V value, int mask) {
  return shuffle(value, emulator::lane() ^ mask);
}

inline float exp2(float x) { return std::exp2(x); }
inline float log2(float x) { return std::log2(x); }
inline float product(float a, float b) { return a * b; }
inline float fused(float a, float b, float c) { return std::fma(a, b, c); }
inline float root_inverse(float x) { return 1.0f / std::sqrt(x); }
inline float reciprocal(float x) { return 1.0f / x; }
inline float infinity() { return std::numeric_limits<float>::infinity(); }

inline float bits_to_float(uint32_t bits) { return bit_cast<float>(bits); }

inline float to_float(Bf16 x) { return bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); }
inline float to_float(Fp16 x) { return static_cast<float>(bit_cast<_Float16>(x)); }

template <class T>
T from_float(float x);
template <>
inline Bf16 from_float<Bf16>(float x) {
  if (std::isnan(x)) return {0x7fff};
  const uint32_t bits = bit_cast<uint32_t>(x);
  return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
template <>
inline Fp16 from_float<Fp16>(float x) {
  return bit_cast<Fp16>(static_cast<_Float16>(x));
}

struct Pair {
  float low, high;
};

template <class T>
uint32_t pack2(float low, float high) {
  return from_float<T>(low).bits | static_cast<uint32_t>(from_float<T>(high).bits) << 16;
}

template <class T>
Pair unpack2(uint32_t word) {
  return {to_float(T{static_cast<uint16_t>(word)}), to_float(T{static_cast<uint16_t>(word >> 16)})};
}

template <class T>
uint32_t add2(uint32_t a, uint32_t b) {
  const Pair first = unpack2<T>(a), second = unpack2<T>(b);
  return pack2<T>(first.low + second.low, first.high + second.high);
}

using SharedAddress = char*;
inline SharedAddress shared_address(const void* at) {
  return static_cast<char*>(const_cast<void*>(at));
}
inline void store_shared(SharedAddress at, uint32_t word) {
  emulator::check_shared(at, 4, 4);
  std::memcpy(at, &word, 4);
}

template <bool transposed>
void load_matrices(uint32_t (&r)[4], SharedAddress row) {
  load_matrices(r, row, transposed);
}

template <class T>
void mma16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  mma16_as(c, a, b0, b1, std::is_same_v<T, Fp16>);
}

template <int pending>
void wait_copies() {
  wait_copies_but(pending);
}

template <class V>
V load(const V* address) {
  if (reinterpret_cast<uintptr_t>(address) % sizeof(V)) emulator::fail("load: misaligned");
  return *address;
}

inline Pair load_pair(const float* address) {
  if (reinterpret_cast<uintptr_t>(address) % 8) emulator::fail("load: misaligned");
  return {address[0], address[1]};
}

inline void store_pair(float* address, const Pair& pair) {
  if (reinterpret_cast<uintptr_t>(address) % 8) emulator::fail("store: misaligned");
  address[0] = pair.low;
  address[1] = pair.high;
}

inline std::string& emulator_error() {
  static std::string error;
  return error;
}

inline const char* error_text(int) { return emulator_error().c_str(); }

template <class Params>
int launch(void (*kernel)(Params), dim3 grid, int threads, size_t shared_bytes, void*,
           const Params& params) {
  try {
    emulator::run(kernel, {grid.x, grid.y, grid.z}, threads, shared_bytes, params);
  } catch (const std::exception& error) {
    emulator_error() = error.what();
    return 1;
  }
  return 0;
}

}  // namespace sca
