# SPDX-License-Identifier: Apache-2.0
"""A small network that finds the labels of one image's textures."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.nn.label_mean import label_counts

_LEAK = 0.1
_IGNORED = -1


class Segmenter(nn.Module):
    """A U-shaped network over full, 1/2, 1/4, ... resolution, without normalisation.

    Nothing in it depends on the statistics of the whole image, so a layout with other shares of
    the same textures is seen as the source is. Borders repeat the outermost pixels: zeros there
    would tell a pixel where it is, and a single image has one layout to memorise.

    num_labels: K. width: channels at full resolution; the levels below have 2, 3, 4, ... times as
    many. levels: halvings; with 1, 2, 3 of them a pixel sees 9, 22, 48 pixels around it.
    """

    def __init__(self, num_labels: int, width: int = 24, levels: int = 3) -> None:
        super().__init__()
        self.num_labels, self.levels = num_labels, levels
        channels = [width * (level + 1) for level in range(levels + 1)]
        self.enter = _block(3, width)
        self.down = nn.ModuleList(_block(above, below) for above, below in pairwise(channels))
        self.up = nn.ModuleList(
            _block(below + above, above) for above, below in reversed(list(pairwise(channels)))
        )
        self.classify = nn.Conv2d(width, num_labels, 1)

    def forward(self, image: Tensor) -> Tensor:
        """image (B, 3, H, W) in [-1, 1], any H and W -> logits (B, K, H, W)."""
        height, width = image.shape[2:]
        cell = 1 << self.levels
        x = F.pad(image, (0, -width % cell, 0, -height % cell), mode="replicate")
        x = self.enter(x)
        skips = []
        for block in self.down:
            skips.append(x)
            x = block(F.avg_pool2d(x, 2))
        for block in self.up:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = block(torch.cat([x, skips.pop()], dim=1))
        return self.classify(x)[:, :, :height, :width]


def segmentation_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy in which each label weighs as the square root of its pixels.

    Equal weights would balance further, but let labels of a few hundred pixels be found all over
    the others; plain means would forget labels of a few dozen.

    logits (B, K, H, W), labels (B, H, W) int64, below 0 for pixels that have no say. 0 where
    none has one.
    """
    counts = label_counts(labels, logits.shape[1]).sum(0)
    weights = counts.clamp(min=1).rsqrt()
    total = (weights * counts).sum().clamp(min=1)
    known = torch.where(labels < 0, _IGNORED, labels)
    return F.cross_entropy(
        logits, known, (weights / total).to(logits.dtype), ignore_index=_IGNORED, reduction="sum"
    )


def _block(entering: int, leaving: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (entering, leaving):
        conv = nn.Conv2d(channels, leaving, 3, padding=1, padding_mode="replicate")
        nn.init.kaiming_normal_(conv.weight, a=_LEAK)
        assert conv.bias is not None
        nn.init.zeros_(conv.bias)
        layers += [conv, nn.LeakyReLU(_LEAK)]
    return nn.Sequential(*layers)
