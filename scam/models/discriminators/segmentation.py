# SPDX-License-Identifier: Apache-2.0
"""The OASIS discriminator: a U-Net that classifies every pixel by label, or as "generated"."""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.nn.pyramid import known_labels
from scam.nn.sat import LEAK
from scam.nn.spectral import SpectralConv2d


class SegmentationDiscriminator(nn.Module):
    """Encoder and decoder of residual blocks with skips (Schoenfeld et al., ICLR 2021).

    It never reads the label map: that is what it has to find. ``levels`` halvings (6 in the
    paper); channels 2, 2, 4, 4, 8, 8 times width (64 in the paper), width itself at full
    resolution. Every convolution is spectrally normalised but the last.
    """

    def __init__(self, num_labels: int, width: int, levels: int) -> None:
        super().__init__()
        self.num_labels = num_labels
        channels = [width * (2 << min(level // 2, 2)) for level in range(levels)]
        self.encoder = nn.ModuleList(
            _ResidualBlock(entering, leaving, first=entering == 3)
            for entering, leaving in pairwise([3, *channels])
        )
        up = [*reversed(channels), width]
        skipped = [0, *up[1:-1]]  # channels that join a block's from the encoder
        self.decoder = nn.ModuleList(
            _ResidualBlock(entering + skip, leaving, first=False)
            for entering, skip, leaving in zip(up, skipped, up[1:], strict=False)
        )
        self.classify = nn.Conv2d(width, num_labels + 1, 1)

    def label_maps(self, labels: Tensor) -> tuple[Tensor, ...]:
        """Labels (B, H, W) as its losses read them: int32, -1 = none."""
        return (known_labels(labels, self.num_labels),)

    def forward(self, image: Tensor, maps: Sequence[Tensor] = ()) -> list[Tensor]:
        """image (B, 3, H, W) -> one map of logits (B, L + 1, H, W), the last class "generated".

        ``maps`` are not read; other discriminators take some.
        """
        x = image
        sizes, skips = [], []
        for block in self.encoder:
            sizes.append(x.shape[2:])
            x = F.avg_pool2d(block(x), 2, ceil_mode=True)
            skips.append(x)
        x = skips.pop()
        for block in self.decoder:
            x = cast(_ResidualBlock, block)(x, sizes.pop())
            x = torch.cat([x, skips.pop()], dim=1) if skips else x
        return [cast(Tensor, self.classify(x)).float()]


class _ResidualBlock(nn.Module):
    """Activate, enlarge, convolve, activate, convolve; beside it a 1x1 shortcut."""

    def __init__(self, entering: int, leaving: int, *, first: bool) -> None:
        super().__init__()
        self.first = first
        self.conv1 = SpectralConv2d(entering, leaving, 3, padding=1)
        self.conv2 = SpectralConv2d(leaving, leaving, 3, padding=1)
        self.shortcut: nn.Module | None = None
        if entering != leaving:
            self.shortcut = SpectralConv2d(entering, leaving, 1, bias=False)

    def forward(self, x: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """x (B, C, h, w), enlarged to ``size`` if that is given."""
        y = x if self.first else F.leaky_relu(x, LEAK)
        if size is not None:
            x, y = (F.interpolate(z, size=size, mode="nearest") for z in (x, y))
        y = F.leaky_relu(self.conv1(y), LEAK)
        beside = x if self.shortcut is None else self.shortcut(x)
        return beside + cast(Tensor, self.conv2(y))
