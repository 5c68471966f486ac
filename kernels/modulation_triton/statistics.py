# SPDX-License-Identifier: Apache-2.0
"""Mean and reciprocal deviation per channel: spreads of pieces, put together in a fixed order.

A piece's numbers are summed less the mean of its first block, so a mean far above the deviation
costs no digits; pieces are combined as in Chan, Golub and LeVeque (1983).
"""

import triton
import triton.language as tl
from scam.kernels.modulation_triton.maps import items_of, load_rows, widened


@triton.jit
def measure(
    x, means, spreads, pixels, channels: tl.constexpr, pieces,
    WIDE: tl.constexpr, WHOLE: tl.constexpr, PIECE: tl.constexpr, BLOCK: tl.constexpr,
    CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
):  # fmt: skip
    """Mean and sum of squares around it, of PIECE pixels: each (B, pieces, channels), fp32."""
    # The last image first: what reads x next begins with the first one, and finds it in L2.
    program = tl.num_programs(0) - 1 - tl.program_id(0)
    chunk = program % CHUNKS
    program = program // CHUNKS
    b = (program // pieces).to(tl.int64)
    begin = (program % pieces) * PIECE
    end = tl.minimum(begin + PIECE, pixels)
    item, inside = items_of(begin, end, WIDE, WHOLE, BLOCK)
    loaded = widened(load_rows(x, b, 0, item, inside, chunk, channels, CHUNK))
    shift = tl.sum(loaded, 0) / (tl.minimum(begin + BLOCK, end) - begin).to(tl.float32)
    sums = tl.zeros((BLOCK, CHUNK), tl.float32)
    squares = tl.zeros((BLOCK, CHUNK), tl.float32)
    for start in range(begin, end, BLOCK):
        item, inside = items_of(start, end, WIDE, WHOLE, BLOCK)
        loaded = widened(load_rows(x, b, 0, item, inside, chunk, channels, CHUNK))
        apart = tl.where(inside[:, None], loaded - shift[None, :], 0.0)
        sums += apart
        squares += apart * apart
    total, count = tl.sum(sums, 0), (end - begin).to(tl.float32)
    mean = shift + total / count
    spread = tl.maximum(tl.sum(squares, 0) - total * (total / count), 0.0, tl.PropagateNan.ALL)
    channel = chunk * CHUNK + tl.arange(0, CHUNK)
    at = program.to(tl.int64) * channels + channel
    tl.store(means + at, mean, mask=channel < channels)
    tl.store(spreads + at, spread, mask=channel < channels)


@triton.jit
def combine(
    means, spreads, mean_out, rstd_out, pixels, channels, pieces, eps,
    PIECE: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
):  # fmt: skip
    """mean and rstd (B, channels) of all pieces."""
    program = tl.program_id(0)
    channel = (program % CHUNKS) * CHUNK + tl.arange(0, CHUNK)
    b = (program // CHUNKS).to(tl.int64)
    known = channel < channels
    mean = tl.zeros((CHUNK,), tl.float32)
    spread = tl.zeros((CHUNK,), tl.float32)
    for piece in range(0, pieces):
        at = (b * pieces + piece) * channels + channel
        begin = piece * PIECE
        count = (tl.minimum(begin + PIECE, pixels) - begin).to(tl.float32)
        mean, spread = _joined(
            mean, spread, begin.to(tl.float32),
            tl.load(means + at, mask=known, other=0.0),
            tl.load(spreads + at, mask=known, other=0.0), count,
        )  # fmt: skip
    at = b * channels + channel
    tl.store(mean_out + at, mean, mask=known)
    tl.store(rstd_out + at, 1.0 / tl.sqrt(spread / pixels + eps), mask=known)


@triton.jit
def _joined(mean, spread, count, next_mean, next_spread, next_count):
    share = next_count / (count + next_count)
    step = next_mean - mean
    return mean + step * share, spread + next_spread + step * step * count * share
