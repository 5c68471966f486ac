# SPDX-License-Identifier: Apache-2.0
"""The tables of ``scam/ops/tiles.py`` from two layouts, in one launch each.

There they are some forty launches of PyTorch, more than the attention itself takes. Labels are
0 .. labels - 1, group ``labels`` holds the ignored items; LABELS is a power of two above that.
"""

import triton
import triton.language as tl
from scam.kernels.sca_triton.rows import VARYING


@triton.jit
def _groups(
    wide_offsets, wide_stride, narrow_offsets, narrow_stride, b, items, labels,
    TILE: tl.constexpr, LABELS: tl.constexpr,
):  # fmt: skip
    """Of each group: begin, end, first, last, and how many tiles."""
    group = tl.arange(0, LABELS)
    known = group < labels
    begin = tl.load(wide_offsets + b * wide_stride + group, mask=group <= labels, other=items)
    end = tl.load(wide_offsets + b * wide_stride + group + 1, mask=known, other=items)
    first = tl.load(narrow_offsets + b * narrow_stride + group, mask=known, other=0)
    last = tl.load(narrow_offsets + b * narrow_stride + group + 1, mask=known, other=0)
    return begin, end, first, last, (end - begin + TILE - 1) // TILE


@triton.jit
def _pick(hit, numbers):
    """(LABELS,) -> for each row of ``hit`` the number of the one group it hits, or 0."""
    return tl.sum(tl.where(hit, numbers[None, :], 0), 1)


@triton.jit(do_not_specialize=VARYING)
def cut(
    wide_offsets, wide_stride, narrow_offsets, narrow_stride, tiles, tile_rows, items, labels,
    TILE: tl.constexpr, LABELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """BLOCK rows of ``TilePlan.tiles``."""
    blocks = tl.cdiv(tile_rows, BLOCK)
    b = (tl.program_id(0) // blocks).to(tl.int64)
    row = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    begin, end, first, last, count = _groups(
        wide_offsets, wide_stride, narrow_offsets, narrow_stride, b, items, labels, TILE, LABELS
    )
    up_to = tl.cumsum(count, 0)
    hit = (row[:, None] >= (up_to - count)[None, :]) & (row[:, None] < up_to[None, :])
    start = _pick(hit, begin - (up_to - count) * TILE) + row * TILE
    stop = tl.minimum(start + TILE, _pick(hit, end))
    used = _pick(hit, count) > 0
    place = tiles + (b * tile_rows + row) * 4
    inside = row < tile_rows
    tl.store(place, tl.where(used, start, 0), inside)
    tl.store(place + 1, tl.where(used, stop, 0), inside)
    tl.store(place + 2, _pick(hit, first), inside)
    tl.store(place + 3, _pick(hit, last), inside)


@triton.jit(do_not_specialize=VARYING)
def split(
    wide_offsets, wide_stride, narrow_offsets, narrow_stride, pieces, spans, piece_rows,
    positions, tile_rows, items, labels, wanted, extra,
    TILE: tl.constexpr, LABELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """BLOCK rows of both tables of ``Pieces``; ``wanted`` pieces, ``extra`` partial rows."""
    blocks = tl.cdiv(tl.maximum(piece_rows, positions), BLOCK)
    b = (tl.program_id(0) // blocks).to(tl.int64)
    row = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    begin, end, first, last, count = _groups(
        wide_offsets, wide_stride, narrow_offsets, narrow_stride, b, items, labels, TILE, LABELS
    )
    meets = last - first
    share = count.to(tl.int64)
    allowed = share * extra // (tile_rows * tl.maximum(meets, 1).to(tl.int64))
    more = tl.minimum(share * wanted // tile_rows, allowed).to(tl.int32)
    length = tl.maximum((count + more) // (1 + more), 1)
    parts = (count + length - 1) // length
    up_to = tl.cumsum(parts, 0)
    first_row = tl.cumsum(parts * meets, 0) - parts * meets

    hit = (row[:, None] >= (up_to - parts)[None, :]) & (row[:, None] < up_to[None, :])
    part = row - _pick(hit, up_to - parts)
    step = _pick(hit, length * TILE)
    start = _pick(hit, begin) + part * step
    place = pieces + (b * piece_rows + row) * 5
    inside = row < piece_rows
    used = _pick(hit, parts) > 0
    tl.store(place, tl.where(used, start, 0), inside)
    tl.store(place + 1, tl.where(used, tl.minimum(start + step, _pick(hit, end)), 0), inside)
    tl.store(place + 2, _pick(hit, first), inside)
    tl.store(place + 3, _pick(hit, last), inside)
    partial = _pick(hit, first_row) + part * _pick(hit, meets)
    tl.store(place + 4, tl.where(used, partial, 0), inside)

    met = (row[:, None] >= first[None, :]) & (row[:, None] < last[None, :]) & (parts > 0)[None, :]
    count_of = _pick(met, parts)
    place = spans + (b * positions + row) * 3
    inside = row < positions
    tl.store(place, tl.where(count_of > 0, _pick(met, first_row - first) + row, 0), inside)
    tl.store(place + 1, _pick(met, meets), inside)
    tl.store(place + 2, count_of, inside)
