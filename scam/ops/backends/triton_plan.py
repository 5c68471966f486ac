# SPDX-License-Identifier: Apache-2.0
"""The tile plan as the Triton kernels use it: each table is made when it is asked for."""

from functools import cached_property
from typing import Any, cast

from torch import Tensor

from scam.ops import tiles
from scam.ops.backends.triton_launch import launch, rows
from scam.ops.tiles import Pieces, Side

MOST_LABELS = 1023  # that a program of the planning kernels can look through
ROWS = 32  # of a table, per program
MANY_LABELS = 255  # beyond that more rows than LEAST_ROWS would spill, and compile for 10 s
LEAST_ROWS = 8


_Given = tuple[Tensor, Tensor, Tensor, Tensor]


def _same_labels(offsets: Tensor | None, others: Tensor | None) -> bool:
    if offsets is None or others is None:
        return False
    return offsets.shape[1] == others.shape[1] <= MOST_LABELS + 1


class TileTables:
    """The tables of :mod:`scam.ops.tiles` for one pair of sides.

    With two layouts of the same labels each table is one launch; else PyTorch makes them.

    Attributes:
        order, narrow_order: as in :class:`scam.ops.tiles.TilePlan`.
        tile: the most wide items in a tile.
    """

    def __init__(self, wide: Side, narrow: Side, tile: int):
        (order, offsets), (narrow_order, narrow_offsets) = wide[1], narrow[1]
        self.tile = tile
        self._offsets: tuple[Tensor, Tensor] | None = None
        given = (order, offsets, narrow_order, narrow_offsets)
        if _same_labels(offsets, narrow_offsets):
            self.order, offsets, self.narrow_order, narrow_offsets = cast(_Given, given)
            self._offsets = offsets, narrow_offsets
            return
        self._plan = tiles.plan(wide, narrow, tile)
        self.order, self.narrow_order = self._plan.order, self._plan.narrow_order

    @property
    def orders(self) -> tuple[Tensor, int, Tensor, int]:
        """Both orders as kernels take them."""
        return self.order, self.order.stride(0), self.narrow_order, self.narrow_order.stride(0)

    @cached_property
    def tiles(self) -> Tensor:
        """(B, R, 4), as in :class:`scam.ops.tiles.TilePlan`."""
        if self._offsets is None:
            return self._plan.tiles
        from scam.kernels.sca_triton import plan

        batch = self.order.shape[0]
        table = self.order.new_empty(batch, self._tile_rows, 4)
        self._launch(plan.cut, self._tile_rows, (table, self._tile_rows))
        return table

    def split(self, pieces: int, rows: int) -> Pieces:
        """As :func:`scam.ops.tiles.split`."""
        if self._offsets is None:
            return tiles.split(self._plan, pieces, rows)
        from scam.kernels.sca_triton import plan

        batch, positions = self.narrow_order.shape
        piece_rows = min(self._tile_rows, self._offsets[0].shape[1] + pieces)
        table = self.order.new_empty(batch, piece_rows, 5)
        spans = self.order.new_empty(batch, positions, 3)
        outputs = (table, spans, piece_rows, positions, self._tile_rows)
        self._launch(plan.split, max(piece_rows, positions), outputs, pieces, rows)
        return Pieces(table, spans, positions + rows)

    @property
    def _tile_rows(self) -> int:
        assert self._offsets is not None
        return -(-self.order.shape[1] // self.tile) + self._offsets[0].shape[1]

    def _launch(
        self, kernel: object, rows: int, outputs: tuple[object, ...], *budget: int
    ) -> None:
        assert self._offsets is not None
        wide, narrow = self._offsets
        groups = wide.shape[1]
        block = LEAST_ROWS if groups - 1 > MANY_LABELS else ROWS
        wide, narrow = (t if t.stride(1) == 1 else t.contiguous() for t in (wide, narrow))
        launch(
            kernel, self.order.shape[0] * -(-rows // block),
            wide, wide.stride(0), narrow, narrow.stride(0), *outputs,
            self.order.shape[1], groups - 1, *budget,
            TILE=self.tile, LABELS=max(2, 1 << (groups - 1).bit_length()), BLOCK=block,
            warps=4, stages=1,
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
