# SPDX-License-Identifier: Apache-2.0
"""Label maps and style codes as the norms of the SPADE family read them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from scam.nn.label_patches import LabelPatches
from scam.nn.pyramid import known_labels, nearest_labels, present_labels


@dataclass(frozen=True)
class Level:
    """A label map (B, h, w) at the size of a block, and its patches where they are read."""

    labels: Tensor
    patches: LabelPatches | None


@dataclass(frozen=True)
class LabelLevels:
    """Label maps as the generator reads them: see :class:`~scam.models.base.PreparedLabels`.

    levels: one for every block, coarse to fine. occurring: (l,) the labels that the batch holds;
    None: all, or not known.
    """

    labels: Tensor
    present: Tensor
    levels: tuple[Level, ...]
    occurring: Tensor | None

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """What each block runs at."""
        return [(level.labels.shape[1], level.labels.shape[2]) for level in self.levels]

    @classmethod
    def build(
        cls,
        labels: Tensor,
        num_labels: int,
        sizes: Sequence[tuple[int, int]],
        *,
        patches: bool,
        occurring: Sequence[int] | None = None,
    ) -> "LabelLevels":
        """The top-left pixel of every cell, at each of ``sizes``."""
        labels = known_labels(labels, num_labels)
        made: dict[tuple[int, int], Level] = {}
        for size in sizes:
            if size not in made:
                small = nearest_labels(labels, size)
                found = LabelPatches.build(small, num_labels) if patches else None
                made[size] = Level(small, found)
        present = present_labels(labels, num_labels)
        if occurring is None and not present.is_cuda:  # asking a GPU would wait for it
            occurring = present.any(0).nonzero().flatten().tolist()
        some = None
        if occurring is not None and 0 < len(occurring) < num_labels:
            some = torch.tensor(occurring).to(labels.device, non_blocking=True)
        return cls(labels, present, tuple(made[size] for size in sizes), some)


@dataclass(frozen=True)
class LabelCodes:
    """A style code for each label, as norms read them.

    codes: (B, l, d) of the labels that occur in the batch. labels: (l,) which those are; None:
    all of ``num_labels``.
    """

    codes: Tensor
    labels: Tensor | None
    num_labels: int

    @classmethod
    def of(cls, tokens: Tensor, maps: LabelLevels, **more: Any) -> Self:
        """tokens (B, L, d); more: fields of a subclass."""
        labels, num_labels = maps.occurring, tokens.shape[1]
        return cls(tokens if labels is None else tokens[:, labels], labels, num_labels, **more)

    def places(self, labels: Tensor, image: Tensor) -> Tensor:
        """Which of the B * l codes a pixel of ``labels`` in ``image`` has; B * l: none."""
        batch, count = self.codes.shape[:2]
        rank = torch.arange(self.num_labels + 1, device=labels.device)
        known = (labels >= 0) & (labels < self.num_labels)
        if self.labels is not None:
            rank[self.labels] = torch.arange(count, device=labels.device)
        place = image * count + rank[torch.where(known, labels, 0).long()]
        return torch.where(known, place, batch * count)
