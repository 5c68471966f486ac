# SPDX-License-Identifier: Apache-2.0
"""Patch coherence: every patch of a result should look like one of the source's, of its label."""

import torch
import torch.nn.functional as F
from torch import Tensor

_AT_ONCE = 1 << 22
"""Distances that are held in memory at a time."""


class PatchCoherence:
    """The mean distance of patches to the nearest of the source with the same label (paper, 3.3).

    Patches of the image at full and at half resolution; which is nearest carries no gradient.

    Args:
        image: (1, 3, H, W), the source in [-1, 1].
        labels: (1, H, W) int64.
        num_labels: K.
        queries: patches of a result that are asked at each resolution.
        patch: pixels a side, odd.
        by_label: off: any patch of the source will do.
    """

    def __init__(
        self,
        image: Tensor,
        labels: Tensor,
        num_labels: int,
        *,
        queries: int = 512,
        patch: int = 5,
        by_label: bool = True,
    ) -> None:
        self.queries, self.patch, self.by_label = queries, patch, by_label
        self._sources = []
        for factor in (1, 2):
            rows = self._rows(_averaged(image, factor))
            kinds = self._kinds(labels, factor)
            groups = {}
            for kind in range(num_labels):
                own = rows[kinds == kind]
                if len(own):
                    groups[kind] = (own, own.square().sum(1))
            self._sources.append(groups)

    def __call__(self, image: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """image (1, 3, H, W) under labels (1, H, W): a scalar, 0 for the source itself.

        Labels that the source lacks have no say.
        """
        losses = []
        for factor, groups in zip((1, 2), self._sources, strict=True):
            rows, kinds = self._rows(_averaged(image, factor)), self._kinds(labels, factor)
            drawn = torch.randint(len(rows), (self.queries,), generator=generator)
            drawn = drawn.to(rows.device)
            asked, kind_of = rows[drawn], kinds[drawn]
            for kind, (own, squares) in groups.items():
                mine = asked[kind_of == kind]
                for part in mine.split(max(1, _AT_ONCE // len(own))):
                    with torch.no_grad():
                        nearest = torch.addmm(squares, part, own.T, alpha=-2).argmin(1)
                    losses.append((part - own[nearest]).abs().sum(1))
        found = torch.cat(losses)
        return found.sum() / (max(1, len(found)) * 3 * self.patch**2)

    def _rows(self, image: Tensor) -> Tensor:
        margin = self.patch // 2
        padded = F.pad(image, (margin,) * 4, mode="reflect")
        return F.unfold(padded, self.patch)[0].T

    def _kinds(self, labels: Tensor, factor: int) -> Tensor:
        kinds = labels if self.by_label else torch.zeros_like(labels)
        return kinds[0, ::factor, ::factor].flatten()


def _averaged(image: Tensor, factor: int) -> Tensor:
    return F.avg_pool2d(image, factor, ceil_mode=True) if factor > 1 else image
