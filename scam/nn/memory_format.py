# SPDX-License-Identifier: Apache-2.0
"""The memory layout of feature maps."""

import torch
from torch import Tensor


def is_channels_last(x: Tensor) -> bool:
    """Whether x (B, C, h, w) is stored pixel by pixel; never while a graph is traced.

    On a CPU an operation on two maps of different layouts takes ten times as long.
    """
    if torch.compiler.is_compiling():
        return False
    return x.is_contiguous(memory_format=torch.channels_last)
