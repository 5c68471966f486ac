# SPDX-License-Identifier: Apache-2.0
"""The baselines' two-scale PatchGAN under spectral norm: SPADE's and SEAN's."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.models.discriminators.patch import PatchDiscriminator
from scam.nn.initialise import initialise
from scam.nn.pyramid import known_labels, nearest_labels, one_hot, pyramid_sizes

STRIDES = {"patch": (2, 2, 2, 1, 1), "sean": (2, 2, 2, 1)}
"""``patch`` is of SPADE, CLADE, INADE and GroupDNet."""


class SpectralDiscriminator(nn.Module):
    """One :class:`PatchDiscriminator` at full and one at half resolution, without biases where an
    instance norm follows.

    It reads the label planes, then the image; at half resolution an average of both.
    ``released=True`` is SCAM's copy: biases everywhere, the image first, and at half resolution
    the nearest label.

    Args:
        num_labels: L.
        width: channels after the first convolution, 64 in the papers.
        strides: one of :data:`STRIDES`.
    """

    def __init__(
        self, num_labels: int, width: int, strides: Sequence[int], *, released: bool = False
    ) -> None:
        super().__init__()
        self.num_labels = num_labels
        self.released = released
        self.scales = nn.ModuleList(
            PatchDiscriminator(
                3 + num_labels, width, strides, spectral=True, biased=released, released=released
            )
            for _ in range(2)
        )
        initialise(self, released=released)

    def label_maps(self, labels: Tensor) -> tuple[Tensor, ...]:
        """Labels (B, H, W) as :meth:`forward` reads them, -1 = none; released: also halved."""
        labels = known_labels(labels, self.num_labels)
        if not self.released:
            return (labels,)
        return labels, nearest_labels(
            labels, pyramid_sizes(labels.shape[1], labels.shape[2], 1)[1]
        )

    def forward(self, image: Tensor, maps: Sequence[Tensor]) -> list[Tensor]:
        """image (B, 3, H, W) and its label maps -> one logit map (B, 1, p, q) per scale."""
        return [found[-1] for found in self.features(image, maps)]

    def features(self, image: Tensor, maps: Sequence[Tensor]) -> list[list[Tensor]]:
        """Per scale what follows each convolution, the logits (B, 1, p, q), float32, last."""
        planes = [one_hot(labels, self.num_labels).to(image.dtype) for labels in maps]
        if self.released:
            pictures = image, _halved(image)
            inputs = [torch.cat(pair, dim=1) for pair in zip(pictures, planes, strict=True)]
        else:
            full = torch.cat([planes[0], image], dim=1)
            inputs = [full, _halved(full)]
        found = [scale(x) for scale, x in zip(self.scales, inputs, strict=True)]
        return [[*maps, logits.float()] for *maps, logits in found]


def _halved(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
