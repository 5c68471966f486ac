# SPDX-License-Identifier: Apache-2.0
"""Normalisation, then an affine that every pixel looks up, as in SPADE and the models after it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.nn.statistics import BatchStatistics, InstanceStatistics
from scam.ops import indexed_affine

Normalise = Literal["batch", "instance"]


@dataclass(frozen=True)
class Rows:
    """scale and shift (R, C), and index (B, h, w): the row of each pixel, -1 for zeros."""

    index: Tensor
    scale: Tensor
    shift: Tensor

    def maps(self) -> "Maps":
        """The same for every pixel."""
        index = torch.where(self.index >= 0, self.index, self.scale.shape[0]).long()
        scale, shift = (
            F.pad(rows, (0, 0, 0, 1))[index].permute(0, 3, 1, 2)
            for rows in (self.scale, self.shift)
        )
        return Maps(scale, shift)


@dataclass(frozen=True)
class Maps:
    """scale and shift (B, C, h, w), computed for every pixel."""

    scale: Tensor
    shift: Tensor


class IndexedNorm(nn.Module, ABC):
    """``leaky_relu(scale * norm(x) + shift)`` with a scale and a shift by pixel.

    A model says how both follow from label map and style, as :class:`Rows` where pixels share
    them, else as :class:`Maps`.

    Args:
        channels: C, of x.
        normalise: over the batch with running averages, or over each image.
    """

    def __init__(self, channels: int, normalise: Normalise = "batch") -> None:
        super().__init__()
        batch = normalise == "batch"
        self.fused = True
        self.statistics = BatchStatistics(channels) if batch else InstanceStatistics()

    def forward(self, x: Tensor, level: Any, style: Any, negative_slope: float) -> Tensor:
        """x (B, C, h, w) -> the same shape. level, style: what :meth:`affine` reads."""
        mean, rstd = self.statistics(x)
        affine = self.affine(level, style)
        if isinstance(affine, Rows) and self.fused:
            dtype = x.dtype
            return indexed_affine(
                x,
                affine.index,
                affine.scale.to(dtype),
                affine.shift.to(dtype),
                mean=mean,
                rstd=rstd,
                negative_slope=negative_slope,
            )
        maps = affine.maps() if isinstance(affine, Rows) else affine
        mean, rstd = (t.view(*t.shape, 1, 1) for t in (mean, rstd))
        y = (maps.scale * ((x - mean) * rstd) + maps.shift).to(x.dtype)
        return y if negative_slope == 1 else F.leaky_relu(y, negative_slope)

    @abstractmethod
    def affine(self, level: Any, style: Any) -> Rows | Maps:
        """Scale and shift of every pixel of a label map, under a style."""
