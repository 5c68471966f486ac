# SPDX-License-Identifier: Apache-2.0
"""Labels of any dtype and stride, and the groups that they name; see ``sort.py``."""

import triton
import triton.language as tl

_FLIP = tl.constexpr(-(2**63))


@triton.jit
def load_labels(labels, stride, item, items):
    """Labels as int64, -1 outside."""
    inside = item < items
    label = tl.load(labels + item.to(tl.int64) * stride, mask=inside, other=0).to(tl.int64)
    return tl.where(inside, label, -1)


@triton.jit
def sortable(label):
    """With the sign bit flipped, so negative, and 0 where ignored: these come last."""
    return tl.where(label >= 0, label ^ _FLIP, 0)


@triton.jit
def load_groups(
    labels, stride, start, items, names, groups, BLOCK: tl.constexpr, STEPS: tl.constexpr
):
    """Of BLOCK items from ``start`` on; ``groups`` outside."""
    item = start + tl.arange(0, BLOCK)
    label = load_labels(labels, stride, item, items)
    if names is None:
        return tl.where((label >= 0) & (label < groups), label, groups).to(tl.int32)
    else:
        label = sortable(label)
        low = tl.zeros((BLOCK,), tl.int32)
        high = low + groups
        for _ in tl.static_range(STEPS):
            middle = (low + high) // 2
            open = low < high
            less = tl.load(names + middle, mask=open, other=0) < label
            low = tl.where(open & less, middle + 1, low)
            high = tl.where(open & (less == 0), middle, high)
        name = tl.load(names + low, mask=low < groups, other=0)
        return tl.where((name == label) & (label < 0), low, groups)
