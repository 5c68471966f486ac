# SPDX-License-Identifier: Apache-2.0
"""Label pyramids by the kernels in ``kernels/pyramid_triton``, three launches for all levels."""

import torch
from torch import Tensor

from scam.ops.backends.triton_launch import launch

BLOCK = 1024  # pixels together, in programs of many cells
RESCUED = 2048  # where one program goes over a whole map
MOST_LABELS = 4095  # that a program of ``rescue`` holds


def label_pyramid(
    labels: Tensor, num_labels: int, first: int, last: int
) -> tuple[Tensor, Tensor, Tensor]:
    """As :func:`scam.ops.pyramid_library.label_pyramid`."""
    from scam.kernels.pyramid_triton import coarse

    batch, height, width = labels.shape
    levels = last + 1 - first
    maps = labels.new_empty((batch, height, width), dtype=torch.int32)
    present = labels.new_zeros((batch, num_labels), dtype=torch.bool)
    sizes = height, width, num_labels
    blocks = -(-height * width // BLOCK)
    launch(
        coarse.known, batch * blocks, labels, *labels.stride(), maps, present, *sizes, blocks,
        BLOCK=BLOCK, warps=4, stages=1,
    )  # fmt: skip
    cells = sum(cells_of(height, width, level) for level in range(first, last + 1))
    small = labels.new_empty((batch, cells), dtype=torch.int32)
    most = max((blocks_of(height, width, level) for level in range(first, last + 1)), default=0)
    launch(
        coarse.majority, batch * levels * most, maps, present, small, *sizes, first, levels, cells,
        most, BLOCK=BLOCK, BINS=BLOCK // 2, warps=4, stages=1,
    )  # fmt: skip
    in_labels = max(16, 1 << num_labels.bit_length())
    owned = labels.new_empty((batch, levels, in_labels), dtype=torch.int32)
    launch(
        coarse.rescue, batch * levels, maps, present, small, owned, *sizes, first, levels, cells,
        BLOCK=RESCUED, BINS=RESCUED // 2, LABELS=in_labels, warps=8, stages=1,
    )  # fmt: skip
    return maps, small, present


def cells_of(height: int, width: int, level: int) -> int:
    """Cells of 2**level pixels a side."""
    return -(-height // (1 << level)) * -(-width // (1 << level))


def blocks_of(height: int, width: int, level: int) -> int:
    """Of cells that hold BLOCK pixels together, or are larger."""
    return -(-cells_of(height, width, level) // max(1, BLOCK >> 2 * level))
