# SPDX-License-Identifier: Apache-2.0
"""Both sides of the op by label, for GPU kernels: sorted once a call, and kept for backward.

The longer side of the op is *wide* (pixels), the other *narrow* (latents). All results are int32.
Their shapes depend on shapes and dtypes alone; nothing waits for the device. What is here is plain
PyTorch; on a GPU ``scam/ops/backends/triton_plan.py`` makes the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Sorted = tuple[Tensor | None, Tensor | None]
"""Order (B, count) and offsets (B, labels + 1) of a SemanticLayout, or (None, None)."""
Side = tuple[Tensor, Sorted]
"""Labels (B, count) of one side of the op, and how they are sorted."""
Layouts = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]
"""Query order (B, Nq), query offsets (B, s + 1), key order (B, Nk), key offsets (B, s + 1); None
where labels came without a layout. Of a modulation: pixels and tokens."""
SMALL_DTYPES = {torch.uint8: 256, torch.int8: 128}
"""How many labels that are not negative a dtype has, where that is few."""


@dataclass(frozen=True, eq=False)
class SortedSides:
    """Both sides by label: what :func:`sort_sides` makes.

    A *group* is a label under the number that both sides give it; it may be empty.

    Attributes:
        order: (B, N), wide items group by group, stable, ignored ones last.
        offsets: (B, G), where in ``order`` each group begins, the last of them that of ignored
            items.
        narrow_order: (B, M), likewise.
        narrow_offsets: (B, G'), likewise; groups that it lacks are empty.
    """

    order: Tensor
    offsets: Tensor
    narrow_order: Tensor
    narrow_offsets: Tensor

    def tile_rows(self, tile: int) -> int:
        """Upper bound on the tiles of at most ``tile`` wide items, for any label map."""
        return -(-self.order.shape[1] // tile) + self.offsets.shape[1]

    def piece_rows(self, tile: int, pieces: int) -> int:
        """Upper bound on the pieces, where about ``pieces`` are wanted."""
        return min(self.tile_rows(tile), self.offsets.shape[1] + pieces)


def unsorted_groups(dtypes: Sequence[torch.dtype], narrow: Any) -> tuple[int | None, Any]:
    """By what labels without a layout are found, and how many groups are left of them.

    Where a dtype is small each of its labels, the first number, is counted; of those the ones that
    no narrow item has are left out again. Labels of unknown range (None) are named after narrow
    items. Either way at most ``narrow`` groups are left, the number of narrow items.
    """
    found = [SMALL_DTYPES[dtype] for dtype in dtypes if dtype in SMALL_DTYPES]
    return (min(found), torch.sym_min(narrow, min(found))) if found else (None, narrow)


def sort_sides(wide: Side, narrow: Side) -> SortedSides:
    """Sort both sides by label; a side with a layout is sorted already.

    Args:
        wide: labels (B, N), any integer dtype, negative meets nothing; with order and offsets if
            they come from a layout.
        narrow: labels (B, M), likewise.

    Returns:
        Sides of G = L + 1 groups, where L is the number of labels of a layout, the wide one
        before the narrow one; else at most M, see :func:`unsorted_groups`.
    """
    given = sort_by_layout(wide, narrow, sort_labels)
    if given is not None:
        return given
    (labels, _), (narrow_labels, _) = wide, narrow
    dtypes = labels.dtype, narrow_labels.dtype
    few, kept = unsorted_groups(dtypes, narrow_labels.shape[1])
    if few is None:
        return _sort_any(labels, narrow_labels)
    return _sort_few(labels, narrow_labels, few, kept)


def sort_by_layout(
    wide: Side, narrow: Side, sort: Callable[[Tensor, int], tuple[Tensor, Tensor]]
) -> SortedSides | None:
    """Both sides where one has a layout at least, the other sorted by ``sort``; else None.

    sort: :func:`sort_labels`, or what makes the same.
    """
    (labels, (order, offsets)), (narrow_labels, (narrow_order, narrow_offsets)) = wide, narrow
    given = narrow_offsets if offsets is None else offsets
    if given is None:
        return None
    count = given.shape[1] - 1
    if order is None or offsets is None:
        order, offsets = sort(labels, count)
    if narrow_order is None or narrow_offsets is None:
        narrow_order, narrow_offsets = sort(narrow_labels, count)
    return SortedSides(order, offsets, narrow_order, narrow_offsets)


def sort_labels(labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Order (B, N) and offsets (B, ``count`` + 1) of labels 0 .. ``count`` - 1, others ignored."""
    return _sort(_bounded(labels, count), count)


def lay_out(labels: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """:func:`sort_labels`, and before its results the labels as int32, -1 for those ignored."""
    bounded = _bounded(labels, count)
    known = torch.where(bounded < count, bounded, -1).to(torch.int32)
    return known, *_sort(bounded, count)


def _sort_few(wide: Tensor, narrow: Tensor, labels: int, kept: int) -> SortedSides:
    """Labels 0 .. ``labels`` - 1: those that both sides have, in order, are the groups."""
    narrow_order, narrow_offsets = sort_labels(narrow, labels)
    met = torch.nn.functional.pad(narrow_offsets.diff(dim=1) > 0, (0, 1))
    bounded = _bounded(wide, labels)
    order, offsets = _sort(torch.where(met.gather(1, bounded), bounded, labels), labels)
    number = torch.where(met, met.cumsum(1) - 1, kept)

    def of_groups(offsets: Tensor) -> Tensor:
        ends = offsets[:, -1:]
        begins = torch.where(met, offsets, ends)
        return ends.expand(-1, kept + 1).clone().scatter(1, number, begins)

    return SortedSides(order, of_groups(offsets), narrow_order, of_groups(narrow_offsets))


def _sort_any(wide: Tensor, narrow: Tensor) -> SortedSides:
    """Labels of unknown range: a group is named by the first narrow position of its label."""
    count = narrow.shape[1]
    in_order, narrow_order = _sortable(narrow).sort(dim=1, stable=True)
    first = torch.searchsorted(in_order, in_order, out_int32=True)
    last = torch.searchsorted(in_order, in_order, right=True, out_int32=True)
    known = (in_order < 0).sum(1, keepdim=True, dtype=torch.int32)
    position = torch.arange(count, dtype=torch.int32, device=narrow.device)
    begins = torch.where(first == position, first, last).minimum(known)
    labels = _sortable(wide)
    met_at = torch.searchsorted(in_order, labels, out_int32=True)
    meets = torch.searchsorted(in_order, labels, right=True, out_int32=True) > met_at
    order, offsets = _sort(torch.where(meets & (labels < 0), met_at, count), count)
    narrow_offsets = torch.cat((begins, known), 1)
    return SortedSides(order, offsets, narrow_order.to(torch.int32), narrow_offsets)


def _sortable(labels: Tensor) -> Tensor:
    """Labels with the sign bit flipped, so negative, and 0 for ignored ones: these come last."""
    flipped = labels.to(torch.int64).bitwise_xor(torch.iinfo(torch.int64).min)
    return flipped.clamp(max=0).contiguous()


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
