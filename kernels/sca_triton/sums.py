# SPDX-License-Identifier: Apache-2.0
"""Sums over wide items: the second stage of narrow gradients, and what empty rows need."""

import triton
import triton.language as tl
from scam.kernels.sca_triton.rows import (
    VARYING,
    load_numbers,
    load_rows,
    load_run,
    own_place,
    row_of,
    store_rows,
)


@triton.jit(do_not_specialize=VARYING)
def add_pieces(
    partial, destination, rest, spans, narrow_order, narrow_stride, positions, heads, group,
    channels,
    BLOCK: tl.constexpr, CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
):  # fmt: skip
    """Add up one narrow item's partial rows over pieces and over a group of heads, in order.

    ``heads`` are the destination's; ``rest`` (B, heads, channels), if any, is added to all items.
    """
    chunk, pair, position = own_place(positions, CHUNKS)
    b, h = pair // heads, pair % heads
    span = spans + (b * positions + position) * 3
    start, step, count = tl.load(span), tl.load(span + 1), tl.load(span + 2)
    total = tl.zeros((CHUNK,), tl.float32)
    if rest is not None:
        total += load_numbers(rest + pair * channels, chunk, channels, CHUNK)
    for head in range(0, group):
        for block in range(0, count, BLOCK):
            part = block + tl.arange(0, BLOCK)
            row = row_of(partial, b, h * group + head, start + part * step)
            rows = load_rows(partial, row, part < count, chunk, channels, CHUNK)
            total += tl.sum(rows, 0)
    one = tl.arange(0, 1)
    item = tl.load(narrow_order + b * narrow_stride + position).to(tl.int64) + one
    row = row_of(destination, b, h, item)
    store_rows(destination, row, one == 0, chunk, channels, total[None, :], CHUNK)


@triton.jit(do_not_specialize=VARYING)
def add_tiles(
    source, sums, needed, order, order_stride, tiles, tile_rows, heads, channels,
    ONLY_UNMET: tl.constexpr, TILE: tl.constexpr, SEGMENT: tl.constexpr,
    CHUNK: tl.constexpr, CHUNKS: tl.constexpr,
):  # fmt: skip
    """Add up the wide items of SEGMENT tiles: ``sums`` (B, heads, segments, channels), fp32.

    Args are as elsewhere but ``needed`` (B,): where 0, zeros will do. ONLY_UNMET: only items
    that meet nothing.
    """
    segments = tl.cdiv(tile_rows, SEGMENT)
    chunk, pair, segment = own_place(segments, CHUNKS)
    b, h = pair // heads, pair % heads
    first = segment * SEGMENT
    last = tl.minimum(first + SEGMENT, tile_rows)
    if needed is not None:
        last = tl.where(tl.load(needed + b) != 0, last, first)
    total = tl.zeros((CHUNK,), tl.float32)
    for tile in range(first, last):
        row = tiles + (b * tile_rows + tile) * 4
        begin, end = tl.load(row), tl.load(row + 1)
        if ONLY_UNMET:
            end = tl.where(tl.load(row + 2) == tl.load(row + 3), end, begin)
        if begin < end:
            item, inside = load_run(order + b * order_stride, begin, end, TILE)
            source_row = row_of(source, b, h, item)
            rows = load_rows(source, source_row, inside, chunk, channels, CHUNK)
            total += tl.sum(rows.to(tl.float32), 0)
    channel = chunk * CHUNK + tl.arange(0, CHUNK)
    tl.store(
        sums + (pair * segments + segment) * channels + channel, total, mask=channel < channels
    )
