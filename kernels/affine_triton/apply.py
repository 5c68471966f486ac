# SPDX-License-Identifier: Apache-2.0
"""Look up and apply, a tile of pixels and a chunk of channels per program; and its gradients.

Maps are (B, 1, pixels, channels) as in :mod:`scam.kernels.modulation_triton.maps`, or
(1, B, pixels, channels) where the pixels of a program are of several images. Tables are
(1, 1, rows, channels), mean and rstd (B, channels) as ``load_channels`` takes them.
"""

import triton
import triton.language as tl
from scam.kernels.modulation_triton.maps import load_channels, load_rows, store_rows
from scam.kernels.sca_triton.rows import VARYING, load_piece, own_place


@triton.jit(do_not_specialize=VARYING)
def apply(
    x, out, grad_y, index, scale, shift, mean, rstd, partial, positions, tile_rows, pixels,
    channels, negative_slope, TILE: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
):  # fmt: skip
    """Write y; with ``grad_y`` the gradient of x. ``positions``: rows of the tables.

    ``partial`` (B, tiles, 2, channels), if any: sums over the tile of the gradient of
    ``(x - mean) * rstd``, and of that times ``x - mean``.
    """
    chunk, b, place = own_place(tile_rows, CHUNKS)
    item = place.to(tl.int64) * TILE + tl.arange(0, TILE)
    inside = item < pixels
    at = index[0] + b * index[1] + item * index[2]
    row = tl.load(at, mask=inside, other=0).to(tl.int64)
    met = inside & (row >= 0) & (row < positions)
    distance = load_rows(x, b, 0, item, met, chunk, channels, CHUNK).to(tl.float32)
    factor = tl.full((1, CHUNK), 1.0, tl.float32)
    if mean is not None:
        distance -= load_channels(mean, b, chunk, channels, CHUNK)
        factor = load_channels(rstd, b, chunk, channels, CHUNK)
    scales = load_rows(scale, 0, 0, row, met, chunk, channels, CHUNK).to(tl.float32)
    shifts = load_rows(shift, 0, 0, row, met, chunk, channels, CHUNK).to(tl.float32)
    sums = distance * factor * scales + shifts
    if grad_y is None:
        numbers = tl.where(sums > 0.0, sums, sums * negative_slope)
    else:
        numbers = load_rows(grad_y, b, 0, item, met, chunk, channels, CHUNK).to(tl.float32)
        numbers = tl.where(sums > 0.0, numbers, numbers * negative_slope) * scales
        if partial is not None:
            given = tl.where(met[:, None], numbers, 0.0)
            to = partial + ((b * tile_rows + place) * 2) * channels
            channel = chunk * CHUNK + tl.arange(0, CHUNK)
            known = channel < channels
            tl.store(to + channel, tl.sum(given, 0), mask=known)
            tl.store(to + channels + channel, tl.sum(given * distance, 0), mask=known)
        numbers *= factor
    numbers = tl.where(met[:, None], numbers, 0.0)
    store_rows(out, b, item, inside, chunk, channels, numbers, CHUNK)


@triton.jit(do_not_specialize=VARYING)
def row_gradients(
    x, grad_y, scale, shift, mean, rstd, partial, order, pieces, piece_rows, programs, turns,
    partial_rows, pixels, channels, negative_slope,
    TILE: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
):  # fmt: skip
    """Sums over pieces of a row's pixels: ``partial`` (2, partial_rows, channels), fp32, of
    shift and of scale.

    ``order`` numbers the pixels of all images in one go, brought together by row.
    """
    chunk, _, place = own_place(programs, CHUNKS)
    for turn in range(0, turns):
        row = place + turn * programs
        begin, end, first, last, own_row = load_piece(pieces, row, piece_rows)
        if first < last:  # else outside the tables
            own = partial + own_row.to(tl.int64) * channels
            _sum_piece(
                x, grad_y, scale, shift, mean, rstd, own, order, begin, end, first, chunk,
                partial_rows, pixels, channels, negative_slope, TILE, CHUNK,
            )  # fmt: skip


@triton.jit
def _sum_piece(
    x, grad_y, scale, shift, mean, rstd, partial, order, begin, end, row, chunk,
    partial_rows, pixels, channels, negative_slope, TILE: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """One piece, of the row ``row`` of the tables."""
    one = tl.zeros((1,), tl.int64)
    scales = load_rows(scale, 0, 0, one + row, one == 0, chunk, channels, CHUNK).to(tl.float32)
    shifts = load_rows(shift, 0, 0, one + row, one == 0, chunk, channels, CHUNK).to(tl.float32)
    of_shift = tl.zeros((CHUNK,), tl.float32)
    of_scale = tl.zeros((CHUNK,), tl.float32)
    for block in range(begin, end, TILE):
        position = block + tl.arange(0, TILE)
        inside = position < end
        number = tl.load(order + position, mask=inside, other=0).to(tl.int64)
        b, item = number // pixels, number % pixels
        hat = load_rows(x, 0, b, item, inside, chunk, channels, CHUNK).to(tl.float32)
        if mean is not None:
            nowhere = tl.zeros_like(item)
            hat -= load_rows(mean, 0, b, nowhere, inside, chunk, channels, CHUNK)
            hat *= load_rows(rstd, 0, b, nowhere, inside, chunk, channels, CHUNK)
        given = load_rows(grad_y, 0, b, item, inside, chunk, channels, CHUNK).to(tl.float32)
        given = tl.where(hat * scales + shifts > 0.0, given, given * negative_slope)
        of_shift += tl.sum(given, 0)
        of_scale += tl.sum(given * hat, 0)
    channel = chunk * CHUNK + tl.arange(0, CHUNK)
    known = channel < channels
    to = partial + channel
    tl.store(to, of_shift, mask=known)
    tl.store(to + tl.cast(partial_rows, tl.int64) * channels, of_scale, mask=known)
