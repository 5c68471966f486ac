# SPDX-License-Identifier: Apache-2.0
"""3x3 convolutions of label maps, as sums of table rows instead of products with zeros and ones.

A convolution of a map that holds one of R vectors everywhere is a table: what each vector adds
through each of the nine taps. A pixel sums nine rows of it. The same numbers as the convolution,
up to rounding, at a cost that does not grow with the number of labels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.nn.label_patches import LabelPatches
from scam.nn.pyramid import one_hot

TAPS = 9
ROW_READ = 64
"""Multiply-adds of a matrix product in the time that a number of a table is read (measured on
CPUs with AVX2 and AVX-512; from 32 to 128 the choices are the same but for maps of 16 pixels)."""


def convolved_rows(
    values: Tensor, weight: Tensor, bias: Tensor | None, taps: Tensor, groups: int = 1
) -> Tensor:
    """A 3x3 convolution at the given patches of a map of vectors.

    values: (R, K) vectors. weight: (C, K / groups, 3, 3). bias: (C,). taps: (U, 9) which vector
    is at each place of a patch, row by row; R: none, a vector of zeros. Returns (U, C).
    """
    channels, entering = weight.shape[:2]
    kernels = weight.unflatten(0, (groups, -1)).permute(0, 2, 3, 4, 1)
    by_group = values.unflatten(1, (groups, entering)).transpose(0, 1)
    table = by_group @ kernels.reshape(groups, entering, TAPS * (channels // groups))
    table = table.unflatten(2, (TAPS, -1)).permute(1, 2, 0, 3)
    return _summed(table.reshape(-1, channels), bias, taps)


class LabelConv2d(nn.Conv2d):
    """A 3x3 convolution of one-hot label maps; :meth:`at` computes it at some patches only.

    Parameters are those of ``nn.Conv2d(num_labels, channels, 3, padding=1, groups=groups)``.
    """

    def __init__(self, num_labels: int, channels: int, groups: int = 1) -> None:
        super().__init__(num_labels, channels, 3, padding=1, groups=groups)

    def forward(self, labels: Tensor) -> Tensor:
        """labels (B, h, w) -> (B, C, h, w), the dense form. Values outside [0, L): no label."""
        return super().forward(one_hot(labels, self.in_channels).to(self.weight.dtype))

    def at(self, taps: Tensor) -> Tensor:
        """The same at patches of labels (U, 9), L where there is none: (U, C)."""
        groups, device = self.groups, self.weight.device
        kernels = self.weight.unflatten(0, (groups, -1)).permute(0, 2, 3, 4, 1)
        # A label adds 0 to the channels of other groups.
        own = torch.eye(groups, dtype=self.weight.dtype, device=device)
        table = kernels.unsqueeze(4) * own.view(groups, 1, 1, 1, groups, 1)
        return _summed(table.reshape(-1, self.out_channels), self.bias, taps)


def fewer_by_patch(patches: LabelPatches, hidden: int, constant: int = 0) -> bool:
    """Whether convolutions of a label map cost less by patch than by pixel.

    hidden: channels between the two convolutions of the map, of each group. constant: those of a
    further map, also convolved, which is one vector for all pixels of a label. Known before any
    is computed: it follows from the number of distinct patches.
    """
    pixels = patches.index.numel()
    by_patch = len(patches.taps) * hidden + len(patches.around) * ROW_READ
    return by_patch < pixels * (hidden + constant)


def _summed(table: Tensor, bias: Tensor | None, taps: Tensor) -> Tensor:
    """table (R * 9, C): row r * 9 + t is what vector r adds through tap t."""
    table = F.pad(table, (0, 0, 0, TAPS))
    rows = taps * TAPS + torch.arange(TAPS, device=taps.device)
    found = F.embedding_bag(rows, table, mode="sum")
    return found if bias is None else found + bias
