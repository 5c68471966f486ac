# SPDX-License-Identifier: Apache-2.0
"""Sorted labels, tiles and pieces by the kernels in ``kernels/sca_triton``, for every GPU backend.

What ``scam/ops/sorting.py`` and ``tiles.py`` make, number by number, in a few launches: two to
sort, three where the labels' range is unknown, and one for each table.
"""

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from scam.ops import sorting, tiles
from scam.ops.backends.triton_launch import available, launch, rows
from scam.ops.sorting import Side, SortedSides
from scam.ops.tiles import Pieces

MOST_GROUPS = 4095  # that a program of the sorting kernels holds; PyTorch sorts for more
BLOCK = 1024  # items per program when sorting
MANY_BLOCKS = 64  # from then on their sums are worth a launch
NUMBERS = 8192  # of counts, at once in a program
RANKED, COMPARED = 32, 64  # items per program, and with how many at a time
LABELS, SHARES = 256, 16  # groups at a time, and programs per batch element, for a table
PROGRAMS = 4096  # keep any GPU busy
LOOSE = 3  # times as many rows of a table, and programs take several
MOST_TURNS = 15  # less than the 16 that Triton would compile for


def sort_sides(wide: Side, narrow: Side) -> SortedSides:
    """As :func:`scam.ops.sorting.sort_sides`."""
    (labels, _), (narrow_labels, _) = wide, narrow
    if not (available(labels) and labels.numel() and narrow_labels.numel()):
        return sorting.sort_sides(wide, narrow)
    given = sorting.sort_by_layout(wide, narrow, sort_labels)
    if given is not None:
        return given
    dtypes = labels.dtype, narrow_labels.dtype
    few, kept = sorting.unsorted_groups(dtypes, narrow_labels.shape[1])
    if few is not None:
        return SortedSides(*_sorted(labels, narrow_labels, None, few, kept))
    if kept > MOST_GROUPS:
        return sorting.sort_sides(wide, narrow)
    names, narrow_order, narrow_offsets = _ranked(narrow_labels)
    order, offsets = _sorted(labels, None, names, kept, kept)
    return SortedSides(order, offsets, narrow_order, narrow_offsets)


def sort_labels(labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """As :func:`scam.ops.sorting.sort_labels`."""
    if not available(labels) or count > MOST_GROUPS or not labels.numel():
        return sorting.sort_labels(labels, count)
    order, offsets = _sorted(labels, None, None, count, count)
    return order, offsets


def lay_out(labels: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """As :func:`scam.ops.sorting.lay_out`."""
    if not available(labels) or count > MOST_GROUPS or not labels.numel():
        return sorting.lay_out(labels, count)
    known = labels.new_empty(labels.shape, dtype=torch.int32)
    order, offsets = _sorted(labels, None, None, count, count, known)
    return known, order, offsets


def _ranked(labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Few labels of unknown range: names, order and offsets as of the kernel ``rank``."""
    from scam.kernels.sca_triton import sort

    batch, count = labels.shape
    order = labels.new_empty(batch, count, dtype=torch.int32)
    offsets = labels.new_empty(batch, count + 1, dtype=torch.int32)
    names = labels.new_empty(batch, count, dtype=torch.int64)
    launch(
        sort.rank, batch * -(-count // RANKED), labels, *labels.stride(), order, offsets, names,
        count, ITEMS=RANKED, BLOCK=COMPARED, warps=4, stages=1,
    )  # fmt: skip
    return names, order, offsets


def _sorted(
    labels: Tensor,
    narrow: Tensor | None,
    names: Tensor | None,
    groups: int,
    kept: int,
    known: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """Order and offsets (B, ``kept`` + 1) of labels below ``groups`` or named; of ``narrow``.

    ``known`` is filled with the labels, -1 for others.
    """
    from scam.kernels.sca_triton import sort

    batch, items = labels.shape
    positions = 0 if narrow is None else narrow.shape[1]
    blocks, narrow_blocks = -(-items // BLOCK), -(-positions // BLOCK)
    results: list[Tensor | None] = [None] * 4
    for side, count in enumerate((items,) if narrow is None else (items, positions)):
        results[2 * side] = labels.new_empty(batch, count, dtype=torch.int32)
        results[2 * side + 1] = labels.new_empty(batch, kept + 1, dtype=torch.int32)
    all_blocks = blocks + narrow_blocks
    counts = labels.new_empty(batch, all_blocks + 1, groups + 1, dtype=torch.int32)
    in_labels = max(64, 1 << groups.bit_length())
    fixed = {"BLOCK": BLOCK, "LABELS": in_labels, "STEPS": in_labels.bit_length() - 1}
    strides = (0, 0) if narrow is None else narrow.stride()
    taken = (
        labels, *labels.stride(), items, blocks, narrow, *strides, positions, narrow_blocks,
        names, counts,
    )  # fmt: skip
    warps = 4 if in_labels <= 2048 else 8  # with four, Triton 3.6 spills the histogram
    launch(sort.count, batch * all_blocks, *taken, groups, known, **fixed, warps=warps, stages=1)
    scanned = blocks >= MANY_BLOCKS
    if scanned:
        launch(
            sort.scan, batch * -(-groups // RANKED), counts, blocks, all_blocks + 1, groups,
            GROUPS=RANKED, ROWS=COMPARED, warps=4, stages=1,
        )  # fmt: skip
    launch(
        sort.place, batch * all_blocks, *taken, *results, groups, kept, **fixed,
        ROWS=max(1, NUMBERS // in_labels), SCANNED=scanned, warps=8, stages=1,
    )  # fmt: skip
    return tuple(tensor for tensor in results if tensor is not None)


class TileTables:
    """The tables of :mod:`scam.ops.tiles`, each made when it is asked for.

    Args:
        sides: what is cut.
        tile: the most wide items in a tile.
    """

    def __init__(self, sides: SortedSides, tile: int):
        self.sides, self.tile = sides, tile
        self.order, self.narrow_order = sides.order, sides.narrow_order

    @property
    def orders(self) -> tuple[Tensor, int, Tensor, int]:
        """Both orders as kernels take them."""
        return self.order, self.order.stride(0), self.narrow_order, self.narrow_order.stride(0)

    @cached_property
    def tiles(self) -> Tensor:
        """(B, R, 4), as :func:`scam.ops.tiles.cut`."""
        if not available(self.order):
            return tiles.cut(self.sides, self.tile)
        from scam.kernels.sca_triton import plan

        count = self.sides.tile_rows(self.tile)
        table = self.order.new_empty(self.order.shape[0], count, 4)
        self._launch(plan.cut, (table, count))
        return table

    def split(self, pieces: int, rows: int) -> Pieces:
        """As :func:`scam.ops.tiles.split`."""
        if not available(self.order):
            return tiles.split(self.sides, self.tile, pieces, rows)
        from scam.kernels.sca_triton import plan

        batch, positions = self.narrow_order.shape
        piece_rows = self.sides.piece_rows(self.tile, pieces)
        table = self.order.new_empty(batch, piece_rows, 5)
        spans = self.order.new_empty(batch, positions, 3)
        outputs = (table, spans, piece_rows, positions, self.sides.tile_rows(self.tile))
        self._launch(plan.split, outputs, pieces, rows)
        return Pieces(table, spans, positions + rows)

    def grid(self, table: Tensor, copies: int) -> tuple[int, int]:
        """How many programs go through the rows of ``table``, and how many rows each takes.

        One row, unless most rows may be unused, as with many labels of unknown range: then there
        are about as many programs as full tiles, or as keep a GPU busy.

        Args:
            table: tiles or pieces.
            copies: of this grid, for batch elements, heads, chunks of channels.
        """
        rows = table.shape[1]
        wanted = max(1, -(-self.order.shape[1] // self.tile), -(-PROGRAMS // max(1, copies)))
        turns = min(MOST_TURNS, -(-rows // wanted)) if rows > LOOSE * wanted else 1
        return -(-rows // turns), turns

    def _launch(self, kernel: object, outputs: tuple[object, ...], *budget: int) -> None:
        wide, narrow = (
            t if t.stride(1) == 1 else t.contiguous()
            for t in (self.sides.offsets, self.sides.narrow_offsets)
        )
        launch(
            kernel, self.order.shape[0] * SHARES,
            wide, wide.stride(0), narrow, narrow.stride(0), *outputs,
            self.order.shape[1], wide.shape[1] - 1, narrow.shape[1] - 1, *budget,
            TILE=self.tile, LABELS=LABELS, SHARES=SHARES, warps=4, stages=1,
        )  # fmt: skip


def add_pieces(
    partial: Tensor,
    destination: Tensor,
    rest: Tensor | None,
    made: TileTables,
    parts: Pieces,
    shared: dict[str, Any],
) -> None:
    """Second stage: partial (B, H, rows, C) into destination (B, Hkv or H, M, C)."""
    from scam.kernels.sca_triton import sums
    from scam.kernels.sca_triton.configs import PARTS

    batch, heads, positions, channels = destination.shape
    chunks = -(-channels // shared["CHUNK"])
    launch(
        sums.add_pieces, batch * heads * positions * chunks,
        rows(partial), rows(destination), rest, parts.spans, *made.orders[2:],
        positions, heads, partial.shape[1] // heads, channels,
        BLOCK=PARTS, CHUNK=shared["CHUNK"], CHUNKS=chunks, warps=4, stages=1,
    )  # fmt: skip
