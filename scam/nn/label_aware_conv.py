# SPDX-License-Identifier: Apache-2.0
"""INADE's convolution: a pixel's neighbours of another label do not count."""

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.nn.label_conv import TAPS
from scam.nn.label_mean import label_counts, label_mean
from scam.nn.label_patches import shifted


@dataclass(frozen=True)
class LabelBorders:
    """Where labels (B, h, w) differ from a neighbour's."""

    labels: Tensor

    @cached_property
    def other(self) -> Tensor:
        """Whether each tap of a pixel is in another label: (B, 9, h, w) bool.

        A tap outside the map does not.
        """
        padded = F.pad(self.labels, (1, 1, 1, 1), value=_OUTSIDE)
        near = torch.stack(shifted(padded, 3), dim=1)
        return (near != self.labels.unsqueeze(1)) & (near != _OUTSIDE)


_OUTSIDE = -2


class LabelAwareConv2d(nn.Conv2d):
    """A 3x3 convolution whose taps in another label than the centre's are 0.

    Fused: the ordinary convolution, less what other labels gave to the pixels near a border.
    Dense: every pixel's nine taps are laid out, as the authors do.
    """

    def __init__(self, entering: int, leaving: int, stride: int = 1) -> None:
        super().__init__(entering, leaving, 3, stride=stride, padding=1)
        self.fused = True

    def forward(self, x: Tensor, borders: LabelBorders) -> Tensor:  # type: ignore[override]
        """x (B, C, h, w) -> (B, C', ceil(h / stride), ceil(w / stride)). borders: at x's size."""
        step = self.stride[0]
        other = borders.other[:, :, ::step, ::step]
        if not self.fused or torch.compiler.is_compiling():  # its shapes may not follow labels
            return self._dense(x, other)
        y = super().forward(x)
        image, row, column = other.any(1).nonzero(as_tuple=True)
        near = other[image, :, row, column]
        taps = torch.arange(TAPS, device=x.device)
        # Of the map padded by one pixel, whose tap 0 is where the centre was.
        rows = (step * row)[:, None] + taps // 3
        columns = (step * column)[:, None] + taps % 3
        pixels = F.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1)
        wrong = pixels[image[:, None], rows, columns] * near.unsqueeze(-1).to(x.dtype)
        given = wrong.flatten(1) @ self.weight.permute(2, 3, 1, 0).flatten(0, 2)
        y.permute(0, 2, 3, 1).index_put_((image, row, column), -given.to(y.dtype), accumulate=True)
        return y

    def _dense(self, x: Tensor, other: Tensor) -> Tensor:
        laid = F.unfold(x, 3, padding=1, stride=self.stride[0]).unflatten(1, (-1, TAPS))
        laid = laid * ~other.flatten(2).unsqueeze(1)
        y = self.weight.flatten(1) @ laid.flatten(1, 2)
        return y.unflatten(2, other.shape[2:]) + _bias(self)[:, None, None]

    def of_means(self, means: Tensor) -> Tensor:
        """The mean of its result over the pixels of each label, from :func:`tap_means`.

        Both are linear, so the features that each tap reads may be averaged first. Absent
        labels get the bias.
        """
        return means @ self.weight.permute(2, 3, 1, 0).flatten(0, 2) + _bias(self)


def tap_means(x: Tensor, borders: LabelBorders, num_labels: int) -> Tensor:
    """What each tap of a :class:`LabelAwareConv2d` reads, averaged over a label's pixels.

    x (B, C, h, w) -> (B, L, 9 * C), absent labels 0.
    """
    labels = borders.labels
    inside = label_counts(labels, num_labels).clamp(min=1)
    found = []
    for tap in range(TAPS):
        # The pixels that a centre of their own label sees through this tap.
        seen = labels.masked_fill(borders.other[:, TAPS - 1 - tap], -1)
        seen = _with_centre(seen, tap)
        share = (label_counts(seen, num_labels) / inside).to(x.dtype)
        found.append(label_mean(x, seen, num_labels, fused=True) * share.unsqueeze(2))
    return torch.cat(found, dim=2)


def _with_centre(labels: Tensor, tap: int) -> Tensor:
    """labels (B, h, w) of the pixels that a centre in the map sees through ``tap``, else -1."""
    down, right = tap // 3 - 1, tap % 3 - 1
    height, width = labels.shape[1:]
    rows = torch.arange(height, device=labels.device).view(-1, 1) - down
    columns = torch.arange(width, device=labels.device) - right
    seen = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return labels.where(seen, -1)


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias
