# SPDX-License-Identifier: Apache-2.0
"""Peak signal-to-noise ratio of images in [-1, 1]."""

import math

import torch
from torch import Tensor

from scam.metrics.floors import label_sums


class Psnr:
    """PSNR in dB over a set: of the pooled squared error, and averaged over images."""

    def __init__(self) -> None:
        self._errors: list[float] = []
        self._shares: list[float] = []
        self._count = 0

    def update(self, result: Tensor, target: Tensor, where: Tensor | None = None) -> None:
        """Add images (B, 3, H, W), or their pixels ``where`` (B, H, W) is true.

        Values are compared unclipped and unquantised; an image without such pixels does not count.
        """
        error = result.cpu().double() - target.cpu().double()  # some devices have no float64
        squares = error.square()
        if where is None:
            found, shares = squares.mean((1, 2, 3)), torch.ones(len(error))
        else:
            where = where.cpu()
            shares = where.double().mean((1, 2))
            found = torch.where(where, squares.mean(1), 0.0).mean((1, 2))[shares > 0]
            found = found / shares[shares > 0]
        self._errors += found.tolist()
        self._shares += shares[shares > 0].tolist()
        self._count += len(error)

    @property
    def share(self) -> float:
        """How much of all pixels was compared, 0 to 1; the images must have one size."""
        return sum(self._shares) / self._count

    @property
    def pooled(self) -> float:
        """``10 log10(4 / MSE)`` with one mean over every compared pixel of the set, else nan."""
        if not self._errors:
            return math.nan
        pairs = zip(self._errors, self._shares, strict=True)
        return _decibels(sum(error * share for error, share in pairs) / sum(self._shares))

    @property
    def per_image(self) -> float:
        """Mean over images of each one's PSNR."""
        return sum(map(_decibels, self._errors)) / len(self._errors)


class LabelPsnr:
    """PSNR in dB of each label: of the squared error pooled over that label's pixels."""

    def __init__(self, num_labels: int) -> None:
        self._error = torch.zeros(num_labels, dtype=torch.float64)
        self._pixels = torch.zeros(num_labels, dtype=torch.float64)
        self._pictures = torch.zeros(num_labels, dtype=torch.int64)

    def update(self, result: Tensor, target: Tensor, labels: Tensor) -> None:
        """Add images (B, 3, H, W) with labels (B, H, W); -1 is left out."""
        error = result.cpu().double() - target.cpu().double()
        total, pixels = label_sums(error.square(), labels.cpu(), len(self._error))
        self._error += total.sum((0, 2))
        self._pixels += pixels.sum((0, 2))
        self._pictures += (pixels[..., 0] > 0).sum(0)

    def pictures(self, label: int) -> int:
        """How many images hold ``label``."""
        return int(self._pictures[label])

    def of(self, label: int) -> float:
        """PSNR of ``label``, nan where no image holds it."""
        if not self._pictures[label]:
            return math.nan
        return _decibels(float(self._error[label] / (3 * self._pixels[label])))


def _decibels(mean_square: float) -> float:
    """The range of [-1, 1] is 2, so the peak power is 4."""
    return math.inf if mean_square == 0 else 10 * math.log10(4 / mean_square)
