# SPDX-License-Identifier: Apache-2.0
"""Semantic feature translation: a change of label maps, made a change of image features."""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.nn.pyramid import one_hot

LEAK = 0.2
_RATIO = 4.0
"""Largest change of a label feature, relative to what it was, that the scale is told of."""
_EPS = 1e-2


class LabelEncoder(nn.Module):
    """Features of a label map at full, half, quarter ... resolution.

    Nothing is normalised: a label that grows changes no features elsewhere.

    Args:
        num_labels: K.
        widths: channels, finest first.
    """

    def __init__(self, num_labels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.num_labels = num_labels
        self.enter = nn.Conv2d(num_labels, widths[0], 3, padding=1)
        self.halve = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise(widths)
        )

    def forward(self, labels: Tensor) -> list[Tensor]:
        """labels (B, H, W) -> per level (B, C, h, w), sizes rounded up."""
        x = one_hot(labels, self.num_labels).to(self.enter.weight.dtype)
        found = [F.leaky_relu(self.enter(x), LEAK)]
        for conv in self.halve:
            found.append(F.leaky_relu(conv(found[-1]), LEAK))
        return found


class Translation(nn.Module):
    """Scale and shift of image features from label features before and after (paper, SFT).

    The paper's ratio after / before and difference after - before, each to a network of its own.
    Both networks map zeros to zeros, so that equal label features give scale 1 and shift 0 to the
    bit; both end in a hyperbolic tangent, so that scales are in (0, 2) and shifts in (-2, 2).

    Args:
        channels: C, of label and image features alike.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale, self.shift = _head(channels), _head(channels)

    def forward(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """before, after (B, C, h, w) -> scale and shift (B, C, h, w)."""
        change = after - before
        # after / before - 1, without its poles.
        ratio = (change * before / (before.square() + _EPS)).clamp(-_RATIO, _RATIO)
        return 1 + torch.tanh(self.scale(ratio)), 2 * torch.tanh(self.shift(change))


def translate(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``scale * instance_norm(x) + shift``, all (B, C, h, w)."""
    return scale * F.instance_norm(x) + shift


def _head(channels: int) -> nn.Sequential:
    last = nn.Conv2d(channels, channels, 1, bias=False)
    nn.init.zeros_(last.weight)
    return nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), nn.LeakyReLU(LEAK), last)
