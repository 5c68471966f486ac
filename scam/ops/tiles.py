# SPDX-License-Identifier: Apache-2.0
"""How GPU kernels divide the op: tiles of one label each, made without looking at any value.

The longer side of the op is *wide* (pixels), the other *narrow* (latents). Wide items are taken
in an order that brings equal labels together and cut into tiles; a tile meets one run of narrow
items. Sums over wide items are made piece by piece, a piece being consecutive tiles of a label,
into a bounded number of partial rows, and added up in a second stage in a fixed order.

All tensors are int32. Their shapes depend on shapes alone; nothing waits for the device.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

Sorted = tuple[Tensor | None, Tensor | None]
"""Order (B, count) and offsets (B, labels + 1) of a SemanticLayout, or (None, None)."""
Side = tuple[Tensor, Sorted]
"""Labels (B, count) of one side of the op, and how they are sorted."""
PIECES = 1024  # programs or blocks that a sum over wide items is divided between
PARTIAL_BYTES = 8 << 20  # partial rows beyond one per narrow item and head


@dataclass(frozen=True, eq=False)
class TilePlan:
    """What :func:`plan` makes. All ranges are half-open.

    Attributes:
        order: (B, N), wide items label by label, stable, ignored ones last.
        narrow_order: (B, M), narrow items label by label, stable, ignored ones last.
        tiles: (B, R, 4): begin and end in ``order``, first and last in ``narrow_order``. One
            label each, at most ``tile`` items; first == last where they meet nothing. The tiles
            of a label are consecutive rows. Unused rows are (0, 0, 0, 0).
        spans: (B, M, 2), for the narrow item at each position of ``narrow_order``: the rows of
            ``tiles`` that have its label; (0, 0) if none has.
        groups: (B, G, 4), the tiles of a label in one row, numbers as in ``tiles``; many may be
            empty. The last one holds ignored items.
        narrow_group: (B, M), the row of ``groups`` of each position of ``narrow_order``; G - 1:
            none has its label.
        tile: the most items in a tile.
    """

    order: Tensor
    narrow_order: Tensor
    tiles: Tensor
    spans: Tensor
    groups: Tensor
    narrow_group: Tensor
    tile: int


@dataclass(frozen=True, eq=False)
class Pieces:
    """What :func:`split` makes.

    Attributes:
        pieces: (B, P, 5): begin, end, first, last as in ``TilePlan.tiles``, but for consecutive
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


def plan(wide: Side, narrow: Side, tile: int) -> TilePlan:
    """Cut the wide side into tiles of one label.

    Args:
        wide: labels (B, N), any integer dtype, negative meets nothing; with order and offsets if
            they come from a layout: nothing is sorted.
        narrow: labels (B, M), likewise.
        tile: T, the most wide items in a tile.

    Returns:
        A plan with G = L + 1 and R = ceil(N / T) + G, where L is the number of labels of the
        wide layout, else of the narrow one, else M.
    """
    wide_labels, (wide_order, wide_offsets) = wide
    narrow_labels, (narrow_order, narrow_offsets) = narrow
    given = narrow_offsets if wide_offsets is None else wide_offsets
    if given is None:
        return _plan_any_labels(wide_labels, narrow_labels, tile)
    labels = given.shape[1] - 1
    if wide_order is None or wide_offsets is None:
        wide_order, wide_offsets = _sort(_bounded(wide_labels, labels), labels)
    bounded = _bounded(narrow_labels, labels)
    if narrow_order is None or narrow_offsets is None:
        narrow_order, narrow_offsets = _sort(bounded, labels)
    elif narrow_offsets.shape[1] != labels + 1:  # one side has labels the other does not have
        index = torch.arange(labels + 1, device=narrow_offsets.device)
        narrow_offsets = narrow_offsets[:, index.clamp(max=narrow_offsets.shape[1] - 1)]
    narrow_group = bounded.gather(1, narrow_order.long()).to(torch.int32)
    meets = narrow_offsets[:, :-1], narrow_offsets[:, 1:]
    return _cut(wide_order, wide_offsets, narrow_order, narrow_group, meets, tile)


def split(plan: TilePlan, pieces: int, rows: int) -> Pieces:
    """Divide the tiles of every label into pieces, for sums over wide items in two stages.

    Args:
        plan: the tiles.
        pieces: about how many pieces to make of all tiles; P = min(R, G + pieces).
        rows: partial rows beyond one per narrow item: ``Pieces.rows`` is M + rows.
    """
    count, groups = plan.tiles.shape[1], plan.groups.shape[1]
    begins, ends, firsts, lasts = plan.groups.unbind(-1)
    tiles, meets = _tiles_in(plan.groups, plan.tile), lasts - firsts
    # Each group's share of the two budgets is in proportion to its tiles, rounded down.
    wanted = tiles.long() * pieces // count
    allowed = tiles.long() * rows // (count * meets.clamp(min=1))
    extra = torch.minimum(wanted, allowed).to(torch.int32)
    length = ((tiles + extra) // (1 + extra)).clamp(min=1)
    parts = (tiles + length - 1) // length
    parts_up_to = parts.cumsum(1, dtype=torch.int32)
    first_row = (parts * meets).cumsum(1, dtype=torch.int32) - parts * meets

    columns = (begins, ends, firsts, lasts, first_row, parts_up_to - parts, length * plan.tile)
    of_part, part, used = _spread(
        torch.stack(columns, -1), parts_up_to, min(count, groups + pieces)
    )
    begin, end, first, last, row, first_part, step = of_part.unbind(-1)
    begin = begin + (part - first_part) * step
    row = row + (part - first_part) * (last - first)
    table = torch.stack((begin, torch.minimum(begin + step, end), first, last, row), -1)

    of_narrow = _pick(torch.stack((first_row - firsts, meets, parts), -1), plan.narrow_group)
    start, step, parts = of_narrow.unbind(-1)
    position = torch.arange(start.shape[1], dtype=torch.int32, device=start.device)
    met = (step > 0) & (parts > 0)
    spans = torch.stack((start + position, step, parts), -1).masked_fill(~met[..., None], 0)
    return Pieces(table.masked_fill(~used, 0), spans, start.shape[1] + rows)


def _plan_any_labels(wide_labels: Tensor, narrow_labels: Tensor, tile: int) -> TilePlan:
    """Labels of unknown range: a group is named by the first narrow position of its label."""
    count = narrow_labels.shape[1]
    in_order, narrow_order = _sortable(narrow_labels).sort(dim=1, stable=True)
    first = torch.searchsorted(in_order, in_order, out_int32=True)
    last = torch.searchsorted(in_order, in_order, right=True, out_int32=True)
    wide = _sortable(wide_labels)
    met_at = torch.searchsorted(in_order, wide, out_int32=True)
    meets = torch.searchsorted(in_order, wide, right=True, out_int32=True) > met_at
    wide_group = torch.where(meets & (wide < 0), met_at, count)
    order, offsets = _sort(wide_group, count)
    narrow_group = torch.where(in_order < 0, first, count)
    narrow_order = narrow_order.to(torch.int32)
    return _cut(order, offsets, narrow_order, narrow_group, (first, last), tile)


def _sortable(labels: Tensor) -> Tensor:
    """Labels with the sign bit flipped: ignored ones come last and are >= 0."""
    return labels.to(torch.int64).bitwise_xor(torch.iinfo(torch.int64).min).contiguous()


def _bounded(labels: Tensor, count: int) -> Tensor:
    """Labels as int64, ``count`` where there is no group for them."""
    labels = labels.to(torch.int64)
    return torch.where((labels >= 0) & (labels < count), labels, count)


def _sort(groups: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Items by group number in 0 .. ``count``: order and offsets (B, ``count`` + 1) in it."""
    narrowest = torch.int16 if count < 2**15 else torch.int32  # a radix sort counts bits
    in_order, order = groups.to(narrowest).sort(dim=1, stable=True)
    starts = torch.arange(count + 1, dtype=narrowest, device=groups.device)
    starts = starts.expand(groups.shape[0], -1).contiguous()
    return order.to(torch.int32), torch.searchsorted(in_order, starts, out_int32=True)


def _cut(
    order: Tensor,
    offsets: Tensor,
    narrow_order: Tensor,
    narrow_group: Tensor,
    meets: tuple[Tensor, Tensor],
    tile: int,
) -> TilePlan:
    """Tables of groups whose items are given by ``offsets``, narrow items by ``meets``."""
    count = order.shape[1]
    groups = torch.nn.functional.pad(
        torch.stack((offsets[:, :-1], offsets[:, 1:], *meets), -1), (0, 0, 0, 1)
    )
    groups[:, -1, 0], groups[:, -1, 1] = offsets[:, -1], count
    pieces = _tiles_in(groups, tile)
    up_to = pieces.cumsum(1, dtype=torch.int32)
    before = up_to - pieces
    table = torch.cat((groups, before[..., None]), -1)
    of_row, row, used = _spread(table, up_to, -(-count // tile) + groups.shape[1])
    begin, end, first, last, first_row = of_row.unbind(-1)
    begin = begin + (row - first_row) * tile
    tiles = torch.stack((begin, torch.minimum(begin + tile, end), first, last), -1)
    spans = _pick(torch.stack((before, up_to, pieces), -1), narrow_group)
    met = (spans[..., 2:] > 0) & (narrow_group < groups.shape[1] - 1)[..., None]
    return TilePlan(
        order=order,
        narrow_order=narrow_order,
        tiles=tiles.masked_fill(~used, 0),
        spans=spans[..., :2].masked_fill(~met, 0),
        groups=groups,
        narrow_group=narrow_group,
        tile=tile,
    )


def _tiles_in(groups: Tensor, tile: int) -> Tensor:
    return (groups[..., 1] - groups[..., 0] + tile - 1) // tile


def _spread(table: Tensor, up_to: Tensor, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """Repeat each row of ``table`` (B, G, C) as often as ``up_to`` (B, G), a running sum, says.

    Returns:
        (B, ``rows``, C); row numbers (``rows``,); which rows are used, (B, ``rows``, 1).
    """
    row = torch.arange(rows, dtype=torch.int32, device=up_to.device)
    group = torch.searchsorted(
        up_to, row.expand(up_to.shape[0], -1).contiguous(), right=True, out_int32=True
    )
    used = group < up_to.shape[1]
    return _pick(table, group.clamp(max=up_to.shape[1] - 1)), row, used[..., None]


def _pick(table: Tensor, index: Tensor) -> Tensor:
    """Rows of ``table`` (B, G, C) by ``index`` (B, n)."""
    return table.gather(1, index.long()[..., None].expand(-1, -1, table.shape[2]))
