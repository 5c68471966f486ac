// SPDX-License-Identifier: Apache-2.0
// Everything of CUDA that the kernels use. tests/kernels/emulator has the same names for a CPU.
// Fragments are laid out as in the PTX ISA, "Matrix fragments for mma.m16n8k16":
// lane = 4 * group + quad; a fragment of C holds rows group, group + 8 and columns 2 * quad, + 1.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stdint.h>

#define SCA_KERNEL(threads, blocks) __global__ void __launch_bounds__(threads, blocks)
#define SCA_DEVICE __device__ __forceinline__
#define SCA_ANYWHERE __host__ __device__ __forceinline__
#define SCA_PARAMS(type) const __grid_constant__ type

namespace sca {

using Bf16 = __nv_bfloat16;
using Fp16 = __half;

SCA_DEVICE int thread() { return threadIdx.x; }
SCA_DEVICE int threads() { return blockDim.x; }
SCA_DEVICE int block_x() { return blockIdx.x; }
SCA_DEVICE int block_y() { return blockIdx.y; }
SCA_DEVICE int block_z() { return blockIdx.z; }
SCA_DEVICE char* shared_memory() {
  extern __shared__ __align__(16) char memory[];
  return memory;
}
SCA_DEVICE void sync_block() { __syncthreads(); }
SCA_DEVICE void sync_warp() { __syncwarp(); }
SCA_DEVICE uint32_t ballot(bool yes) { return __ballot_sync(0xffffffffu, yes); }
SCA_DEVICE int count_bits(uint32_t bits) { return __popc(bits); }
SCA_DEVICE int lowest_bit(uint32_t bits) { return __ffs(bits) - 1; }

template <class V>
SCA_DEVICE V shuffle(V value, int lane) {
  return __shfl_sync(0xffffffffu, value, lane);
}

template <class V>
SCA_DEVICE V shuffle_xor(V value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}

SCA_DEVICE float exp2(float x) {  // ex2.approx: 2 ulp, exact at 0, 0 at -inf
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
SCA_DEVICE float log2(float x) {  // of sums from 1 on
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
SCA_DEVICE float product(float a, float b) { return __fmul_rn(a, b); }  // fused with no sum
SCA_DEVICE float fused(float a, float b, float c) { return __fmaf_rn(a, b, c); }
SCA_DEVICE float root_inverse(float x) { return 1.0f / sqrtf(x); }
SCA_DEVICE float reciprocal(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
SCA_DEVICE float infinity() { return __int_as_float(0x7f800000); }

SCA_DEVICE float bits_to_float(uint32_t bits) { return __uint_as_float(bits); }

SCA_DEVICE float to_float(Bf16 x) { return __bfloat162float(x); }
SCA_DEVICE float to_float(Fp16 x) { return __half2float(x); }

template <class T>
SCA_DEVICE T from_float(float x);
template <>
SCA_DEVICE Bf16 from_float<Bf16>(float x) {
  return __float2bfloat16_rn(x);
}
template <>
SCA_DEVICE Fp16 from_float<Fp16>(float x) {
  return __float2half_rn(x);
}

struct Pair {
  float low, high;
};

template <class T>
SCA_DEVICE uint32_t pack2(float low, float high);
template <>
SCA_DEVICE uint32_t pack2<Bf16>(float low, float high) {
  uint32_t word;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  return word;
}
template <>
SCA_DEVICE uint32_t pack2<Fp16>(float low, float high) {
  uint32_t word;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
  return word;
}

template <class T>
SCA_DEVICE Pair unpack2(uint32_t word);
template <>
SCA_DEVICE Pair unpack2<Bf16>(uint32_t word) {
  return {__uint_as_float(word << 16), __uint_as_float(word & 0xffff0000u)};
}
template <>
SCA_DEVICE Pair unpack2<Fp16>(uint32_t word) {
  const float2 both = __half22float2(*reinterpret_cast<const __half2*>(&word));
  return {both.x, both.y};
}

// The sums of two pairs, rounded.
template <class T>
SCA_DEVICE uint32_t add2(uint32_t a, uint32_t b);
template <>
SCA_DEVICE uint32_t add2<Bf16>(uint32_t a, uint32_t b) {
  const __nv_bfloat162 sum = __hadd2(*reinterpret_cast<const __nv_bfloat162*>(&a),
                                     *reinterpret_cast<const __nv_bfloat162*>(&b));
  return *reinterpret_cast<const uint32_t*>(&sum);
}
template <>
SCA_DEVICE uint32_t add2<Fp16>(uint32_t a, uint32_t b) {
  const __half2 sum =
      __hadd2(*reinterpret_cast<const __half2*>(&a), *reinterpret_cast<const __half2*>(&b));
  return *reinterpret_cast<const uint32_t*>(&sum);
}

// Addresses of 32 bits.
using SharedAddress = uint32_t;
SCA_DEVICE SharedAddress shared_address(const void* at) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(at));
}
SCA_DEVICE void store_shared(SharedAddress at, uint32_t word) {
  asm volatile("st.shared.b32 [%0], %1;" ::"r"(at), "r"(word) : "memory");
}

// Four 8x8 matrices of 16-bit numbers; lane i gives the address of row i % 8 of matrix i / 8.
template <bool transposed>
SCA_DEVICE void load_matrices(uint32_t (&r)[4], SharedAddress address) {
  if constexpr (transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
  }
}

// The 8x8 matrix spread over a warp, transposed.
SCA_DEVICE uint32_t transpose(uint32_t word) {
  uint32_t result;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(result) : "r"(word));
  return result;
}

// c (16 x 8) += a (16 x 16) b (16 x 8)
template <class T>
SCA_DEVICE void mma16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);
template <>
SCA_DEVICE void mma16<Bf16>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <>
SCA_DEVICE void mma16<Fp16>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// 16 bytes from global to shared memory, zeros where not `valid`; there after wait_copies.
SCA_DEVICE void copy_async(void* shared, const void* global, bool valid) {
  const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(global),
               "r"(valid ? 16 : 0)
               : "memory");
}
SCA_DEVICE void copy_async(void* shared, const void* global) {
  const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(global) : "memory");
}
SCA_DEVICE void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int pending>
SCA_DEVICE void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

// The same address, of which a compiler knows nothing else: offsets are added in one instruction.
template <class V>
SCA_DEVICE V* opaque(V* address) {
  asm("" : "+l"(address));
  return address;
}

// Memory that no thread of this launch writes.
template <class V>
SCA_DEVICE V load(const V* address) {
  return __ldg(address);
}

// Two adjacent ones.
SCA_DEVICE Pair load_pair(const float* address) {
  const float2 both = __ldg(reinterpret_cast<const float2*>(address));
  return {both.x, both.y};
}

SCA_DEVICE void store_pair(float* address, const Pair& pair) {
  *reinterpret_cast<float2*>(address) = {pair.low, pair.high};
}

inline const char* error_text(int status) {
  return cudaGetErrorString(static_cast<cudaError_t>(status));
}

template <class Params>
int launch(void (*kernel)(Params), dim3 grid, int threads, size_t shared_bytes, void* stream,
           const Params& params) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return 0;
  if (shared_bytes > 48 * 1024) {
    const cudaError_t status = cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
    if (status != cudaSuccess) {
      cudaGetLastError();  // forgotten, or the next launch would report it
      return status;
    }
  }
  kernel<<<grid, threads, shared_bytes, static_cast<cudaStream_t>(stream)>>>(params);
  return cudaGetLastError();
}

}  // namespace sca
