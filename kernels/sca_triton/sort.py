# SPDX-License-Identifier: Apache-2.0
"""Both sides of the op by label: a stable counting sort that waits for nothing.

``count`` makes a histogram of every block of BLOCK items, ``place`` writes each item's number to
where it belongs: after the smaller labels, after the blocks before, by its rank in its block.
Ranks come from sorting (group, place in block) inside the block; nothing depends on timing.

A *group* is a label, 0 .. groups - 1, and ``groups`` stands for items that are ignored. Labels of
unknown range are numbered by ``rank`` before: of few narrow items it finds the order by
comparing all with all, and a label is the first position that it has there.

LABELS is a power of two above ``groups``.
"""

import triton
import triton.language as tl
from scam.kernels.sca_triton.labels import load_groups, load_labels, sortable

# Sizes that must not be compiled for; see rows.VARYING.
VARYING = (
    "items", "positions", "groups", "kept", "blocks", "narrow_blocks",
    "rows", "batch_stride", "item_stride", "narrow_batch_stride", "narrow_item_stride",
)  # fmt: skip


@triton.jit(do_not_specialize=VARYING)
def rank(
    labels, batch_stride, item_stride, order, offsets, names, positions,
    ITEMS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """ITEMS narrow items of unknown labels: order, offsets (B, positions + 1) by first position.

    ``names`` (B, positions), int64: the labels in order, as ``sortable`` makes them.
    """
    blocks = tl.cdiv(positions, ITEMS)
    b = (tl.program_id(0) // blocks).to(tl.int64)
    item = tl.program_id(0) % blocks * ITEMS + tl.arange(0, ITEMS)
    labels += b * batch_stride
    own = sortable(load_labels(labels, item_stride, item, positions))
    less = tl.zeros((ITEMS,), tl.int32)
    earlier = tl.zeros((ITEMS,), tl.int32)
    same = tl.zeros((ITEMS,), tl.int32)
    valid = tl.zeros((1,), tl.int32)
    for start in range(0, positions, BLOCK):
        other = start + tl.arange(0, BLOCK)
        label = sortable(load_labels(labels, item_stride, other, positions))
        inside = other < positions
        equal = inside[None, :] & (label[None, :] == own[:, None])
        less += tl.sum((inside[None, :] & (label[None, :] < own[:, None])).to(tl.int32), 1)
        earlier += tl.sum((equal & (other[None, :] < item[:, None])).to(tl.int32), 1)
        same += tl.sum(equal.to(tl.int32), 1)
        valid += tl.sum((label < 0).to(tl.int32), 0)
    place = b * positions + less + earlier
    inside = item < positions
    tl.store(order + place, item, inside)
    tl.store(names + place, own, inside)
    begin = tl.where(earlier == 0, less, less + same)
    tl.store(offsets + place + b, tl.where(own < 0, begin, less), inside)
    tl.store(offsets + (b + 1) * (positions + 1) - 1 + tl.arange(0, 1), valid)


@triton.jit
def _own_block(blocks, narrow_blocks):
    """Batch element; block of its side; whether that is the narrow one, whose blocks come last."""
    all_blocks = blocks + narrow_blocks
    block = tl.program_id(0) % all_blocks
    return (tl.program_id(0) // all_blocks).to(tl.int64), block, block >= blocks


@triton.jit(do_not_specialize=VARYING)
def count(
    labels, batch_stride, item_stride, items, blocks, narrow_labels, narrow_batch_stride,
    narrow_item_stride, positions, narrow_blocks, names, counts, groups, known,
    BLOCK: tl.constexpr, LABELS: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """``counts`` (B, blocks + narrow_blocks + 1, groups + 1): a block's items of each group.

    The last row is scratch of ``scan``. ``known``, if wanted: labels, -1 for ignored items.
    """
    b, block, is_narrow = _own_block(blocks, narrow_blocks)
    row = counts + (b * (blocks + narrow_blocks + 1) + block) * (groups + 1)
    group = tl.arange(0, LABELS)
    if narrow_labels is not None:
        narrow_labels += b * narrow_batch_stride
        if is_narrow:
            start = (block - blocks) * BLOCK
            found = load_groups(
                narrow_labels, narrow_item_stride, start, positions, None, groups, BLOCK, STEPS
            )
            tl.store(row + group, tl.histogram(found, LABELS), group <= groups)
            return
    labels += b * batch_stride
    if names is not None:
        names += b * groups
    found = load_groups(labels, item_stride, block * BLOCK, items, names, groups, BLOCK, STEPS)
    tl.store(row + group, tl.histogram(found, LABELS), group <= groups)
    if known is not None:
        item = block * BLOCK + tl.arange(0, BLOCK)
        tl.store(known + b * items + item, tl.where(found < groups, found, -1), item < items)


@triton.jit(do_not_specialize=VARYING)
def scan(counts, blocks, rows, groups, GROUPS: tl.constexpr, ROWS: tl.constexpr):
    """Make of the first ``blocks`` rows of counts sums of the rows before, and of the last all."""
    parts = tl.cdiv(groups, GROUPS)
    counts += (tl.program_id(0) // parts).to(tl.int64) * rows * (groups + 1)
    group = tl.program_id(0) % parts * GROUPS + tl.arange(0, GROUPS)
    total = tl.zeros((GROUPS,), tl.int32)
    for start in range(0, blocks, ROWS):
        row = start + tl.arange(0, ROWS)
        place = counts + row.to(tl.int64)[:, None] * (groups + 1) + group[None, :]
        mask = (row < blocks)[:, None] & (group < groups)[None, :]
        found = tl.load(place, mask, other=0)
        tl.store(place, total[None, :] + tl.cumsum(found, 0) - found, mask)
        total += tl.sum(found, 0)
    last = (rows - 1).to(tl.int64) * (groups + 1)
    tl.store(counts + last + group, total, group < groups)


@triton.jit
def _sums(counts, first, blocks, own, groups, LABELS: tl.constexpr, ROWS: tl.constexpr):
    """(LABELS,) over ``blocks`` rows of counts from ``first`` on: of all, of those before ``own``.

    Zeros for group ``groups``, whose count means nothing: items outside are in it.
    """
    group = tl.arange(0, LABELS)
    total = tl.zeros((LABELS,), tl.int32)
    before = tl.zeros((LABELS,), tl.int32)
    for start in range(0, blocks, ROWS):
        row = start + tl.arange(0, ROWS)
        mask = (row < blocks)[:, None] & (group < groups)[None, :]
        place = (first + row).to(tl.int64)[:, None] * (groups + 1) + group[None, :]
        found = tl.load(counts + place, mask, other=0)
        total += tl.sum(found, 0)
        before += tl.sum(tl.where((row < own)[:, None], found, 0), 0)
    return total, before


@triton.jit(do_not_specialize=VARYING)
def place(
    labels, batch_stride, item_stride, items, blocks, narrow_labels, narrow_batch_stride,
    narrow_item_stride, positions, narrow_blocks, names, counts, order, offsets, narrow_order,
    narrow_offsets, groups, kept,
    BLOCK: tl.constexpr, LABELS: tl.constexpr, STEPS: tl.constexpr, ROWS: tl.constexpr,
    SCANNED: tl.constexpr,
):  # fmt: skip
    """One block of ``order``; a side's first block writes its offsets (B, kept + 1) too.

    With both sides, groups that one of them lacks are left out of the offsets, and what the wide
    side has of them counts as ignored: at most as many groups are left as there are narrow items.
    """
    b, block, is_narrow = _own_block(blocks, narrow_blocks)
    counts += b * (blocks + narrow_blocks + 1) * (groups + 1)
    group = tl.arange(0, LABELS)
    met = group < groups
    if narrow_labels is not None:
        narrow_total, narrow_before = _sums(
            counts, blocks, narrow_blocks, block - blocks, groups, LABELS, ROWS
        )
        met = narrow_total > 0
        if is_narrow:
            narrow_labels += b * narrow_batch_stride
            block -= blocks
            found = load_groups(
                narrow_labels, narrow_item_stride, block * BLOCK, positions, None, groups, BLOCK,
                STEPS,
            )  # fmt: skip
            narrow_order += b * positions
            narrow_offsets += b * (kept + 1)
            _place(
                found, narrow_total, narrow_before, met, narrow_order, narrow_offsets,
                block, positions, groups, kept, BLOCK, LABELS,
            )  # fmt: skip
            return
    if SCANNED:
        row = counts + block * (groups + 1) + group
        before = tl.load(row, mask=group < groups, other=0)
        row = counts + (blocks + narrow_blocks) * (groups + 1) + group
        total = tl.load(row, mask=group < groups, other=0)
    else:
        total, before = _sums(counts, 0, blocks, block, groups, LABELS, ROWS)
    labels += b * batch_stride
    if names is not None:
        names += b * groups
    found = load_groups(labels, item_stride, block * BLOCK, items, names, groups, BLOCK, STEPS)
    if narrow_labels is not None:
        found = tl.where(tl.gather(met.to(tl.int32), found, 0) != 0, found, groups)
        total = tl.where(met, total, 0)
        before = tl.where(met, before, 0)
    _place(
        found, total, before, met, order + b * items, offsets + b * (kept + 1),
        block, items, groups, kept, BLOCK, LABELS,
    )  # fmt: skip


@triton.jit
def _place(
    found, total, before, met, order, offsets, block, items, groups, kept,
    BLOCK: tl.constexpr, LABELS: tl.constexpr,
):  # fmt: skip
    """A block whose items are of groups ``found``; ``total`` and ``before`` as of ``_sums``."""
    group = tl.arange(0, LABELS)
    own = tl.histogram(found, LABELS)
    begin = tl.cumsum(total, 0) - total
    before = tl.where(group == groups, block * BLOCK - tl.sum(before, 0), before)
    base = begin + before - (tl.cumsum(own, 0) - own)
    ranked = tl.sort(found * BLOCK + tl.arange(0, BLOCK))
    position = tl.gather(base, ranked // BLOCK, 0) + tl.arange(0, BLOCK)
    item = block * BLOCK + ranked % BLOCK
    tl.store(order + position, item, item < items)
    if block == 0:
        number = tl.cumsum(met.to(tl.int32), 0) - met.to(tl.int32)
        tl.store(offsets + number, begin, met)
        rest = (group >= tl.sum(met.to(tl.int32), 0)) & (group <= kept)
        tl.store(offsets + group, tl.sum(total, 0) + tl.zeros((LABELS,), tl.int32), rest)
