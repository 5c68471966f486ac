# SPDX-License-Identifier: Apache-2.0
"""Peak signal-to-noise ratio of pictures in [-1, 1]."""

import math

import torch
from torch import Tensor

from scam.metrics.floors import label_sums


class Psnr:
    """PSNR in dB over a set: of the pooled squared error, and averaged over pictures."""

    def __init__(self) -> None:
        self._errors: list[float] = []

    def update(self, result: Tensor, target: Tensor) -> None:
        """Add pictures (B, 3, H, W); values are compared unclipped and unquantised."""
        error = result.cpu().double() - target.cpu().double()  # some devices have no float64
        self._errors += error.square().mean((1, 2, 3)).tolist()

    @property
    def pooled(self) -> float:
        """``10 log10(4 / MSE)`` with one mean over every pixel of the set."""
        return _decibels(sum(self._errors) / len(self._errors))

    @property
    def per_image(self) -> float:
        """Mean over pictures of each one's PSNR."""
        return sum(map(_decibels, self._errors)) / len(self._errors)


class LabelPsnr:
    """PSNR in dB of each label: of the squared error pooled over that label's pixels."""

    def __init__(self, num_labels: int) -> None:
        self._error = torch.zeros(num_labels, dtype=torch.float64)
        self._pixels = torch.zeros(num_labels, dtype=torch.float64)
        self._pictures = torch.zeros(num_labels, dtype=torch.int64)

    def update(self, result: Tensor, target: Tensor, labels: Tensor) -> None:
        """Add pictures (B, 3, H, W) with labels (B, H, W); -1 is left out."""
        error = result.cpu().double() - target.cpu().double()
        total, pixels = label_sums(error.square(), labels.cpu(), len(self._error))
        self._error += total.sum((0, 2))
        self._pixels += pixels.sum((0, 2))
        self._pictures += (pixels[..., 0] > 0).sum(0)

    def pictures(self, label: int) -> int:
        """How many pictures hold ``label``."""
        return int(self._pictures[label])

    def of(self, label: int) -> float:
        """PSNR of ``label``, nan where no picture holds it."""
        if not self._pictures[label]:
            return math.nan
        return _decibels(float(self._error[label] / (3 * self._pixels[label])))


def _decibels(mean_square: float) -> float:
    """The range of [-1, 1] is 2, so the peak power is 4."""
    return math.inf if mean_square == 0 else 10 * math.log10(4 / mean_square)
