// SPDX-License-Identifier: Apache-2.0
// Which tokens are read, and those brought together by label.
#pragma once

template <class T>
int scan(const Job& job, int64_t begin, int64_t end) {
  constexpr int64_t AT_ONCE = 512;
  int32_t groups[AT_ONCE];
  for (int64_t item = begin; item < end; ++item) {
    const int64_t b = item / job.scans, first = item % job.scans * job.scan;
    const int64_t last = first + job.scan < job.p.pixels ? first + job.scan : job.p.pixels;
    unsigned char* present = job.present + b * job.group_limit;
    for (int64_t i = first; i < last; i += AT_ONCE) {
      const int64_t count = last - i < AT_ONCE ? last - i : AT_ONCE;
      groups_of_pixels(job, b, i, count, groups);
      for (int64_t k = 0; k < count; ++k)
        if (!__atomic_load_n(present + groups[k], __ATOMIC_RELAXED))
          __atomic_store_n(present + groups[k], 1, __ATOMIC_RELAXED);
    }
  }
  return SCA_OK;
}

template <class T>
int pack_tokens(const Job& job, int64_t begin, int64_t end) {
  typedef A_of<T> A;
  const ModulationParams& p = job.p;
  const int64_t padded = padded_channels(p.channels);
  const auto pack = [&](const T* from, int64_t step, A* to) {
    for (int64_t c = 0; c < p.channels; ++c) to[c] = widen(from[c * step]);
  };
  for (int64_t item = begin; item < end; ++item) {
    const int64_t b = job.present_groups[item].batch;
    const TokenPlan& plan = job.plans[b];
    const TokenGroup& group = plan.groups[job.present_groups[item].group];
    A* keys = static_cast<A*>(job.packed) + group.packed;
    A *gamma_beta = keys + group.rows * padded, *bias = gamma_beta + 2 * group.rows * padded;
    memset(keys, 0, sizeof(A) * group.rows * (3 * padded + 1));
    if (group.count == 0) {
      const ScaTensor &gamma = p.default_gamma, &beta = p.default_beta;
      if (gamma.data) pack(element<T>(gamma, b), gamma.stride[1], gamma_beta);
      if (beta.data) pack(element<T>(beta, b), beta.stride[1], gamma_beta + padded);
      continue;
    }
    for (int64_t h = 0; h < p.heads; ++h)
      for (int64_t k = 0; k < group.span; ++k) {
        const int64_t row = h * group.span + k;
        if (k >= group.count) {
          bias[row] = -A(__builtin_inf());
          continue;
        }
        const int64_t j = plan.order[group.first + k];
        bias[row] = widen(*element<T>(p.key_bias, b, h, j));
        pack(element<T>(p.keys, b, h, j), p.keys.stride[3], keys + row * padded);
        A* pair = gamma_beta + 2 * row * padded;
        pack(element<T>(p.gamma, b, h, j), p.gamma.stride[3], pair);
        pack(element<T>(p.beta, b, h, j), p.beta.stride[3], pair + padded);
      }
  }
  return SCA_OK;
}

template <class T>
int pack_constants(const Job& job, int64_t begin, int64_t end) {
  typedef typename Accumulate<T>::type A;
  const ModulationParams& p = job.p;
  const int64_t padded = padded_channels(p.channels);
  for (int64_t b = begin; b < end; ++b) {
    A* to = static_cast<A*>(job.constants) + b * padded * 3;
    memset(to, 0, sizeof(A) * padded * 3);
    for (int64_t c = 0; c < p.channels; ++c) {
      to[c] = *element<A>(p.mean, b, c);
      to[padded + c] = *element<A>(p.rstd, b, c);
      if (p.noise.data) to[2 * padded + c] = widen(*element<T>(p.noise_scale, c));
    }
  }
  return SCA_OK;
}

template <class A>
inline Tokens<A> tokens_of(const Job& job, int64_t b, const TokenGroup& group) {
  const int64_t padded = padded_channels(job.p.channels);
  const A* keys = static_cast<const A*>(job.packed) + group.packed;
  const A* mean = static_cast<const A*>(job.constants) + b * padded * 3;
  return {group.rows,
          group.span,
          padded,
          keys,
          keys + group.rows * padded,
          keys + 3 * group.rows * padded,
          mean,
          mean + padded,
          mean + 2 * padded,
          A(job.p.negative_slope)};
}
