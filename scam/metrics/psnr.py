# SPDX-License-Identifier: Apache-2.0
"""Peak signal-to-noise ratio of pictures in [-1, 1]."""

import math

from torch import Tensor


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


def _decibels(mean_square: float) -> float:
    """The range of [-1, 1] is 2, so the peak power is 4."""
    return 10 * math.log10(4 / mean_square) if mean_square > 0 else math.inf
