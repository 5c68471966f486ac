# SPDX-License-Identifier: Apache-2.0
"""How GPU kernels divide the op: tiles of one label each, made without looking at any value.

The wide side, sorted by label (``scam/ops/sorting.py``), is cut into tiles; a tile meets one run
of narrow items. Sums over wide items are made piece by piece, a piece being consecutive tiles of a
label, into a bounded number of partial rows, and added up in a second stage in a fixed order.

All tensors are int32. Their shapes depend on shapes alone; nothing waits for the device. What is
here is plain PyTorch; on a GPU ``scam/ops/backends/triton_plan.py`` makes the same in one launch.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from scam.ops.sorting import SortedSides

PIECES = 1024  # programs or blocks that a sum over wide items is divided between
PARTIAL_BYTES = 8 << 20  # partial rows beyond one per narrow item and head


@dataclass(frozen=True, eq=False)
class Pieces:
    """What :func:`split` makes.

    Attributes:
        pieces: (B, P, 5): begin, end, first, last as of :func:`cut`, but for consecutive
            tiles of a label (cut at begin + tile, begin + 2 * tile, ...), and the partial row of
            the narrow item at ``first``; those of the items up to ``last`` follow it. Unused rows
            are zeros.
        spans: (B, M, 3), for the narrow item at each position of ``narrow_order``: its partial
            row in the label's first piece, the step to that in the next, how many there are.
        rows: partial rows to allocate per batch element and head; no label map needs more.
    """

    pieces: Tensor
    spans: Tensor
    rows: int


def cut(sides: SortedSides, tile: int) -> Tensor:
    """Tiles (B, R, 4): begin and end in ``order``, first and last in ``narrow_order``.

    One label each, at most ``tile`` items; first == last where they meet nothing. The tiles of a
    label are consecutive rows. R = ceil(N / tile) + G; unused rows, the last, are zeros.
    """
    groups = _groups(sides)
    count = _tiles_in(groups, tile)
    up_to = count.cumsum(1, dtype=torch.int32)
    table = torch.cat((groups, (up_to - count)[..., None]), -1)
    of_row, row, used = _spread(table, up_to, sides.tile_rows(tile))
    begin, end, first, last, first_row = of_row.unbind(-1)
    begin = begin + (row - first_row) * tile
    tiles = torch.stack((begin, torch.minimum(begin + tile, end), first, last), -1)
    return tiles.masked_fill(~used, 0)


def split(sides: SortedSides, tile: int, pieces: int, rows: int) -> Pieces:
    """Divide the tiles of every label into pieces, for sums over wide items in two stages.

    Args:
        sides: what is cut.
        tile: the most wide items in a tile.
        pieces: about how many pieces to make of all tiles; P = min(R, G + pieces).
        rows: partial rows beyond one per narrow item: ``Pieces.rows`` is M + rows.
    """
    groups, count = _groups(sides), sides.tile_rows(tile)
    begins, ends, firsts, lasts = groups.unbind(-1)
    tiles, meets = _tiles_in(groups, tile), lasts - firsts
    # Each group's share of the two budgets is in proportion to its tiles, rounded down.
    wanted = tiles.long() * pieces // count
    allowed = tiles.long() * rows // (count * meets.clamp(min=1))
    extra = torch.minimum(wanted, allowed).to(torch.int32)
    length = ((tiles + extra) // (1 + extra)).clamp(min=1)
    parts = (tiles + length - 1) // length
    parts_up_to = parts.cumsum(1, dtype=torch.int32)
    first_row = (parts * meets).cumsum(1, dtype=torch.int32) - parts * meets

    columns = (begins, ends, firsts, lasts, first_row, parts_up_to - parts, length * tile)
    piece_rows = sides.piece_rows(tile, pieces)
    of_part, part, used = _spread(torch.stack(columns, -1), parts_up_to, piece_rows)
    begin, end, first, last, row, first_part, step = of_part.unbind(-1)
    begin = begin + (part - first_part) * step
    row = row + (part - first_part) * (last - first)
    table = torch.stack((begin, torch.minimum(begin + step, end), first, last, row), -1)

    of_meets = torch.stack((first_row - firsts, meets, parts), -1)
    positions = sides.narrow_order.shape[1]
    of_narrow, position, met = _spread(of_meets, lasts[:, :-1], positions)
    start, step, parts = of_narrow.unbind(-1)
    met = met & (parts > 0)[..., None]
    spans = torch.stack((start + position, step, parts), -1).masked_fill(~met, 0)
    return Pieces(table.masked_fill(~used, 0), spans, spans.shape[1] + rows)


def _groups(sides: SortedSides) -> Tensor:
    """(B, G, 4): begin, end, first, last of each group; of ignored items the last two are 0."""
    offsets, narrow = sides.offsets, sides.narrow_offsets
    if narrow.shape[1] != offsets.shape[1]:  # one side has labels the other does not have
        index = torch.arange(offsets.shape[1], device=narrow.device)
        narrow = narrow[:, index.clamp(max=narrow.shape[1] - 1)]
    known = torch.stack((offsets[:, :-1], offsets[:, 1:], narrow[:, :-1], narrow[:, 1:]), -1)
    groups = torch.nn.functional.pad(known, (0, 0, 0, 1))
    groups[:, -1, 0], groups[:, -1, 1] = offsets[:, -1], sides.order.shape[1]
    return groups


def _tiles_in(groups: Tensor, tile: int) -> Tensor:
    return (groups[..., 1] - groups[..., 0] + tile - 1) // tile


def _spread(table: Tensor, up_to: Tensor, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Repeat each row of ``table`` (B, G, C) as often as ``up_to`` (B, G), a running sum, says.

    Returns:
        (B, ``rows``, C); row numbers (``rows``,); which rows are used, (B, ``rows``, 1).
    """
    row = torch.arange(rows, dtype=torch.int32, device=up_to.device)
    group = torch.searchsorted(
        up_to.contiguous(), row.expand(up_to.shape[0], -1).contiguous(), right=True, out_int32=True
    )
    used = group < up_to.shape[1]
    index = group.clamp(max=table.shape[1] - 1).long()[..., None]
    return table.gather(1, index.expand(-1, -1, table.shape[2])), row, used[..., None]
