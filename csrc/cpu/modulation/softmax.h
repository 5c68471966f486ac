// SPDX-License-Identifier: Apache-2.0
// Softmax of the scores of some pixels, [pixel][head][span], and its derivative. A head takes a
// part of a vector, whose lanes exchange numbers, or some whole vectors.
#pragma once

// Lane l ^ BY of v in lane l.
template <int BY, class V, int... I>
SCAM_INLINE V crossed(const V& v, Sequence<I...>) {
  return __builtin_shufflevector(v, v, (I ^ BY)...);
}

template <class A>
struct Largest {
  SCAM_INLINE Vec<A> operator()(const Vec<A>& a, const Vec<A>& b) const { return max<A>(a, b); }
};
template <class A>
struct Sum {
  SCAM_INLINE Vec<A> operator()(const Vec<A>& a, const Vec<A>& b) const { return a + b; }
};

// Each lane gets what its SPAN neighbours come to.
template <class A, int SPAN, class Both, int BY = 1>
SCAM_INLINE Vec<A> over_span(const Vec<A>& v, const Both& both) {
  if constexpr (BY >= SPAN || BY >= VecOf<A>::lanes) {
    return v;
  } else {
    typename Count<VecOf<A>::lanes>::type all;
    return over_span<A, SPAN, Both, 2 * BY>(both(v, crossed<BY>(v, all)), both);
  }
}

// One head at a time, or as many as a vector holds: `vectors` of them from s on.
template <class A, int SPAN>
SCAM_INLINE void softmax_head(A* s, int64_t vectors) {
  constexpr int lanes = VecOf<A>::lanes;
  Vec<A> top = load(s);
  for (int64_t k = 1; k < vectors; ++k) top = max<A>(load(s + k * lanes), top);
  top = over_span<A, SPAN>(top, Largest<A>());
  Vec<A> sum = Vec<A>{};
  for (int64_t k = 0; k < vectors; ++k) {
    const Vec<A> e = exp<A>(load(s + k * lanes) - top);
    store(s + k * lanes, e);
    sum += e;
  }
  const Vec<A> inverse = A(1) / over_span<A, SPAN>(sum, Sum<A>());
  for (int64_t k = 0; k < vectors; ++k) store(s + k * lanes, load(s + k * lanes) * inverse);
}

// ds = p (dp - sum p dp), over dp.
template <class A, int SPAN>
SCAM_INLINE void softmax_head_backward(const A* p, A* ds, int64_t vectors) {
  constexpr int lanes = VecOf<A>::lanes;
  Vec<A> sum = Vec<A>{};
  for (int64_t k = 0; k < vectors; ++k) sum += load(p + k * lanes) * load(ds + k * lanes);
  const Vec<A> mean = over_span<A, SPAN>(sum, Sum<A>());
  for (int64_t k = 0; k < vectors; ++k)
    store(ds + k * lanes, load(p + k * lanes) * (load(ds + k * lanes) - mean));
}

// body.run<SPAN>(first number, vectors) over `numbers` scores; the last vector may run beyond.
template <class A, class Body>
inline void over_heads(int64_t span, int64_t numbers, const Body& body) {
  constexpr int lanes = VecOf<A>::lanes;
  const int64_t vectors = span > lanes ? span / lanes : 1;
  for (int64_t k = 0; k < numbers; k += vectors * lanes) switch (span) {
      case 1: body.template run<1>(k, vectors); break;
      case 2: body.template run<2>(k, vectors); break;
      case 4: body.template run<4>(k, vectors); break;
      case 8: body.template run<8>(k, vectors); break;
      default: body.template run<16>(k, vectors);
    }
}

template <class A>
struct Softmax {
  A* s;
  template <int SPAN>
  void run(int64_t k, int64_t vectors) const {
    softmax_head<A, SPAN>(s + k, vectors);
  }
};
template <class A>
struct SoftmaxBackward {
  const A* p;
  A* ds;
  template <int SPAN>
  void run(int64_t k, int64_t vectors) const {
    softmax_head_backward<A, SPAN>(p + k, ds + k, vectors);
  }
};
