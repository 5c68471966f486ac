# SPDX-License-Identifier: Apache-2.0
"""``scam::sort_sides``, ``sort_labels``, ``lay_out``: labels sorted once for all uses."""

from typing import Any, cast

import torch
from torch import Tensor

from scam.ops.registration import as_saved, define
from scam.ops.sorting import Layouts, Side, unsorted_groups

SORTING = ("triton", "cuda")
"""Backends whose kernels take items in the order of their labels."""
_BOTH = (
    "sort_sides(Tensor first, Tensor second, bool by_size) -> "
    "(Tensor first_order, Tensor first_offsets, Tensor second_order, Tensor second_offsets)"
)
_ONE = "sort_labels(Tensor labels, SymInt count) -> (Tensor order, Tensor offsets)"
_LAYOUT = "lay_out(Tensor labels, SymInt count) -> (Tensor known, Tensor order, Tensor offsets)"


def layouts_for(backend: str, first: Side, second: Side, by_size: bool) -> Layouts:
    """The layouts of both sides that a backend's kernels need, sorted here where not given.

    Args:
        backend: what is not in ``SORTING`` needs none.
        first, second: the second is the narrow side (see :mod:`scam.ops.sorting`).
        by_size: the shorter side is the narrow one, the second if they are equal.
    """
    (labels, (order, offsets)), (others, (other_order, other_offsets)) = first, second
    if backend in SORTING:
        if offsets is None and other_offsets is None:
            return cast(Layouts, tuple(sort_sides(labels, others, by_size)))
        if offsets is None and other_offsets is not None:
            order, offsets = sort_labels(labels, other_offsets.shape[1] - 1)
        elif offsets is not None and other_offsets is None:
            other_order, other_offsets = sort_labels(others, offsets.shape[1] - 1)
    return order, offsets, other_order, other_offsets


def _sort_sides(first: Tensor, second: Tensor, by_size: bool) -> tuple[Tensor, ...]:
    from scam.ops.backends import triton_plan

    with torch.cuda.device_of(first):
        swapped = by_size and first.shape[1] < second.shape[1]
        wide, narrow = (second, first) if swapped else (first, second)
        made = triton_plan.sort_sides((wide, (None, None)), (narrow, (None, None)))
    of_wide, of_narrow = (made.order, made.offsets), (made.narrow_order, made.narrow_offsets)
    return (*of_narrow, *of_wide) if swapped else (*of_wide, *of_narrow)


def _sort_sides_fake(first: Tensor, second: Tensor, by_size: bool) -> tuple[Tensor, ...]:
    count: Any = second.shape[1]
    if by_size:
        count = torch.sym_min(first.shape[1], count)
    _, kept = unsorted_groups((first.dtype, second.dtype), count)
    return *_sorted_like(first, kept), *_sorted_like(second, kept)


def _sort_labels(labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    from scam.ops.backends import triton_plan

    with torch.cuda.device_of(labels):
        return triton_plan.sort_labels(labels, count)


def _lay_out(labels: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    from scam.ops.backends import triton_plan

    with torch.cuda.device_of(labels):
        return triton_plan.lay_out(labels, count)


def _lay_out_fake(labels: Tensor, count: Any) -> tuple[Tensor, Tensor, Tensor]:
    return labels.new_empty(labels.shape, dtype=torch.int32), *_sorted_like(labels, count)


def _sorted_like(labels: Tensor, count: Any) -> tuple[Tensor, Tensor]:
    order = labels.new_empty(labels.shape, dtype=torch.int32)
    return order, labels.new_empty((labels.shape[0], count + 1), dtype=torch.int32)


sort_sides = define(_BOTH, _sort_sides, _sort_sides_fake, as_saved)
sort_labels = define(_ONE, _sort_labels, _sorted_like, as_saved)
lay_out = define(_LAYOUT, _lay_out, _lay_out_fake, as_saved)
