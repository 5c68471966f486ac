// SPDX-License-Identifier: Apache-2.0
// Which tokens are read, and those brought together by label.
#pragma once

template <class T>
int scan(const Job& job, int64_t begin, int64_t end) {
  constexpr int64_t PIECE = 512;
  int32_t groups[PIECE];
  for (int64_t item = begin; item < end; ++item) {
    const int64_t b = item / job.scans, first = item % job.scans * job.scan;
    const int64_t last = first + job.scan < job.p.pixels ? first + job.scan : job.p.pixels;
    unsigned char* present = job.present + b * job.group_limit;
    for (int64_t i = first; i < last; i += PIECE) {
      const int64_t count = last - i < PIECE ? last - i : PIECE;
      groups_of_pixels(job, b, i, count, groups);
      for (int64_t k = 0; k < count; ++k)
        if (!__atomic_load_n(present + groups[k], __ATOMIC_RELAXED))
          __atomic_store_n(present + groups[k], 1, __ATOMIC_RELAXED);
    }
  }
  return SCA_OK;
}

template <class A>
inline void place(A* to, int64_t padded, int64_t block, int64_t width, int64_t row, int64_t c,
                  int64_t which, A value) {
  to[((row / block * padded + c) * width + which) * block + row % block] = value;
}

template <class T>
int pack_tokens(const Job& job, int64_t begin, int64_t end) {
  typedef typename Accumulate<T>::type A;
  const ModulationParams& p = job.p;
  const int64_t padded = padded_channels(p.channels);
  for (int64_t item = begin; item < end; ++item) {
    const int64_t b = job.present_groups[item].batch;
    const TokenPlan& plan = job.plans[b];
    const TokenGroup& group = plan.groups[job.present_groups[item].group];
    const int64_t rows = group.padded_rows();
    A* keys = static_cast<A*>(job.packed) + group.packed;
    A *gamma_beta = keys + rows * padded, *bias = gamma_beta + 2 * rows * padded;
    memset(keys, 0, sizeof(A) * rows * (3 * padded + 1));
    if (group.count == 0) {
      for (int which = 0; which < 2; ++which) {
        const ScaTensor& source = which ? p.default_beta : p.default_gamma;
        for (int64_t c = 0; source.data && c < p.channels; ++c)
          place(gamma_beta, padded, 1, 2, 0, c, which, A(widen(*element<T>(source, b, c))));
      }
    }
    for (int64_t row = 0; row < group.rows && group.count; ++row) {
      const int64_t h = row / group.count, j = plan.order[group.first + row % group.count];
      bias[row] = widen(*element<T>(p.key_bias, b, h, j));
      const T *key = element<T>(p.keys, b, h, j), *gamma = element<T>(p.gamma, b, h, j);
      const T* beta = element<T>(p.beta, b, h, j);
      for (int64_t c = 0; c < p.channels; ++c) {
        place(keys, padded, group.block, 1, row, c, 0, A(widen(key[c * p.keys.stride[3]])));
        place(gamma_beta, padded, group.block, 2, row, c, 0,
              A(widen(gamma[c * p.gamma.stride[3]])));
        place(gamma_beta, padded, group.block, 2, row, c, 1,
              A(widen(beta[c * p.beta.stride[3]])));
      }
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
    A* to = static_cast<A*>(job.constants) + b * padded * CONSTANTS;
    memset(to, 0, sizeof(A) * padded * CONSTANTS);
    for (int64_t c = 0; c < p.channels; ++c) {
      to[c * CONSTANTS] = *element<A>(p.mean, b, c);
      to[c * CONSTANTS + 1] = *element<A>(p.rstd, b, c);
      if (p.noise.data) to[c * CONSTANTS + 2] = widen(*element<T>(p.noise_scale, c));
    }
  }
  return SCA_OK;
}

template <class A>
inline Tokens<A> tokens_of(const Job& job, int64_t b, const TokenGroup& group) {
  const int64_t padded = padded_channels(job.p.channels), rows = group.padded_rows();
  const A* packed = static_cast<const A*>(job.packed) + group.packed;
  return {group.blocks,
          job.p.channels,
          padded,
          packed,
          packed + rows * padded,
          packed + 3 * rows * padded,
          static_cast<const A*>(job.constants) + b * padded * CONSTANTS,
          A(job.p.negative_slope)};
}
