// SPDX-License-Identifier: Apache-2.0
// Vectors of the instruction set at hand, over GCC/Clang vector extensions.
// Included once per instruction set, inside that set's unnamed namespace (isa.h).
#pragma once

// Vectors passed by value or reference must stay in registers.
#define SCAM_INLINE inline __attribute__((always_inline))
// A loop that fills the registers: inside a larger function it would be left too few of them.
#define SCAM_OUTLINE __attribute__((noinline))

template <class A>
struct VecOf {
  typedef A type __attribute__((vector_size(SCAM_VECTOR_BYTES)));
  static constexpr int lanes = SCAM_VECTOR_BYTES / sizeof(A);
};
template <class A>
using Vec = typename VecOf<A>::type;

template <class A>
struct IntOf;
template <>
struct IntOf<float> {
  typedef int32_t scalar;
};
template <>
struct IntOf<double> {
  typedef int64_t scalar;
};
template <class A>
using IntVec = Vec<typename IntOf<A>::scalar>;

struct BFloat16 {
  uint16_t bits;
};

template <class T>
struct Accumulate {
  typedef T type;
};
template <>
struct Accumulate<BFloat16> {
  typedef float type;
};
template <class T>
using A_of = typename Accumulate<T>::type;

template <class To, class From>
SCAM_INLINE To bit_cast(const From& from) {
  static_assert(sizeof(To) == sizeof(From), "bit_cast keeps the size");
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}

SCAM_INLINE float widen(BFloat16 x) { return bit_cast<float>(uint32_t(x.bits) << 16); }
SCAM_INLINE float widen(float x) { return x; }
SCAM_INLINE double widen(double x) { return x; }

// Round to nearest, ties to even; NaN stays a (quiet) NaN.
SCAM_INLINE void shorten(float x, BFloat16* to) {
  const uint32_t u = bit_cast<uint32_t>(x);
  to->bits = x != x ? uint16_t(0x7fc0) : uint16_t((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}
SCAM_INLINE void shorten(float x, float* to) { *to = x; }
SCAM_INLINE void shorten(double x, double* to) { *to = x; }

template <class V>
SCAM_INLINE V load_bytes(const void* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
SCAM_INLINE Vec<float> load(const float* p) { return load_bytes<Vec<float>>(p); }
SCAM_INLINE Vec<double> load(const double* p) { return load_bytes<Vec<double>>(p); }
SCAM_INLINE void store(float* p, const Vec<float>& v) { __builtin_memcpy(p, &v, sizeof v); }
SCAM_INLINE void store(double* p, const Vec<double>& v) { __builtin_memcpy(p, &v, sizeof v); }

// Past the caches; p is a multiple of the vector's size.
template <class V>
SCAM_INLINE void stream(void* p, const V& v) {
#if SCAM_VECTOR_BYTES == 64
  asm volatile("vmovntps %1, %0" : "=m"(*static_cast<V*>(p)) : "v"(v));
#elif SCAM_VECTOR_BYTES == 32
  asm volatile("vmovntps %1, %0" : "=m"(*static_cast<V*>(p)) : "x"(v));
#else
  asm volatile("movntps %1, %0" : "=m"(*static_cast<V*>(p)) : "x"(v));
#endif
}

template <bool STREAM, class T, class V>
SCAM_INLINE void put(T* p, const V& v) {
  if constexpr (STREAM) stream(p, v);
  else store(p, v);
}

// To be called before other threads may read what was streamed.
SCAM_INLINE void streamed() { __builtin_ia32_sfence(); }

typedef uint16_t HalfWords __attribute__((vector_size(SCAM_VECTOR_BYTES / 2)));
SCAM_INLINE Vec<float> load(const BFloat16* p) {
  const HalfWords half = load_bytes<HalfWords>(p);
  return bit_cast<Vec<float>>(__builtin_convertvector(half, Vec<uint32_t>) << 16);
}
SCAM_INLINE void store(BFloat16* p, const Vec<float>& v) {
  const Vec<uint32_t> u = bit_cast<Vec<uint32_t>>(v);
  Vec<uint32_t> rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  rounded = (u & 0x7fffffffu) > 0x7f800000u ? Vec<uint32_t>{} + 0x7fc0u : rounded;
  const HalfWords half = __builtin_convertvector(rounded, HalfWords);
  __builtin_memcpy(p, &half, sizeof half);
}

template <class A>
SCAM_INLINE Vec<A> fill(A x) {
  return Vec<A>{} + x;  // -0 becomes +0, which no caller minds
}

// Keeps the compiler from reading a value from memory at each use: loads would be the limit.
template <class V>
SCAM_INLINE void in_register(V& v) {
#if SCAM_VECTOR_BYTES == 64
  asm("" : "+v"(v));
#else
  asm("" : "+x"(v));
#endif
}

// Keeps the compiler from reading the operands of the next step early, for which it would put sums
// out of their registers.
SCAM_INLINE void no_loads_across() { asm volatile("" ::: "memory"); }

template <class A>
SCAM_INLINE IntVec<A> lane_numbers() {
  IntVec<A> n;
  for (int i = 0; i < VecOf<A>::lanes; ++i) n[i] = i;
  return n;
}

// All ones in the first `count` lanes.
template <class A>
SCAM_INLINE IntVec<A> first_lanes(int64_t count) {
  typedef typename IntOf<A>::scalar I;
  return lane_numbers<A>() < (IntVec<A>{} + I(count));
}

template <class A>
SCAM_INLINE Vec<A> max(const Vec<A>& a, const Vec<A>& b) {
  return a > b ? a : b;
}

// a + b and what rounding left out of it (Knuth's TwoSum).
template <class A>
SCAM_INLINE A two_sum(A a, A b, A* rest) {
  const A sum = a + b, of_b = sum - a;
  *rest = (a - (sum - of_b)) + (b - of_b);
  return sum;
}

template <class A>
struct ExpConstants;
template <>
struct ExpConstants<float> {
  static constexpr float lowest = -87.0f;           // below, results would be denormal
  static constexpr float round = 12582912.0f;       // 1.5 * 2^23: adding it rounds to integer
  static constexpr float ln2_high = 0.693359375f;   // 9 bits: its integer multiples are exact
  static constexpr float ln2_low = -2.12194440e-4f;
  static constexpr int bias = 127, mantissa = 23, degree = 7, log_terms = 5;
};
template <>
struct ExpConstants<double> {
  static constexpr double lowest = -708.0;
  static constexpr double round = 6755399441055744.0;
  static constexpr double ln2_high = 0.693145751953125;  // 14 bits
  static constexpr double ln2_low = 1.42860682030941723212e-6;
  static constexpr int bias = 1023, mantissa = 52, degree = 13, log_terms = 11;
};

// exp(x) for x <= 0 (a little above is fine): Taylor on |r| <= ln2 / 2 after x = n ln2 + r.
// 0 below `lowest`; NaN stays NaN.
template <class A>
SCAM_INLINE Vec<A> exp(const Vec<A>& x) {
  typedef ExpConstants<A> C;
  const Vec<A> shifted = x * A(1.4426950408889634074) + C::round;
  const Vec<A> n = shifted - C::round;
  Vec<A> r = x - n * C::ln2_high;
  r = r - n * C::ln2_low;
  A coefficient[C::degree + 1] = {1};
  for (int k = 1; k <= C::degree; ++k) coefficient[k] = coefficient[k - 1] / A(k);
  Vec<A> sum = fill(coefficient[C::degree]);
  for (int k = C::degree - 1; k >= 0; --k) sum = sum * r + coefficient[k];
  // the low bits of `shifted` hold n in two's complement
  const IntVec<A> power = (bit_cast<IntVec<A>>(shifted) + C::bias) << C::mantissa;
  const Vec<A> result = sum * bit_cast<Vec<A>>(power);
  return x < C::lowest ? Vec<A>{} : result;
}

// log(x) for normal x; NaN stays NaN: x = m 2^n with m in [sqrt(1/2), sqrt(2)), and
// log m = 2 artanh r with r = (m - 1) / (m + 1), |r| < 0.172, by its series.
template <class A>
SCAM_INLINE Vec<A> log(const Vec<A>& x) {
  typedef ExpConstants<A> C;
  typedef typename IntOf<A>::scalar Int;
  const IntVec<A> bits = bit_cast<IntVec<A>>(x);
  // what has to be subtracted from the exponent, rounded so that m is near 1
  const IntVec<A> n = (bits - bit_cast<Int>(A(0.70710678118654752440))) >> C::mantissa;
  const Vec<A> m = bit_cast<Vec<A>>(bits - (n << C::mantissa));
  const Vec<A> r = (m - A(1)) / (m + A(1)), square = r * r;
  Vec<A> sum = fill(A(1) / A(2 * C::log_terms - 1));
  for (int k = C::log_terms - 2; k >= 0; --k) sum = sum * square + A(1) / A(2 * k + 1);
  const Vec<A> e = __builtin_convertvector(n, Vec<A>);
  const Vec<A> result = e * C::ln2_high + (A(2) * r * sum + e * C::ln2_low);
  return x == x ? result : x;
}

template <int... I>
struct Sequence {};
template <int N, int... I>
struct Count : Count<N - 1, N - 1, I...> {};
template <int... I>
struct Count<0, I...> {
  typedef Sequence<I...> type;
};

// a0 b0 a1 b1 ... from the lower (HIGH = 0) or upper (1) halves of a and b.
template <int HIGH, class V, int... I>
SCAM_INLINE V interleave(const V& a, const V& b, Sequence<I...>) {
  constexpr int lanes = sizeof...(I);
  return __builtin_shufflevector(a, b, (HIGH * lanes / 2 + I / 2 + (I % 2) * lanes)...);
}

// One step of a square transpose: blocks of BY lanes off the diagonal of a and b change places.
template <int BY, bool SECOND, class V, int... I>
SCAM_INLINE V exchange(const V& a, const V& b, Sequence<I...>) {
  constexpr int lanes = sizeof...(I);
  return __builtin_shufflevector(
      a, b, (SECOND ? (I & BY ? lanes + I : I ^ BY) : (I & BY ? lanes + (I ^ BY) : I))...);
}

template <int BY, class V>
SCAM_INLINE void exchange_both(V* a, V* b) {
  typename Count<sizeof(V) / sizeof((*a)[0])>::type all;
  const V first = exchange<BY, false>(*a, *b, all);
  *b = exchange<BY, true>(*a, *b, all);
  *a = first;
}

// a0 b0 a1 b1 of the lower (HIGH = 0) or upper (1) half of every four lanes.
template <int HIGH, int... I>
SCAM_INLINE Vec<float> interleave_fours(const Vec<float>& a, const Vec<float>& b, Sequence<I...>) {
  constexpr int lanes = sizeof...(I);
  return __builtin_shufflevector(a, b,
                                 (I % 2 * lanes + I / 4 * 4 + HIGH * 2 + I % 4 / 2)...);
}

template <class A, int BY = 16 / sizeof(A)>
SCAM_INLINE void transpose_blocks(Vec<A>* rows) {
  constexpr int lanes = VecOf<A>::lanes;
  for (int i = 0; i < lanes && BY < lanes; ++i)
    if (!(i & BY)) exchange_both<BY>(rows + i, rows + i + BY);
  if constexpr (2 * BY < lanes) transpose_blocks<A, 2 * BY>(rows);
}

// Square transposes. Instructions that do not leave 128 bits come first: they are the cheap ones.
SCAM_INLINE void transpose(Vec<double>* rows) {
  for (int i = 0; i < VecOf<double>::lanes; i += 2) exchange_both<1>(rows + i, rows + i + 1);
  transpose_blocks<double>(rows);
}

SCAM_INLINE void transpose(Vec<float>* rows) {
  typename Count<VecOf<float>::lanes>::type all;
  for (int i = 0; i < VecOf<float>::lanes; i += 4) {
    Vec<double> pairs[4];
    for (int k = 0; k < 4; ++k) {
      const Vec<float>*a = rows + i + k / 2 * 2, *b = a + 1;
      pairs[k] = bit_cast<Vec<double>>(k % 2 ? interleave_fours<1>(*a, *b, all)
                                             : interleave_fours<0>(*a, *b, all));
    }
    exchange_both<1>(pairs, pairs + 2);
    exchange_both<1>(pairs + 1, pairs + 3);
    rows[i] = bit_cast<Vec<float>>(pairs[0]), rows[i + 1] = bit_cast<Vec<float>>(pairs[2]);
    rows[i + 2] = bit_cast<Vec<float>>(pairs[1]), rows[i + 3] = bit_cast<Vec<float>>(pairs[3]);
  }
  transpose_blocks<float>(rows);
}

// Lane l + BY of v in lane l.
template <int BY, class V, int... I>
SCAM_INLINE V rotate(const V& v, Sequence<I...>) {
  return __builtin_shufflevector(v, v, ((I + BY) % int(sizeof...(I)))...);
}

// Lane k of the result, for the first N lanes, is the sum of all lanes of v[k]; every lane is
// added up in the same order, whatever N is.
// Recursion, so that every index is known to the compiler and v lies in registers.
template <class A, int N = VecOf<A>::lanes, int HALF = N / 2, int FOLD = VecOf<A>::lanes / 2>
SCAM_INLINE Vec<A> sum_each(Vec<A>* v) {
  typename Count<VecOf<A>::lanes>::type all;
  if constexpr (HALF > 0) {
    for (int i = 0; i < HALF; ++i)
      v[i] = interleave<0>(v[i], v[i + HALF], all) + interleave<1>(v[i], v[i + HALF], all);
    return sum_each<A, N, HALF / 2, FOLD>(v);
  } else if constexpr (FOLD >= N) {
    v[0] += rotate<FOLD>(v[0], all);
    return sum_each<A, N, HALF, FOLD / 2>(v);
  } else {
    return v[0];
  }
}

template <class A>
SCAM_INLINE A sum_lanes(const Vec<A>& v) {
  A sum = v[0];
  for (int i = 1; i < VecOf<A>::lanes; ++i) sum += v[i];
  return sum;
}

template <class A>
SCAM_INLINE A max_lanes(const Vec<A>& v) {
  A best = v[0];
  for (int i = 1; i < VecOf<A>::lanes; ++i) best = v[i] > best ? v[i] : best;
  return best;
}
