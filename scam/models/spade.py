# SPDX-License-Identifier: Apache-2.0
"""SPADE: semantic image synthesis with spatially-adaptive normalisation (Park et al., CVPR 2019).

Two convolutions of the label map give every pixel a scale and a shift. They see 5x5 labels, so
they are computed once for every distinct patch of a batch, and looked up.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from scam.models.label_levels import Level
from scam.models.residual import ResidualConfig
from scam.models.variational import CodeModel, VariationalConfig
from scam.nn.indexed_norm import IndexedNorm, Maps, Rows
from scam.nn.label_conv import LabelConv2d, convolved_rows, fewer_by_patch
from scam.nn.label_patches import LabelPatches


@dataclass(frozen=True)
class SpadeConfig(VariationalConfig):
    """Shapes of one SPADE model."""

    kind: ClassVar[str] = "spade"


class LabelBranch(nn.Module):
    """gamma and beta by two 3x3 convolutions of a label map, the first one shared.

    Args:
        num_labels: L.
        hidden: channels between the convolutions.
        channels: of gamma and beta.
        label_groups, groups: of the first convolution and of the second ones.
    """

    def __init__(
        self,
        num_labels: int,
        hidden: int,
        channels: int,
        *,
        label_groups: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.hidden = hidden
        self.shared = LabelConv2d(num_labels, hidden, label_groups)
        self.gamma = nn.Conv2d(hidden, channels, 3, padding=1, groups=groups)
        self.beta = nn.Conv2d(hidden, channels, 3, padding=1, groups=groups)

    def affine(self, level: Level) -> Rows | Maps:
        """``1 + gamma`` and ``beta``, by patch where that costs less, else by pixel."""
        patches = level.patches
        if patches is None or not fewer_by_patch(patches, self.hidden // self.gamma.groups):
            gamma, beta = self.maps(level.labels)
            return Maps(1 + gamma, beta)
        gamma, beta = self.rows(patches)
        return Rows(patches.index, 1 + gamma, beta)

    def maps(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """labels (B, h, w) -> gamma and beta (B, C, h, w)."""
        hidden = F.relu(self.shared(labels))
        return self.gamma(hidden), self.beta(hidden)

    def rows(self, patches: LabelPatches) -> tuple[Tensor, Tensor]:
        """gamma and beta (U5, C) of every 5x5 patch."""
        hidden = F.relu(self.shared.at(patches.taps))
        # The second convolution pads with zeros, not with what the first one makes of nothing.
        hidden = hidden.masked_fill(patches.outside[:, None], 0)
        gamma, beta = (
            convolved_rows(hidden, conv.weight, conv.bias, patches.around, conv.groups)
            for conv in (self.gamma, self.beta)
        )
        return gamma, beta


class SpadeNorm(IndexedNorm):
    """``(1 + gamma) * batch_norm(x) + beta``."""

    def __init__(self, config: ResidualConfig, channels: int, *, last: bool) -> None:
        super().__init__(channels)
        self.labels = LabelBranch(config.num_labels, 2 * config.width, channels)

    def affine(self, level: Level, style: Any) -> Rows | Maps:
        """See :class:`LabelBranch`."""
        return self.labels.affine(level)


class Spade(CodeModel):
    """SPADE with its image encoder."""

    Config: ClassVar[type[VariationalConfig]] = SpadeConfig
    reads_patches = True

    def __init__(self, config: VariationalConfig, *, fused: bool = True) -> None:
        super().__init__(config, partial(SpadeNorm, config), fused=fused)
