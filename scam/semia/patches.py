# SPDX-License-Identifier: Apache-2.0
"""Label-restricted patch match: a collage of the source under another label map, without learning.

Coarse to fine, as in GPNN (Granot et al., CVPR 2022): where is a patch like this one in the
source, and what do the patches that cover a pixel say of it? Here only patches whose centre has
the same label are asked, and the coarsest guess is that of label maps alone. What is half a
patch or more from any change of the label map stays as it is, to the bit.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from scam.errors import InputError
from scam.semia.places import any_of, enlarged, of_label, vote
from scam.semia.scales import Rows, Scale, Size, resized_image, resized_labels, sizes, surroundings
from scam.semia.search import most_alike, propagated
from scam.settings.fields import Checked, setting

_REACHES = (1.0, 2.0, 4.0)
_FAR_REACHES = (*_REACHES, 8.0, 16.0)
_ALL_PAIRS = 1 << 28
"""Pairs of a target's and a source's pixels above which only places found near are compared."""
_LAYOUT = 0.6
"""Weight of a place in the image where label maps alone are compared, times that of patches."""


@dataclass(frozen=True)
class PatchOptions(Checked):
    """How a collage is made."""

    title: ClassVar[str] = "patch options"
    heading: ClassVar[str] = "patches"

    patch: int = setting(7, "pixels a side, odd", least=3, most=31)
    coarsest: int = setting(16, "pixels of the shorter side where it begins", least=8, most=256)
    ratio: float = setting(0.75, "of a size to the next", least=0.3, most=0.95)
    rounds: int = setting(4, "of search and vote at each size but the last", least=1, most=100)
    last_rounds: int = setting(2, "at the last", least=1, most=100)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patch % 2 == 0:
            raise InputError("{patch}: expected an odd number", patch=self.patch)


@dataclass(frozen=True)
class Collage:
    """image (3, H, W), and the source's pixel behind each: (H, W) int64, row by row."""

    image: Tensor
    places: Tensor


class PatchMatch:
    """Collages of one source.

    Args:
        image: (3, H, W) in [-1, 1].
        labels: (H, W) int64, 0 to ``num_labels`` - 1.
        num_labels: K.
        options: see :class:`PatchOptions`.
        by_label: whether patches are restricted to those of the same label; off for comparison.
    """

    def __init__(
        self,
        image: Tensor,
        labels: Tensor,
        num_labels: int,
        options: PatchOptions | None = None,
        *,
        by_label: bool = True,
    ) -> None:
        self.options = options or PatchOptions()
        self.num_labels = num_labels
        self.by_label = by_label
        whole = (labels.shape[0], labels.shape[1])
        coarsest = min(self.options.coarsest, *whole)
        levels = sizes(whole, max(coarsest, self.options.patch), self.options.ratio)
        self._levels = [self._scale(image, labels, size, i) for i, size in enumerate(levels)]

    def __call__(self, labels: Tensor, progress: Callable[[float], None] | None = None) -> Collage:
        """The collage under labels (H', W') int64, of any size; each must occur in the source.

        progress: called with the share of the work that is done.
        """
        source = self._levels[-1].size
        whole = (labels.shape[0], labels.shape[1])
        if torch.equal(labels, self._levels[-1].labels):
            if progress is not None:
                progress(1)
            return self._itself()
        collage = None
        for number, level in enumerate(self._levels):
            factors = (level.size[0] / source[0], level.size[1] / source[1])
            size = whole
            if number < len(self._levels) - 1:
                size = (
                    max(self.options.patch, round(whole[0] * factors[0])),
                    max(self.options.patch, round(whole[1] * factors[1])),
                )
            small = self._present(resized_labels(labels, size, self.num_labels), level)
            around = surroundings(small, self.num_labels, self._reaches(number, level.size))
            if collage is None:
                places = self._by_layout(level, small, around)
            else:
                before = self._levels[number - 1].size
                places = self._enlarged(collage.places, before, level, small)
            told = None
            if progress is not None:
                told = partial(_tell, progress, self._levels, number)
            collage = self._refined(level, small, around, places, number, told)
        assert collage is not None
        return collage

    def _itself(self) -> Collage:
        """The source under its own label map."""
        last = self._levels[-1]
        places = torch.arange(last.labels.numel(), device=last.labels.device)
        return Collage(last.image, places.view(last.labels.shape))

    def _scale(self, image: Tensor, labels: Tensor, size: Size, number: int) -> Scale:
        small = resized_labels(labels, size, self.num_labels)
        around = surroundings(small, self.num_labels, self._reaches(number, size))
        return Scale(resized_image(image, size), small, around, self.options.patch)

    def _reaches(self, number: int, size: Size) -> Sequence[float]:
        if number == 0:
            return _FAR_REACHES
        return _REACHES if (size[0] * size[1]) ** 2 <= _ALL_PAIRS else ()

    def _present(self, labels: Tensor, level: Scale) -> Tensor:
        """Labels without those that a small source has lost, which become the commonest."""
        counts = torch.bincount(level.labels.flatten(), minlength=self.num_labels)
        if bool((counts[labels] > 0).all()):
            return labels
        known = counts[labels] > 0
        most = int(torch.where(known, labels, -1).flatten().mode().values)
        return torch.where(known, labels, most if most >= 0 else int(counts.argmax()))

    def _kinds(self, labels: Tensor) -> Tensor:
        """What has to be equal in a match."""
        return labels if self.by_label else torch.zeros_like(labels)

    def _by_layout(self, level: Scale, labels: Tensor, around: Tensor) -> Tensor:
        """The first guess: where surroundings and place in the image are most alike."""
        blank = replace(level, image=torch.zeros_like(level.image))
        target = Scale(level.image.new_zeros(3, *labels.shape), labels, around, level.patch)
        keys, queries = (
            Rows(scale, scale.places() * math.sqrt(_LAYOUT), around=1.0)
            for scale in (blank, target)
        )
        kinds, own = self._kinds(labels).flatten(), self._kinds(level.labels).flatten()
        match = most_alike(queries, kinds, keys, own, any_of(own, kinds))
        return match.view(labels.shape)

    def _enlarged(self, places: Tensor, before: Size, level: Scale, labels: Tensor) -> Tensor:
        """Places of the size before at this size; where their label differs, the nearest of it."""
        size, source = (labels.shape[0], labels.shape[1]), level.size
        match = enlarged(places, before, size, source)
        kinds, own = self._kinds(labels).flatten(), self._kinds(level.labels).flatten()
        return of_label(match, kinds, own, source)

    def _refined(
        self,
        level: Scale,
        labels: Tensor,
        around: Tensor,
        places: Tensor,
        number: int,
        told: Callable[[float], None] | None,
    ) -> Collage:
        """Rounds of search and vote. told: the share of this size's work that is done."""
        last = number == len(self._levels) - 1
        keys, prior = Rows(level), level.places()[places.flatten()]
        kinds, own = self._kinds(labels), self._kinds(level.labels)
        generator = torch.Generator().manual_seed(number)
        fixed = _unchanged(level, labels)
        if fixed is not None:
            itself = torch.arange(labels.numel(), device=labels.device).view(labels.shape)
            places = torch.where(fixed, itself, places)
        asking = None if fixed is None else ~fixed

        def voted() -> Tensor:
            image = vote(level, places, kinds, own)
            return image if fixed is None else torch.where(fixed, level.image, image)

        image = voted()
        rounds = self.options.last_rounds if last else self.options.rounds
        for done in range(rounds):
            if told is not None and done:
                told(done / rounds)
            queries = Rows(Scale(image, labels, around, level.patch), prior)
            if kinds.numel() * own.numel() <= _ALL_PAIRS:
                flat = kinds.flatten(), keys, own.flatten(), places.flatten()
                seeking = None if asking is None else asking.flatten()
                match = most_alike(queries, *flat, seeking).view(places.shape)
            else:
                match = propagated(queries, kinds, keys, own, places, generator, asking)
            if torch.equal(match, places):
                break
            places = match
            image = voted()
        if told is not None:
            told(1)
        return Collage(image, places)


def _unchanged(level: Scale, labels: Tensor) -> Tensor | None:
    """Pixels (h, w) with a patch around them that has the source's labels; None: another size."""
    if labels.shape != level.labels.shape:
        return None
    changed = (labels != level.labels)[None, None].float()
    return F.max_pool2d(changed, level.patch, 1, level.patch // 2)[0, 0] == 0


def _tell(
    progress: Callable[[float], None], levels: Sequence[Scale], number: int, share: float
) -> None:
    """Tell the share of the work that is done once ``share`` of that at size ``number`` is."""
    pixels = [level.labels.numel() for level in levels]
    progress((sum(pixels[:number]) + share * pixels[number]) / sum(pixels))
