// SPDX-License-Identifier: Apache-2.0
// The chunks' sums joined, always in the same order, and what they mean for grad_x.
#pragma once

constexpr int64_t JOINED = 16;  // channels joined at a time

// Sums of one block of R rows and JOINED channels over all chunks that have any.
template <class A, int R>
struct Joined {
  static constexpr int SB = SumShape<A, R>::SB, SK = SumShape<A, R>::SK;
  A gamma_beta[2 * R * JOINED], keys[R * JOINED];

  A gamma(int64_t j, int64_t c) const { return gamma_beta[of(j, c)]; }
  A beta(int64_t j, int64_t c) const { return gamma_beta[of(j, c) + SB]; }
  A key(int64_t j, int64_t c) const { return keys[(j / SK * JOINED + c) * SK + j % SK]; }

  void add(const A* sums, const TokenGroup& group, int64_t padded, int64_t block, int64_t c) {
    const A* of_keys = sums + 2 * group.padded_rows() * padded + block * padded * R;
    const A* of_block = sums + block * padded * 2 * R;
    for (int64_t piece = 0; piece < R / SB; ++piece)
      add_span(of_block + (piece * padded + c) * 2 * SB, 2 * SB * JOINED,
               gamma_beta + piece * 2 * SB * JOINED);
    if (group.count)
      for (int64_t piece = 0; piece < R / SK; ++piece)
        add_span(of_keys + (piece * padded + c) * SK, SK * JOINED, keys + piece * SK * JOINED);
  }

 private:
  static int64_t of(int64_t j, int64_t c) { return (j / SB * JOINED + c) * 2 * SB + j % SB; }
  static void add_span(const A* from, int64_t count, A* to) {
    for (int64_t i = 0; i < count; ++i) to[i] += from[i];
  }
};

template <class T>
SCAM_INLINE void put(const ScaTensor& t, int64_t i, int64_t j, int64_t k, int64_t l, A_of<T> v) {
  shorten(v, static_cast<T*>(t.data) + i * t.stride[0] + j * t.stride[1] + k * t.stride[2] +
                 l * t.stride[3]);
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

template <class T, int R>
void join_group(const Job& job, int64_t b, const TokenGroup& group, const ChunkSums<A_of<T>>& all,
                int64_t c0, double* sum_dxhat, double* sum_dxhat_xhat) {
  typedef A_of<T> A;
  const ModulationParams& p = job.p;
  const int64_t padded = padded_channels(p.channels), left = p.channels - c0;
  const int64_t width = left < JOINED ? left : JOINED;
  const A* packed = static_cast<const A*>(job.packed) + group.packed;
  const A* gammas = packed + group.padded_rows() * padded;
  for (int64_t k = 0; k < group.blocks; ++k) {
    Joined<A, R> joined = {};
    for (int64_t chunk = 0; chunk < all.chunks; ++chunk)
      if (const A* sums = all.of(chunk, group)) joined.add(sums, group, padded, k, c0);
    for (int64_t j = 0; j < R && k * R + j < group.rows; ++j) {
      const int64_t row = k * R + j;
      const double own = group.count == 0 || row < group.count;  // sum of p is 1 for each head
      for (int64_t c = 0; c < width; ++c) {
        const double factor = own + gammas[(k * padded + c0 + c) * 2 * R + j];
        sum_dxhat[c] += factor * joined.beta(j, c);
        sum_dxhat_xhat[c] += factor * joined.gamma(j, c);
      }
      if (group.count == 0) {
        for (int64_t c = 0; c < width; ++c) {
          if (p.grad_default_gamma.data)
            put<T>(p.grad_default_gamma, b, c0 + c, 0, 0, joined.gamma(j, c));
          if (p.grad_default_beta.data)
            put<T>(p.grad_default_beta, b, c0 + c, 0, 0, joined.beta(j, c));
        }
        continue;
      }
      const int64_t h = row / group.count;
      const int64_t token = job.plans[b].order[group.first + row % group.count];
      for (int64_t c = 0; c < width; ++c) {
        put<T>(p.grad_gamma, b, h, token, c0 + c, joined.gamma(j, c));
        put<T>(p.grad_beta, b, h, token, c0 + c, joined.beta(j, c));
        put<T>(p.grad_keys, b, h, token, c0 + c, joined.key(j, c));
      }
    }
  }
}

template <class T>
void join_bias(const Job& job, int64_t b, const TokenGroup& group,
               const ChunkSums<A_of<T>>& all) {
  typedef A_of<T> A;
  const int64_t at = 3 * group.padded_rows() * padded_channels(job.p.channels);
  for (int64_t row = 0; row < group.rows; ++row) {
    A total = 0;
    for (int64_t chunk = 0; chunk < all.chunks; ++chunk)
      if (const A* sums = all.of(chunk, group)) total += sums[at + row];
    const int64_t token = job.plans[b].order[group.first + row % group.count];
    put<T>(job.p.grad_key_bias, b, row / group.count, token, 0, total);
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
        put<T>(p.grad_key_bias, b, h, token, 0, 0);
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
          if (p.grad_default_gamma.data) put<T>(p.grad_default_gamma, b, c, 0, 0, 0);
          if (p.grad_default_beta.data) put<T>(p.grad_default_beta, b, c, 0, 0, 0);
        }
        continue;
      }
      switch (group.block) {
        case 1: join_group<T, 1>(job, b, group, all, c0, sums[0], sums[1]); break;
        case 2: join_group<T, 2>(job, b, group, all, c0, sums[0], sums[1]); break;
        case 4: join_group<T, 4>(job, b, group, all, c0, sums[0], sums[1]); break;
        default: join_group<T, 8>(job, b, group, all, c0, sums[0], sums[1]);
      }
      if (c0 == 0 && group.count) join_bias<T>(job, b, group, all);
    }
    A* means = static_cast<A*>(job.means) + (b * padded + c0) * 2;
    for (int64_t c = 0; c < JOINED; ++c)
      for (int k = 0; k < 2; ++k)
        means[2 * c + k] = p.pixels ? A(sums[k][c] / double(p.pixels)) : A(0);
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
      put<T>(p.grad_noise_scale, c0 + c, 0, 0, 0, total[c]);
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
    const A* constant = static_cast<const A*>(job.constants) + (b * padded + c) * CONSTANTS;
    const A* means = static_cast<const A*>(job.means) + (b * padded + c) * 2;
    const A mean = constant[0], rstd = constant[1];
    const Rows<const T> x = rows_of<const T>(p.x, b, p.channels);
    const Rows<T> grad = rows_of<T>(p.grad_x, b, p.channels);
    const Rows<A> local = local_rows<T>(job, b);
    int64_t i = 0;
    if (x.along_pixels() && grad.along_pixels() && local.along_pixels())
      for (; i + lanes <= p.pixels; i += lanes) {
        const Vec<A> xhat = (load(x.at(c, i)) - mean) * rstd;
        store(grad.at(c, i), load(local.at(c, i)) - rstd * (means[0] + xhat * means[1]));
      }
    for (; i < p.pixels; ++i) {
      const A xhat = (A(widen(*x.at(c, i))) - mean) * rstd;
      shorten(*local.at(c, i) - rstd * (means[0] + xhat * means[1]), grad.at(c, i));
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
    const Rows<const T> x = rows_of<const T>(p.x, b, p.channels);
    const Rows<T> grad = rows_of<T>(p.grad_x, b, p.channels);
    const Rows<A> local = local_rows<T>(job, b);
    for (int64_t c = 0; c < p.channels; c += lanes) {
      const int64_t width = p.channels - c < lanes ? p.channels - c : lanes;
      Vec<A> mean = {}, rstd = {}, m0 = {}, m1 = {};
      for (int64_t l = 0; l < width; ++l) {
        const int64_t at = b * padded + c + l;
        const A* constant = static_cast<const A*>(job.constants) + at * CONSTANTS;
        const A* means = static_cast<const A*>(job.means) + at * 2;
        mean[l] = constant[0], rstd[l] = constant[1], m0[l] = means[0], m1[l] = means[1];
      }
      for (int64_t i = first; i < last; ++i) {
        if (width == lanes) {
          const Vec<A> xhat = (load(x.at(c, i)) - mean) * rstd;
          store(grad.at(c, i), load(local.at(c, i)) - rstd * (m0 + xhat * m1));
        } else {
          for (int64_t l = 0; l < width; ++l) {
            const A xhat = (A(widen(*x.at(c + l, i))) - mean[l]) * rstd[l];
            shorten(*local.at(c + l, i) - rstd[l] * (m0[l] + xhat * m1[l]), grad.at(c + l, i));
          }
        }
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
