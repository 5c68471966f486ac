# SPDX-License-Identifier: Apache-2.0
"""SEAN-CLADE: SEAN with CLADE's table in place of SPADE's convolutions (as compared with SCAM)."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.models.label_levels import Level
from scam.models.residual import ResidualConfig
from scam.models.sean import NoisyCodes, SeanConfig, StyledModel, StyledNorm
from scam.nn.indexed_norm import Maps, Rows


@dataclass(frozen=True)
class SeanCladeConfig(SeanConfig):
    """Shapes of one SEAN-CLADE model."""

    kind: ClassVar[str] = "sean-clade"


class SeanCladeNorm(StyledNorm):
    """The label map has its part by a scale and a shift for each label.

    The published table is added to 1 though it begins at a mean of 0.5; ours begins at 0.
    """

    def __init__(self, config: ResidualConfig, channels: int, *, last: bool) -> None:
        super().__init__(config, channels, last=last)
        shape = (config.num_labels, channels)
        self.gamma = nn.Parameter(torch.rand(shape) if config.released else torch.zeros(shape))
        self.beta = nn.Parameter(torch.zeros(shape))

    def affine(self, level: Level, style: NoisyCodes) -> Rows | Maps:
        """By the label, or by the 3x3 labels that the style's convolutions see."""
        if self.style is None:
            # One row more for pixels without a label.
            index = torch.where(level.labels >= 0, level.labels, self.gamma.shape[0])
            gamma, beta = self._tables()
            return Rows(index, 1 + gamma, beta)
        if level.patches is None:
            gamma, beta = (t.permute(0, 3, 1, 2) for t in self._at(level.labels))
            by_style = self.style.maps(level.labels, style)
            return Maps(*self.blended(by_style, (gamma, beta)))
        images = level.patches.of_images
        by_style = self.style.rows(images, style)
        scale, shift = self.blended(by_style, self._at(images.taps[:, 4]))
        return Rows(images.small_index, scale, shift)

    def _at(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """gamma and beta (..., C) of labels (...), 0 for none."""
        index = torch.where(labels >= 0, labels, self.gamma.shape[0]).long()
        gamma, beta = self._tables()
        return gamma[index], beta[index]

    def _tables(self) -> tuple[Tensor, Tensor]:
        return F.pad(self.gamma, (0, 0, 0, 1)), F.pad(self.beta, (0, 0, 0, 1))


class SeanClade(StyledModel):
    """SEAN-CLADE."""

    Config: ClassVar[type[ResidualConfig]] = SeanCladeConfig

    def __init__(self, config: ResidualConfig, *, fused: bool = True) -> None:
        super().__init__(config, partial(SeanCladeNorm, config), fused=fused)
