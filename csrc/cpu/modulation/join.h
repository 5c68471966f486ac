// SPDX-License-Identifier: Apache-2.0
// The chunks' sums joined, always in the same order, and what they mean for grad_x.
#pragma once

constexpr int64_t JOINED = 16;  // channels joined at a time

// `width` numbers along one dimension of a gradient.
template <class T>
SCAM_INLINE void put_row(const A_of<T>* from, int64_t width, T* to, int64_t stride) {
  for (int64_t c = 0; c < width; ++c) shorten(from[c], to + c * stride);
}

// Where the sums of a chunk's groups lie.
template <class A>
struct ChunkSums {
  const A* sums;  // of the image's first chunk
  const unsigned char* touched;
  int64_t chunks, sums_step, touched_step;

  const A* of(int64_t chunk, const TokenGroup& group) const {
    return touched[chunk * touched_step + group.index]
               ? sums + chunk * sums_step + group.partial
               : nullptr;
  }
};

// JOINED channels of one row of sums over all chunks that have any; `at` is where in a group's.
template <class A>
inline void join_row(const ChunkSums<A>& all, const TokenGroup& group, int64_t at, A* total) {
  for (int64_t c = 0; c < JOINED; ++c) total[c] = 0;
  for (int64_t chunk = 0; chunk < all.chunks; ++chunk)
    if (const A* sums = all.of(chunk, group))
      for (int64_t c = 0; c < JOINED; ++c) total[c] += sums[at + c];
}

template <class T>
void join_group(const Job& job, int64_t b, const TokenGroup& group, const ChunkSums<A_of<T>>& all,
                int64_t c0, double* sum_dxhat, double* sum_dxhat_xhat) {
  typedef A_of<T> A;
  const ModulationParams& p = job.p;
  const Tokens<A> t = tokens_of<A>(job, b, group);
  const int64_t left = p.channels - c0, width = left < JOINED ? left : JOINED;
  A of_gamma[JOINED], of_beta[JOINED], of_key[JOINED];
  const auto add_row = [&](int64_t row, double own) {
    const int64_t at = (t.rows + 2 * row) * t.padded + c0;
    join_row(all, group, at, of_gamma);
    join_row(all, group, at + t.padded, of_beta);
    const A* gamma = t.gamma_beta + 2 * row * t.padded + c0;
    for (int64_t c = 0; c < width; ++c) {
      sum_dxhat[c] += (own + gamma[c]) * of_beta[c];
      sum_dxhat_xhat[c] += (own + gamma[c]) * of_gamma[c];
    }
  };
  if (group.count == 0) {
    add_row(0, 1);
    const ScaTensor &gamma = p.grad_default_gamma, &beta = p.grad_default_beta;
    if (gamma.data) put_row(of_gamma, width, element<T>(gamma, b, c0), gamma.stride[1]);
    if (beta.data) put_row(of_beta, width, element<T>(beta, b, c0), beta.stride[1]);
    return;
  }
  for (int64_t h = 0; h < p.heads; ++h)
    for (int64_t k = 0; k < group.count; ++k) {
      const int64_t row = h * group.span + k;
      add_row(row, h == 0);  // the sum of p is 1 for each head
      join_row(all, group, row * t.padded + c0, of_key);
      const int64_t token = job.plans[b].order[group.first + k];
      const auto put = [&](const A* from, const ScaTensor& to) {
        const int64_t stride = to.stride[3];
        put_row(from, width, element<T>(to, b, h, token) + c0 * stride, stride);
      };
      put(of_gamma, p.grad_gamma), put(of_beta, p.grad_beta), put(of_key, p.grad_keys);
    }
}

template <class T>
void join_bias(const Job& job, int64_t b, const TokenGroup& group,
               const ChunkSums<A_of<T>>& all) {
  typedef A_of<T> A;
  const int64_t at = 3 * group.rows * padded_channels(job.p.channels);
  for (int64_t h = 0; h < job.p.heads; ++h)
    for (int64_t k = 0; k < group.count; ++k) {
      A total = 0;
      for (int64_t chunk = 0; chunk < all.chunks; ++chunk)
        if (const A* sums = all.of(chunk, group)) total += sums[at + h * group.span + k];
      const int64_t token = job.plans[b].order[group.first + k];
      shorten(total, element<T>(job.p.grad_key_bias, b, h, token));
    }
}

template <class T>
SCAM_INLINE void clear_row(const ScaTensor& t, int64_t b, int64_t h, int64_t token,
                           int64_t channels) {
  T* row = element<T>(t, b, h, token);
  if (t.stride[3] == 1) {
    memset(static_cast<void*>(row), 0, sizeof(T) * channels);
  } else {
    for (int64_t c = 0; c < channels; ++c) shorten(A_of<T>(0), row + c * t.stride[3]);
  }
}

// Zero gradients of the tokens that no pixel reads, a piece of the tokens' order at a time.
template <class T>
int clear(const Job& job, int64_t begin, int64_t end) {
  const ModulationParams& p = job.p;
  for (int64_t item = begin; item < end; ++item) {
    const int64_t b = item / job.clear_pieces, piece = item % job.clear_pieces;
    const int64_t last = (piece + 1) * p.tokens / job.clear_pieces;
    const TokenPlan& plan = job.plans[b];
    int64_t g = 0;
    for (int64_t i = piece * p.tokens / job.clear_pieces; i < last; ++i) {
      while (g < plan.group_count && plan.groups[g].first + plan.groups[g].count <= i) ++g;
      if (g < plan.group_count && plan.groups[g].index >= 0) continue;
      for (int64_t h = 0; h < p.heads; ++h) {
        const int64_t token = plan.order[i];
        clear_row<T>(p.grad_keys, b, h, token, p.channels);
        clear_row<T>(p.grad_gamma, b, h, token, p.channels);
        clear_row<T>(p.grad_beta, b, h, token, p.channels);
        shorten(A_of<T>(0), element<T>(p.grad_key_bias, b, h, token));
      }
    }
  }
  return SCA_OK;
}

template <class T>
int join(const Job& job, int64_t begin, int64_t end) {
  typedef A_of<T> A;
  const ModulationParams& p = job.p;
  const int64_t padded = padded_channels(p.channels), parts = padded / JOINED;
  for (int64_t item = begin; item < end; ++item) {
    const int64_t image = item / parts, b = job.first_image + image, c0 = item % parts * JOINED;
    const TokenPlan& plan = job.plans[b];
    const ChunkSums<A> all = {
        static_cast<const A*>(job.partial) + image * job.chunks * job.partial_limit,
        job.touched + image * job.chunks * job.group_limit, job.chunks, job.partial_limit,
        job.group_limit};
    double sums[2][JOINED] = {};
    for (int64_t g = 0; g <= plan.group_count; ++g) {
      const TokenGroup& group = plan.groups[g];
      if (group.index < 0) {
        for (int64_t c = c0; g == plan.group_count && c < c0 + JOINED && c < p.channels; ++c) {
          if (p.grad_default_gamma.data) shorten(A(0), element<T>(p.grad_default_gamma, b, c));
          if (p.grad_default_beta.data) shorten(A(0), element<T>(p.grad_default_beta, b, c));
        }
        continue;
      }
      join_group<T>(job, b, group, all, c0, sums[0], sums[1]);
      if (c0 == 0 && group.count) join_bias<T>(job, b, group, all);
    }
    A* means = static_cast<A*>(job.means) + b * padded * 2 + c0;
    for (int k = 0; k < 2; ++k)
      for (int64_t c = 0; c < JOINED; ++c)
        means[k * padded + c] = p.pixels ? A(sums[k][c] / double(p.pixels)) : A(0);
  }
  return SCA_OK;
}

template <class T>
int join_noise(const Job& job, int64_t begin, int64_t end) {
  typedef A_of<T> A;
  const ModulationParams& p = job.p;
  const int64_t padded = padded_channels(p.channels);
  for (int64_t c0 = begin * JOINED; c0 < end * JOINED; c0 += JOINED) {
    A total[JOINED] = {};
    for (int64_t row = 0; row < p.batch * job.chunks; ++row)
      for (int64_t c = 0; c < JOINED; ++c)
        total[c] += static_cast<const A*>(job.partial_noise)[row * padded + c0 + c];
    for (int64_t c = 0; c < JOINED && c0 + c < p.channels; ++c)
      shorten(total[c], element<T>(p.grad_noise_scale, c0 + c));
  }
  return SCA_OK;
}

// grad_x = local - rstd (mean(dxhat) + xhat mean(dxhat xhat)) along one channel.
template <class T>
int finish_channels(const Job& job, int64_t begin, int64_t end) {
  typedef A_of<T> A;
  constexpr int64_t lanes = VecOf<A>::lanes;
  const ModulationParams& p = job.p;
  const int64_t padded = padded_channels(p.channels);
  for (int64_t item = begin; item < end; ++item) {
    const int64_t b = job.first_image + item / p.channels, c = item % p.channels;
    const A* constants = static_cast<const A*>(job.constants) + b * padded * 3;
    const A* means = static_cast<const A*>(job.means) + b * padded * 2;
    const A mean = constants[c], rstd = constants[padded + c];
    const A m0 = means[c], m1 = means[padded + c];
    const Map<const T> x = map_of<const T>(p.x, b, p.channels);
    const Map<T> grad = map_of<T>(p.grad_x, b, p.channels);
    const Map<A> local = local_map<T>(job, b);
    int64_t i = 0;
    if (x.pixel_stride == 1 && grad.pixel_stride == 1 && local.pixel_stride == 1)
      for (; i + lanes <= p.pixels; i += lanes) {
        const Vec<A> xhat = (load(x.at(c, i)) - mean) * rstd;
        store(grad.at(c, i), load(local.at(c, i)) - rstd * (m0 + xhat * m1));
      }
    for (; i < p.pixels; ++i) {
      const A xhat = (A(widen(*x.at(c, i))) - mean) * rstd;
      shorten(*local.at(c, i) - rstd * (m0 + xhat * m1), grad.at(c, i));
    }
  }
  return SCA_OK;
}

// The same for maps whose channels are neighbours.
template <class T>
int finish_pixels(const Job& job, int64_t begin, int64_t end) {
  typedef A_of<T> A;
  constexpr int64_t lanes = VecOf<A>::lanes;
  const ModulationParams& p = job.p;
  const int64_t padded = padded_channels(p.channels);
  for (int64_t item = begin; item < end; ++item) {
    const int64_t b = job.first_image + item / job.stat_chunks;
    const int64_t first = item % job.stat_chunks * job.stat_chunk;
    const int64_t last = first + job.stat_chunk < p.pixels ? first + job.stat_chunk : p.pixels;
    const Map<const T> map = map_of<const T>(p.x, b, p.channels);
    const Map<T> grad_map = map_of<T>(p.grad_x, b, p.channels);
    const Map<A> local_rows = local_map<T>(job, b);
    const A* mean = static_cast<const A*>(job.constants) + b * padded * 3;
    const A *rstd = mean + padded, *m0 = static_cast<const A*>(job.means) + b * padded * 2;
    const A* m1 = m0 + padded;
    for (int64_t i = first; i < last; ++i) {
      const T* x = map.at(0, i);
      const A* local = local_rows.at(0, i);
      T* grad = grad_map.at(0, i);
      int64_t c = 0;
      for (; c + lanes <= p.channels; c += lanes) {
        const Vec<A> of = load(rstd + c), xhat = (load(x + c) - load(mean + c)) * of;
        store(grad + c, load(local + c) - of * (load(m0 + c) + xhat * load(m1 + c)));
      }
      for (; c < p.channels; ++c) {
        const A xhat = (A(widen(x[c])) - mean[c]) * rstd[c];
        shorten(local[c] - rstd[c] * (m0[c] + xhat * m1[c]), grad + c);
      }
    }
  }
  return SCA_OK;
}

template <class T>
int finish(const Job& job, int64_t begin, int64_t end) {
  return channels_last(job.p.x) && channels_last(job.p.grad_x)
             ? finish_pixels<T>(job, begin, end)
             : finish_channels<T>(job, begin, end);
}
