# SPDX-License-Identifier: Apache-2.0
"""The convolution that ends a patch discriminator."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LogitConv2d(nn.Conv2d):
    """A convolution to one channel, of stride 1, as a product with the taps and a sum of shifts.

    Parameters and results are those of ``nn.Conv2d(channels, 1, size, padding=padding)``, up to
    rounding. PyTorch's kernels fill vectors with channels: on a CPU they take four times as long
    for one channel, and five times for the gradient of its gradient. Elsewhere, and under
    autocast, they are used.
    """

    def __init__(self, channels: int, size: int, padding: int) -> None:
        super().__init__(channels, 1, size, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, 1, H', W')."""
        if x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        bias, size = self.bias, self.kernel_size[0]
        assert bias is not None
        margin = 2 * int(self.padding[0]) + 1 - size
        # What a pixel adds through each tap; the last tap reaches the first of its neighbours.
        added = self.weight[0].flip(1, 2).flatten(1).t() @ x.flatten(2)
        shape = (x.shape[2] + margin, x.shape[3] + margin)
        return F.fold(added, shape, size, padding=size - 1 - int(self.padding[0])) + bias
