# SPDX-License-Identifier: Apache-2.0
"""What a generator of one image learns from: the source, warped copies, edited label maps."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scam.semia.edits import draw_edit
from scam.semia.patches import Collage, PatchMatch, PatchOptions
from scam.semia.warps import draw_warp

_ITSELF = 5
"""Of so many steps one reconstructs the source under its own label map (paper, section 3.4)."""


@dataclass(frozen=True)
class Pair:
    """A source and what is asked of it. Images (1, 3, H, W), labels (1, H, W).

    truth: the image that belongs to ``target``, as far as there is one. start: the collage of the
    source under ``target``, where the generator refines one.
    """

    image: Tensor
    labels: Tensor
    target: Tensor
    truth: Tensor | None
    start: Collage | None

    @property
    def unchanged(self) -> bool:
        """Whether the label maps are one, and the source is the truth."""
        return self.truth is self.image


class Pairs:
    """The pairs of a run, each made when it is first asked for, by its number and the seed alone.

    Early steps draw from the first ones, whose warps are weak.

    Args:
        image, labels: (1, 3, H, W) in [-1, 1] and (1, H, W) int64, the source.
        num_labels: K.
        count: of pairs, beside the source with itself.
        seed: of everything random.
        patches: how collages are made; None: no collages.
        by_label: whether patches of collages are restricted to their label.
    """

    def __init__(
        self,
        image: Tensor,
        labels: Tensor,
        num_labels: int,
        count: int,
        seed: int,
        patches: PatchOptions | None,
        *,
        by_label: bool = True,
    ) -> None:
        self.image, self.labels, self.num_labels = image, labels, num_labels
        self.count, self.seed, self.patches, self.by_label = count, seed, patches, by_label
        self._made: dict[int, Pair] = {}
        self._itself: Pair | None = None
        self._source: PatchMatch | None = None

    def at(self, step: int, steps: int) -> Pair:
        """The pair of a step, from 1 on, of so many; by the seed and these numbers alone."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        if step % _ITSELF == 0:
            return self.itself
        # All of them from a third of the run on.
        known = max(4, round(self.count * min(1.0, 3 * step / steps)))
        number = int(torch.randint(min(known, self.count), (), generator=generator))
        if number not in self._made:
            self._made[number] = self._make(number)
        return self._made[number]

    @property
    def itself(self) -> Pair:
        """The source under its own label map."""
        if self._itself is None:
            pair = Pair(self.image, self.labels, self.labels, self.image, None)
            self._itself = replace(pair, start=self._collage(pair))
        return self._itself

    def edited(self, number: int) -> Pair:
        """The source under an edited label map, of which no truth is known."""
        generator = torch.Generator().manual_seed(self.seed * 7919 + number)
        return self.for_target(draw_edit(self.labels.cpu(), generator).to(self.labels.device))

    def for_target(self, target: Tensor) -> Pair:
        """The source under labels (1, H', W'), of which no truth is known."""
        pair = Pair(self.image, self.labels, target, None, None)
        return replace(pair, start=self._collage(pair))

    def _make(self, number: int) -> Pair:
        """Of five one is edited, one leads from a warped copy to the source, three to a copy."""
        if number % 5 == 4:
            return self.edited(number)
        generator = torch.Generator().manual_seed(self.seed * 104_729 + number)
        strength = min(1.0, 2 * (number + 1) / self.count)
        warp = draw_warp((self.image.shape[2], self.image.shape[3]), strength, generator)
        image, labels = warp.image(self.image), warp.labels(self.labels)
        pair = Pair(self.image, self.labels, labels, image, None)
        if number % 5 == 3 and torch.equal(torch.unique(labels), torch.unique(self.labels)):
            pair = Pair(image, labels, self.labels, self.image, None)
        return replace(pair, start=self._collage(pair))

    def _collage(self, pair: Pair) -> Collage | None:
        if self.patches is None:
            return None
        if pair.image is not self.image:
            return self._matcher(pair, self.patches)(pair.target[0])
        if self._source is None:
            self._source = self._matcher(pair, self.patches)
        return self._source(pair.target[0])

    def _matcher(self, pair: Pair, patches: PatchOptions) -> PatchMatch:
        image, labels = pair.image[0], pair.labels[0]
        return PatchMatch(image, labels, self.num_labels, patches, by_label=self.by_label)
