# SPDX-License-Identifier: Apache-2.0
"""CLADE: semantic image synthesis via efficient class-adaptive normalisation (Tan et al., 2021).

SPADE's norm without its convolutions: a scale and a shift for each label.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import nn

from scam.models.label_levels import Level
from scam.models.residual import ResidualConfig
from scam.models.variational import CodeModel, VariationalConfig
from scam.nn.indexed_norm import IndexedNorm, Rows


@dataclass(frozen=True)
class CladeConfig(VariationalConfig):
    """Shapes of one CLADE model."""

    kind: ClassVar[str] = "clade"


class CladeNorm(IndexedNorm):
    """``gamma[label] * batch_norm(x) + beta[label]``; 1 is not added."""

    def __init__(self, config: ResidualConfig, channels: int, *, last: bool) -> None:
        super().__init__(channels)
        self.gamma = nn.Parameter(torch.rand(config.num_labels, channels))
        self.beta = nn.Parameter(torch.zeros(config.num_labels, channels))

    def affine(self, level: Level, style: Any) -> Rows:
        """By label."""
        return Rows(level.labels, self.gamma, self.beta)


class Clade(CodeModel):
    """CLADE with SPADE's image encoder."""

    Config: ClassVar[type[VariationalConfig]] = CladeConfig

    def __init__(self, config: VariationalConfig, *, fused: bool = True) -> None:
        super().__init__(config, partial(CladeNorm, config), fused=fused)
