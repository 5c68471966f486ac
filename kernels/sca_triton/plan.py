# SPDX-License-Identifier: Apache-2.0
"""The tables of ``scam/ops/tiles.py`` from two sorted sides, in one launch each.

There they are some eighty operations of PyTorch, more than the attention itself takes. Groups are
0 .. labels - 1, and ``labels`` that of ignored items; from ``narrow_labels`` on they are empty on
the narrow side. SHARES programs of a batch element go through all groups, LABELS at a time, and
each writes every SHARES-th row of a group.
"""

import triton
import triton.language as tl
from scam.kernels.sca_triton.rows import VARYING


@triton.jit
def _groups(
    wide_offsets, wide_stride, narrow_offsets, narrow_stride, b, start, items, labels,
    narrow_labels,
    TILE: tl.constexpr, LABELS: tl.constexpr,
):  # fmt: skip
    """Of LABELS groups from ``start`` on: begin, end, first, last, and how many tiles."""
    group = start + tl.arange(0, LABELS)
    known = group < labels
    wide_offsets += b * wide_stride
    narrow_offsets += b * narrow_stride
    begin = tl.load(wide_offsets + group, mask=group <= labels, other=items)
    end = tl.load(wide_offsets + group + 1, mask=known, other=items)
    first = tl.load(narrow_offsets + tl.minimum(group, narrow_labels), mask=known, other=0)
    last = tl.load(narrow_offsets + tl.minimum(group + 1, narrow_labels), mask=known, other=0)
    return begin, end, first, last, (end - begin + TILE - 1) // TILE


@triton.jit
def _store_row(place, begin, end, first, last, mask):
    tl.store(place, begin, mask)
    tl.store(place + 1, end, mask)
    tl.store(place + 2, first, mask)
    tl.store(place + 3, last, mask)


@triton.jit
def _clear(
    table, used, rows, share, WIDTH: tl.constexpr, SHARES: tl.constexpr, BLOCK: tl.constexpr
):
    """Zeros for this program's share of the rows from ``used`` on."""
    for start in range(used * WIDTH + share * BLOCK, rows * WIDTH, SHARES * BLOCK):
        place = start + tl.arange(0, BLOCK)
        tl.store(table + place, tl.zeros((BLOCK,), tl.int32), place < rows * WIDTH)


@triton.jit(do_not_specialize=VARYING)
def cut(
    wide_offsets, wide_stride, narrow_offsets, narrow_stride, tiles, tile_rows, items, labels,
    narrow_labels,
    TILE: tl.constexpr, LABELS: tl.constexpr, SHARES: tl.constexpr,
):  # fmt: skip
    """Tiles, as of ``tiles.cut``."""
    b = (tl.program_id(0) // SHARES).to(tl.int64)
    share = tl.program_id(0) % SHARES
    tiles += b * tile_rows * 4
    used = 0
    for start in range(0, labels + 1, LABELS):
        begin, end, first, last, count = _groups(
            wide_offsets, wide_stride, narrow_offsets, narrow_stride, b, start, items, labels,
            narrow_labels, TILE, LABELS,
        )  # fmt: skip
        row = used + tl.cumsum(count, 0) - count
        used += tl.sum(count, 0)
        for tile in range(share, tl.max(count, 0), SHARES):
            at = begin + tile * TILE
            stop = tl.minimum(at + TILE, end)
            _store_row(tiles + (row + tile) * 4, at, stop, first, last, tile < count)
    _clear(tiles, used, tile_rows, share, 4, SHARES, LABELS)


@triton.jit(do_not_specialize=VARYING)
def split(
    wide_offsets, wide_stride, narrow_offsets, narrow_stride, pieces, spans, piece_rows,
    positions, tile_rows, items, labels, narrow_labels, wanted, extra,
    TILE: tl.constexpr, LABELS: tl.constexpr, SHARES: tl.constexpr,
):  # fmt: skip
    """Both tables of ``Pieces``; ``wanted`` pieces, ``extra`` partial rows."""
    b = (tl.program_id(0) // SHARES).to(tl.int64)
    share = tl.program_id(0) % SHARES
    pieces += b * piece_rows * 5
    spans += b * positions * 3
    used = 0
    used_rows = 0
    met = 0
    for start in range(0, labels + 1, LABELS):
        begin, end, first, last, count = _groups(
            wide_offsets, wide_stride, narrow_offsets, narrow_stride, b, start, items, labels,
            narrow_labels, TILE, LABELS,
        )  # fmt: skip
        meets = last - first
        share_of = count.to(tl.int64)
        allowed = share_of * extra // (tile_rows * tl.maximum(meets, 1).to(tl.int64))
        more = tl.minimum(share_of * wanted // tile_rows, allowed).to(tl.int32)
        length = tl.maximum((count + more) // (1 + more), 1)
        parts = (count + length - 1) // length
        row = used + tl.cumsum(parts, 0) - parts
        used += tl.sum(parts, 0)
        partial = used_rows + tl.cumsum(parts * meets, 0) - parts * meets
        used_rows += tl.sum(parts * meets, 0)
        for part in range(share, tl.max(parts, 0), SHARES):
            place = pieces + (row + part) * 5
            at = begin + part * length * TILE
            stop = tl.minimum(at + length * TILE, end)
            _store_row(place, at, stop, first, last, part < parts)
            tl.store(place + 4, partial + part * meets, part < parts)
        for position in range(share, tl.max(meets, 0), SHARES):
            place = spans + (first + position) * 3
            mask = position < meets
            tl.store(place, tl.where(parts > 0, partial + position, 0), mask)
            tl.store(place + 1, tl.where(parts > 0, meets, 0), mask)
            tl.store(place + 2, parts, mask)
        met = tl.maximum(met, tl.max(last, 0))
    _clear(pieces, used, piece_rows, share, 5, SHARES, LABELS)
    _clear(spans, met, positions, share, 3, SHARES, LABELS)
