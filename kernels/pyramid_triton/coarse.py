# SPDX-License-Identifier: Apache-2.0
"""Label maps of lower resolution, all levels in three launches: known, majority, rescue.

The rule is that of ``scam/nn/coarse_labels.py``, number by number. A cell of level j has 2**j
pixels a side. ``coarse`` (B, cells) holds the maps of levels ``first`` to ``last``, one after the
other; ``maps`` (B, H, W), int32, -1 for no label; ``present`` (B, labels), bool.

BLOCK pixels are looked at together: whole cells, or a part of one. Counts stand in bins, one a
cell; a block has at most BLOCK / 4 cells, and what is not counted falls into the last bin.
"""

import triton
import triton.language as tl

# Sizes that must not be compiled for.
VARYING = (
    "height", "width", "num_labels", "first", "levels", "cells_of_all", "blocks",
    "batch_stride", "row_stride", "column_stride",
)  # fmt: skip

ROUNDS = tl.constexpr(4)  # as _RESCUE_ROUNDS


@triton.jit(do_not_specialize=VARYING)
def known(
    labels, batch_stride, row_stride, column_stride, maps, present, height, width, num_labels,
    blocks, BLOCK: tl.constexpr,
):  # fmt: skip
    """``maps`` of labels of any dtype; their places in ``present``, zeros before."""
    b = (tl.program_id(0) // blocks).to(tl.int64)
    pixel = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    inside = pixel < height * width
    row, column = (pixel // width).to(tl.int64), (pixel % width).to(tl.int64)
    place = labels + b * batch_stride + row * row_stride + column * column_stride
    label = tl.load(place, inside, other=0).to(tl.int64)
    label = tl.where((label >= 0) & (label < num_labels), label, -1)
    tl.store(maps + b * height * width + pixel, label.to(tl.int32), inside)
    # Many write the same.
    yes = tl.full((BLOCK,), 1, tl.int1)
    tl.store(present + b * num_labels + label, yes, inside & (label >= 0))


@triton.jit
def _size(height, width, level):
    """Rows and columns of a level."""
    last = (1 << level) - 1
    return (height + last) >> level, (width + last) >> level


@triton.jit
def _before(height, width, first, level):
    """Cells of levels from ``first`` on and below ``level``."""
    total = 0
    for one in range(first, level):
        rows, columns = _size(height, width, one)
        total += rows * columns
    return total


@triton.jit
def _cells_of_block(level, BLOCK: tl.constexpr):
    """How many cells a block holds, 1 where a cell is larger."""
    return tl.maximum(BLOCK >> (2 * level), 1)


@triton.jit
def _count(maps, label, block, level, height, width, BLOCK: tl.constexpr, BINS: tl.constexpr):
    """(BINS,) pixels of ``label`` in each cell of a block of cells."""
    rows, columns = _size(height, width, level)
    side = 1 << level
    together = tl.minimum(side * side, BLOCK)
    position = tl.arange(0, BLOCK)
    own = position // together
    cell = block * _cells_of_block(level, BLOCK) + own
    top, left = cell // columns << level, cell % columns << level
    counts = tl.zeros((BINS,), tl.int32)
    for start in range(0, side * side, BLOCK):
        place = start + position % together
        row, column = top + (place >> level), left + (place & (side - 1))
        inside = (cell < rows * columns) & (row < height) & (column < width)
        found = tl.load(maps + row * width + column, inside, other=-1)
        counts += tl.histogram(tl.where(found == label, own, BINS - 1), BINS)
    return tl.where(tl.arange(0, BINS) < _cells_of_block(level, BLOCK), counts, 0)


@triton.jit(do_not_specialize=VARYING)
def majority(
    maps, present, coarse, height, width, num_labels, first, levels, cells_of_all, blocks,
    BLOCK: tl.constexpr, BINS: tl.constexpr,
):  # fmt: skip
    """A block of cells: the label of most pixels, the lower of equals; -1 where there is none."""
    b = (tl.program_id(0) // (levels * blocks)).to(tl.int64)
    level = first + tl.program_id(0) // blocks % levels
    block = tl.program_id(0) % blocks
    rows, columns = _size(height, width, level)
    cell = block * _cells_of_block(level, BLOCK) + tl.arange(0, BINS)
    if block * _cells_of_block(level, BLOCK) < rows * columns:
        most = tl.zeros((BINS,), tl.int32)
        owner = tl.full((BINS,), -1, tl.int32)
        for label in range(0, num_labels):
            if tl.load(present + b * num_labels + label):
                found = _count(
                    maps + b * height * width, label, block, level, height, width, BLOCK, BINS
                )
                owner = tl.where(found > most, label, owner)
                most = tl.maximum(found, most)
        own = (tl.arange(0, BINS) < _cells_of_block(level, BLOCK)) & (cell < rows * columns)
        coarse += b * cells_of_all + _before(height, width, first, level)
        tl.store(coarse + cell, owner, own)


@triton.jit(do_not_specialize=VARYING)
def rescue(
    maps, present, coarse, owned, height, width, num_labels, first, levels, cells_of_all,
    BLOCK: tl.constexpr, BINS: tl.constexpr, LABELS: tl.constexpr,
):  # fmt: skip
    """One map: present labels without a cell get their best one, as long as others keep one.

    ``owned`` (B, levels, LABELS), scratch: how many cells each label has; of ``num_labels``, which
    stands for none, more than there are, so that such cells may always be taken.
    """
    b = (tl.program_id(0) // levels).to(tl.int64)
    level = first + tl.program_id(0) % levels
    rows, columns = _size(height, width, level)
    cells = rows * columns
    maps += b * height * width
    present += b * num_labels
    coarse += b * cells_of_all + _before(height, width, first, level)
    owned += tl.program_id(0).to(tl.int64) * LABELS
    label = tl.arange(0, LABELS)
    wanted = tl.load(present + label, label < num_labels, other=0)
    turn = 0
    while turn < ROUNDS:
        has = tl.zeros((LABELS,), tl.int32)
        for start in range(0, cells, BLOCK):
            cell = start + tl.arange(0, BLOCK)
            owner = tl.load(coarse + cell, cell < cells, other=-1)
            has += tl.histogram(tl.where(owner < 0, num_labels, owner), LABELS)
        lost = (wanted != 0) & (has == 0)
        turn += 1
        if tl.sum(lost.to(tl.int32), 0) == 0:
            turn = ROUNDS
        else:
            tl.store(owned + label, tl.where(label == num_labels, cells + 1, has))
            tl.debug_barrier()
            taken, granted = _claims(
                maps, present, coarse, owned, height, width, num_labels, level, cells,
                BLOCK, BINS, LABELS,
            )  # fmt: skip
            tl.debug_barrier()
            tl.store(coarse + taken, label, granted)
            tl.debug_barrier()


@triton.jit
def _claims(
    maps, present, coarse, owned, height, width, num_labels, level, cells,
    BLOCK: tl.constexpr, BINS: tl.constexpr, LABELS: tl.constexpr,
):  # fmt: skip
    """(LABELS,) the cell that each lost label claims, -1: none, and whether it gets it.

    Lower labels come first; two never get one cell, and no label loses its last.
    """
    number = tl.arange(0, LABELS)
    claimed = tl.full((LABELS,), -1, tl.int32)
    victims = tl.full((LABELS,), -1, tl.int32)
    first = tl.zeros((LABELS,), tl.int32)
    granted = tl.zeros((LABELS,), tl.int32)
    for label in range(0, num_labels):
        if (tl.load(present + label) != 0) & (tl.load(owned + label) == 0):
            best = _best(maps, coarse, owned, label, height, width, num_labels, level, cells,
                         BLOCK, BINS)  # fmt: skip
            if best >= 0:
                cell = cells - 1 - best % cells
                victim = tl.load(coarse + cell)
                victim = tl.where(victim < 0, num_labels, victim)
                alone = tl.sum((claimed == cell).to(tl.int32), 0) == 0
                ahead = tl.sum(tl.where(victims == victim, first, 0), 0)
                gets = alone & (ahead < tl.load(owned + victim) - 1)
                own = number == label
                claimed = tl.where(own, cell, claimed)
                victims = tl.where(own, victim, victims)
                first = tl.where(own & alone, 1, first)
                granted = tl.where(own & gets, 1, granted)
    return claimed, granted != 0


@triton.jit
def _best(
    maps, coarse, owned, label, height, width, num_labels, level, cells,
    BLOCK: tl.constexpr, BINS: tl.constexpr,
):  # fmt: skip
    """Pixels of ``label`` times ``cells``, and cells after it, of the best cell that may be taken:
    most pixels, then the first; -1 where there is none."""
    best = tl.full((BINS,), -1, tl.int32)
    together = _cells_of_block(level, BLOCK)
    for block in range(0, (cells + together - 1) // together):
        found = _count(maps, label, block, level, height, width, BLOCK, BINS)
        cell = block * together + tl.arange(0, BINS)
        owner = tl.load(coarse + cell, found > 0, other=-1)
        has = tl.load(owned + tl.where(owner < 0, num_labels, owner), found > 0, other=0)
        best = tl.maximum(best, tl.where(has > 1, found * cells + cells - 1 - cell, -1))
    return tl.max(best, 0)
