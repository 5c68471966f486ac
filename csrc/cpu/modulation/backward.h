// SPDX-License-Identifier: Apache-2.0
// The backward pass over chunks of windows. The sums of a group over a chunk, the gradients of its
// tokens, are laid out as its packed tokens are.
#pragma once

// Where grad_x waits for the means over all pixels: in itself, unless that would round it twice.
template <class T>
inline Map<A_of<T>> local_map(const Job& job, int64_t b) {
  const ModulationParams& p = job.p;
  if constexpr (sizeof(T) == sizeof(A_of<T>)) {
    return map_of<T>(p.grad_x, b, p.channels);
  } else {
    const int64_t image = (b - job.first_image) * p.channels * p.pixels;
    const bool last = channels_last(p.x);
    return {static_cast<A_of<T>*>(job.local) + image, last ? 1 : p.pixels,
            last ? p.channels : 1, p.channels};
  }
}

template <class T>
struct BackwardRows : WindowRows<T> {
  typedef A_of<T> A;
  int64_t piece;              // pixels handled at a time
  PixelRows<const T> grad_y;
  PixelRows<A> local;
  T* room_of_grad_y;
  A *room_of_local, *both, *p, *ds, *noise;  // both: g xhat and g, [pixel of the piece][2][padded]
  int32_t* counted;                          // 0, 1, 2, ... and the last AHEAD times more

  // So many that `both` stays in L1.
  static int64_t piece_of(const Job& job) {
    const int64_t fitting = 2048 / padded_channels(job.p.channels);
    return fitting < 8 ? 8 : fitting < PIECE ? fitting : PIECE;
  }
  static int64_t numbers(const Job& job) {
    return piece_of(job) * job.row_limit + VecOf<A>::lanes;
  }
  static size_t bytes(const Job& job) {
    const int64_t room = WindowRows<T>::room(job), piece = piece_of(job);
    return WindowRows<T>::bytes(job) + Workspace::bytes_of<T>(room) +
           Workspace::bytes_of<A>(room) +
           Workspace::bytes_of<A>(piece * 2 * padded_channels(job.p.channels)) +
           2 * Workspace::bytes_of<A>(numbers(job)) + Workspace::bytes_of<A>(piece) +
           Workspace::bytes_of<int32_t>(piece + AHEAD);
  }
  BackwardRows(const Job& job, Workspace* workspace)
      : WindowRows<T>(job, workspace),
        piece(piece_of(job)),
        room_of_grad_y(workspace->take<T>(this->room(job))),
        room_of_local(workspace->take<A>(this->room(job))),
        both(workspace->take<A>(piece * 2 * padded_channels(job.p.channels))),
        p(workspace->take<A>(numbers(job))),
        ds(workspace->take<A>(numbers(job))),
        noise(workspace->take<A>(piece)),
        counted(workspace->take<int32_t>(piece + AHEAD)) {
    memset(p, 0, sizeof(A) * numbers(job));
    memset(ds, 0, sizeof(A) * numbers(job));
    for (int64_t i = 0; i < piece + AHEAD; ++i) counted[i] = int32_t(i < piece ? i : piece - 1);
  }

  void open(const Job& job, int64_t b, int64_t index) {
    WindowRows<T>::open(job, b, index);
    grad_y = rows_in(map_of<const T>(job.p.grad_y, b, job.p.channels), this->window,
                     room_of_grad_y);
    local = rows_for(local_map<T>(job, b), this->window, room_of_local);
  }
};

// What `modulate` hands over becomes g = grad_y leaky_relu'(pre): kept are g xhat and g, and
// rstd g scale.
template <class T>
struct ToGradient {
  typedef A_of<T> A;
  const int32_t* order;
  PixelRows<const T> grad_y;
  PixelRows<A> local;
  A* both;
  int64_t padded;
  A slope;

  template <int P>
  struct Of {
    const T *given[P], *given_later[P];
    A *local[P], *local_later[P], *both;
    int64_t padded;
    A slope;

    SCAM_INLINE void operator()(int q, int64_t c, const Vec<A>& xhat, const Vec<A>& rstd,
                                const Vec<A>& scale, const Vec<A>& shift) const {
      __builtin_prefetch(given_later[q] + c, 0, 2);
      __builtin_prefetch(local_later[q] + c, 1, 2);
      const Vec<A> grad = load(given[q] + c);
      const Vec<A> g = scale * xhat + shift > A(0) ? grad : grad * slope;
      store(both + 2 * q * padded + c, g * xhat);
      store(both + (2 * q + 1) * padded + c, g);
      store(local[q] + c, rstd * (g * scale));
    }
  };
  template <int P>
  SCAM_INLINE Of<P> of(int64_t i) const {
    Of<P> to;
    for (int q = 0; q < P; ++q) {
      const int32_t pixel = order[i + q], later = order[i + q + AHEAD];
      to.given[q] = grad_y.of(pixel), to.given_later[q] = grad_y.of(later);
      to.local[q] = local.of(pixel), to.local_later[q] = local.of(later);
    }
    to.both = both + 2 * i * padded, to.padded = padded, to.slope = slope;
    return to;
  }
};

template <class T>
struct BackwardPiece {
  typedef A_of<T> A;
  const BackwardRows<T>& rows;
  A *chunk_sums, *noise_sums;
  unsigned char* touched;

  template <int B>
  void run(const TokenGroup& group, const Piece<T>& piece) const {
    const Job& job = piece.job;
    const Tokens<A> t = tokens_of<A>(job, piece.b, group);
    const int64_t count = piece.count, width = 2 * t.padded;
    A *p = rows.p, *ds = rows.ds;
    piece.noise(rows.noise);
    probabilities<T, B>(group, t, rows, piece, p);
    modulate_all<A, B>(t, p, rows.noise, rows, piece.order, count,
                       ToGradient<T>{piece.order, rows.grad_y, rows.local, rows.both, t.padded,
                                     t.slope});
    A* sums = chunk_sums + group.partial;
    const bool add = touched[group.index];
    touched[group.index] = 1;
    const Operand<A, false> both = {rows.counted, {rows.both, width}, {}};
    outers<A, B>(p, t.rows, both, count, width, sums + t.rows * t.padded, add);
    if (job.p.noise.data) {
      const Operand<A, false> g = {rows.counted, {rows.both + t.padded, width}, {}};
      outers<A, 1>(rows.noise, 1, g, count, t.padded, noise_sums, true);
    }
    if (group.count == 0) return;
    dots<A, B>(t.gamma_beta, t.rows, width, static_cast<const A*>(nullptr), both, count, ds);
    over_heads<A>(t.span, count * t.rows, SoftmaxBackward<A>{p, ds});
    combine_all<A, B>(t.keys, t.rows, t.padded, ds, rows.local, piece.order, count);
    with_scored<T>(rows, piece, [&](const auto& scored) {
      outers<A, B>(ds, t.rows, scored, count, t.padded, sums, add);
    });
    A* of_bias = sums + 3 * t.rows * t.padded;
    for (int64_t row = 0; row < t.rows; ++row) {
      A sum = 0;
      for (int64_t i = 0; i < count; ++i) sum += ds[i * t.rows + row];
      of_bias[row] = add ? of_bias[row] + sum : sum;
    }
  }
};

template <class T>
int backward(const Job& job, int64_t begin, int64_t end) {
  typedef A_of<T> A;
  const int64_t padded = padded_channels(job.p.channels);
  Workspace workspace(BackwardRows<T>::bytes(job));
  if (!workspace.ok()) return SCA_OUT_OF_MEMORY;
  BackwardRows<T> rows(job, &workspace);
  for (int64_t item = begin; item < end; ++item) {
    const int64_t b = job.first_image + item / job.chunks, chunk = item % job.chunks;
    A* sums = static_cast<A*>(job.partial) + item * job.partial_limit;
    unsigned char* touched = job.touched + item * job.group_limit;
    A* noise = static_cast<A*>(job.partial_noise) + (b * job.chunks + chunk) * padded;
    memset(touched, 0, job.group_limit);
    memset(noise, 0, sizeof(A) * padded);
    const int64_t first = chunk * job.chunk_windows, last = first + job.chunk_windows;
    for (int64_t w = first; w < (last < job.windows ? last : job.windows); ++w) {
      rows.open(job, b, w);
      for_pieces<T>(job, b, rows.window, rows.piece, BackwardPiece<T>{rows, sums, noise, touched});
      const Map<A> local = local_map<T>(job, b);
      if (!local.has_rows())
        copy_out<false, A>(rows.local.data, rows.window.first, rows.window.count, local);
    }
  }
  return SCA_OK;
}
