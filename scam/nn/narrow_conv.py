# SPDX-License-Identifier: Apache-2.0
"""Convolutions to one or a few channels: logits of patches, colours."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.nn.memory_format import is_channels_last


class NarrowConv2d(nn.Conv2d):
    """A convolution of stride 1 to few channels, as a product with the taps and a sum of shifts.

    Parameters and results are those of ``nn.Conv2d(entering, leaving, size, padding=padding)``,
    padding < size, up to rounding. PyTorch's kernels fill vectors with the channels that leave:
    on a CPU they take two (1x1) to four times (4x4) as long where these are few, and five times
    for the gradient of a gradient. Elsewhere, and under autocast, they are used.
    """

    def __init__(self, entering: int, leaving: int, size: int, padding: int = 0) -> None:
        super().__init__(entering, leaving, size, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, leaving, H', W')."""
        if x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        bias, size, padding = self.bias, self.kernel_size[0], int(self.padding[0])
        assert bias is not None
        # What a pixel adds through each tap; the last tap reaches the first of its neighbours.
        taps = self.weight.flip(2, 3).permute(0, 2, 3, 1).flatten(0, 2)
        if is_channels_last(x):
            # Transposed, so that the gradient has the memory layout of x.
            added = taps @ x.permute(0, 2, 3, 1).flatten(0, 2).t()
            added = added.unflatten(1, (x.shape[0], -1)).transpose(0, 1)
        else:
            added = torch.bmm(taps.expand(x.shape[0], -1, -1), x.flatten(2))
        height, width = (side + 2 * padding + 1 - size for side in x.shape[2:])
        if size > 1 or padding:
            added = F.fold(added, (height, width), size, padding=size - 1 - padding).flatten(2)
        return (added + bias[:, None]).unflatten(2, (height, width)).contiguous()
