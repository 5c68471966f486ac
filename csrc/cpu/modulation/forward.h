// SPDX-License-Identifier: Apache-2.0
// The forward pass over windows.
#pragma once

// Up to PIECE pixels of one label.
template <class T>
struct Piece {
  const Job& job;
  int64_t b, first;      // image, the window's first pixel
  const int32_t* order;  // by pixel of the piece: which of the window, and AHEAD more
  int64_t count;

  void noise(A_of<T>* to) const {
    const ScaTensor& field = job.p.noise;
    for (int64_t i = 0; i < count; ++i)
      to[i] = field.data ? A_of<T>(widen(*element<T>(field, b, first + order[i]))) : 0;
  }
};

// body.run<B>(group, piece) for all pixels of a window, B being the rows in a block of tokens.
template <class T, class Body>
inline void for_pieces(const Job& job, int64_t b, const Window& w, int64_t most,
                       const Body& body) {
  for (int64_t s = 0; s < w.segment_count; ++s) {
    const Segment& segment = w.segments[s];
    const TokenGroup& group = job.plans[b].groups[segment.group];
    for (int64_t i = 0; i < segment.count; i += most) {
      const int64_t left = segment.count - i, count = left < most ? left : most;
      const Piece<T> piece = {job, b, w.first, w.order + segment.first + i, count};
      switch (group.block) {
        case 1: body.template run<1>(group, piece); break;
        case 2: body.template run<2>(group, piece); break;
        case 4: body.template run<4>(group, piece); break;
        default: body.template run<8>(group, piece);
      }
    }
  }
}

// use(the rows that scores are of: x, with the position code if there is one).
template <class T, class Use>
inline void with_scored(const WindowRows<T>& rows, const Piece<T>& piece, const Use& use) {
  if (piece.job.p.position.data) use(Operand<T, true>{piece.order, rows.x, rows.code});
  else use(Operand<T, false>{piece.order, rows.x, {}});
}

// p: [pixel][row of tokens].
template <class T, int B>
inline void probabilities(const TokenGroup& group, const Tokens<A_of<T>>& t,
                          const WindowRows<T>& rows, const Piece<T>& piece, A_of<T>* p) {
  typedef A_of<T> A;
  if (group.count == 0) {
    for (int64_t i = 0; i < piece.count; ++i) p[i] = A(1);
    return;
  }
  with_scored(rows, piece, [&](const auto& scored) {
    dots<A, B>(t.keys, t.rows, t.padded, t.bias, scored, piece.count, p);
  });
  over_heads<A>(t.span, piece.count * t.rows, Softmax<A>{p});
}

// What `modulate` hands over becomes y.
template <class T, bool STREAM>
struct ToOutput {
  typedef A_of<T> A;
  const int32_t* order;
  PixelRows<T> y;
  A slope;

  template <int P>
  struct Of {
    T* y[P];
    A slope;

    SCAM_INLINE void operator()(int q, int64_t c, const Vec<A>& xhat, const Vec<A>&,
                                const Vec<A>& scale, const Vec<A>& shift) const {
      const Vec<A> pre = scale * xhat + shift;
      put<STREAM>(y[q] + c, pre > A(0) ? pre : pre * slope);
    }
  };
  template <int P>
  SCAM_INLINE Of<P> of(int64_t i) const {
    Of<P> to;
    for (int q = 0; q < P; ++q) to.y[q] = y.of(order[i + q]);
    to.slope = slope;
    return to;
  }
};

template <class T, bool STREAM>
struct ForwardPiece {
  typedef A_of<T> A;
  const WindowRows<T>& rows;
  PixelRows<T> y;
  A* p;

  template <int B>
  void run(const TokenGroup& group, const Piece<T>& piece) const {
    const Tokens<A> t = tokens_of<A>(piece.job, piece.b, group);
    A noise[PIECE];
    piece.noise(noise);
    probabilities<T, B>(group, t, rows, piece, p);
    modulate_all<A, B>(t, p, noise, rows, piece.order, piece.count,
                       ToOutput<T, STREAM>{piece.order, y, t.slope});
  }
};

// Whether vectors of a map can go past the caches: they fill its lines.
template <class T>
inline bool can_stream(const Map<T>& map) {
  const int64_t step = map.has_rows() ? map.pixel_stride : map.channel_stride;
  return sizeof(T) == sizeof(A_of<T>) && (map.has_rows() || map.pixel_stride == 1) &&
         (reinterpret_cast<size_t>(map.data) | step * sizeof(T)) % 64 == 0;
}

template <class T, bool STREAM>
inline void forward_window(const Job& job, int64_t b, const Map<T>& map, WindowRows<T>* rows,
                           A_of<T>* p) {
  const Window& w = rows->window;
  const PixelRows<T> y = rows_for(map, w, rows->room_of_x);
  if (map.has_rows()) return for_pieces<T>(job, b, w, PIECE, ForwardPiece<T, STREAM>{*rows, y, p});
  for_pieces<T>(job, b, w, PIECE, ForwardPiece<T, false>{*rows, y, p});
  copy_out<STREAM, T>(y.data, w.first, w.count, map);
}

template <class T>
int forward(const Job& job, int64_t begin, int64_t end) {
  typedef A_of<T> A;
  constexpr bool can = sizeof(T) == sizeof(A);
  const int64_t numbers = PIECE * job.row_limit + VecOf<A>::lanes;
  Workspace workspace(WindowRows<T>::bytes(job) + Workspace::bytes_of<A>(numbers));
  if (!workspace.ok()) return SCA_OUT_OF_MEMORY;
  WindowRows<T> rows(job, &workspace);
  A* p = workspace.take<A>(numbers);
  memset(p, 0, sizeof(A) * numbers);
  for (int64_t item = begin; item < end; ++item) {
    const int64_t b = item / job.windows;
    const Map<T> map = map_of<T>(job.p.y, b, job.p.channels);
    rows.open(job, b, item % job.windows);
    if (can_stream(map)) forward_window<T, can>(job, b, map, &rows, p);
    else forward_window<T, false>(job, b, map, &rows, p);
  }
  streamed();
  return SCA_OK;
}
