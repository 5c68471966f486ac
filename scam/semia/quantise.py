# SPDX-License-Identifier: Apache-2.0
"""From a label picture in colours to labels: the palette, and what borders belong to."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scam.data.grow import grow
from scam.semia.mixtures import around
from scam.semia.palette import LEAST_SHARE, Palette, find_palette
from scam.semia.vocabulary import Codes, Mask, unpacked

_FAR = 40.0  # levels, Euclidean: a pixel this far from its label's colour is no shade of it
_LOOK = ((-1, 0, 1), (-3, 0, 3))  # where a border looks for labels, by rows and columns
_BLOCK = 1 << 18


@dataclass(frozen=True, eq=False)
class Quantised:
    """labels: int64 (H, W), places in ``colours``, int32 (K,), 0xRRGGBB; known ones come first.

    strange: share of the pixels whose colour is that of no label and no mixture at a border.
    lossy: whether the picture was compressed with losses.
    """

    colours: Codes
    labels: NDArray[np.int64]
    strange: float
    lossy: bool


def quantise(rgb: NDArray[np.uint8], opaque: Mask, known: Codes | None = None) -> Quantised:
    """The labels of a picture (H, W, 3) and the colours that stand for them.

    opaque: (H, W); other pixels take the nearest label, whatever their colour. A border's pixel
    takes the most similar of the labels around it. known: colours that are labels in any case;
    new ones are those that have areas of their own and a thousandth of the pixels.
    """
    number = 0 if known is None else len(known)
    found = find_palette(rgb, opaque, np.zeros(0, np.int32) if known is None else known)
    while True:
        labels, strange = _labelled(rgb, opaque, found)
        areas = np.bincount(labels[opaque], minlength=len(found.colours))
        large = areas >= LEAST_SHARE * areas.sum()
        large[:number] = True
        if large.all():
            return Quantised(found.colours, labels, strange, found.lossy)
        found = found.only(np.flatnonzero(large))


def _labelled(
    rgb: NDArray[np.uint8], opaque: Mask, found: Palette
) -> tuple[NDArray[np.int64], float]:
    """The label of every pixel, and the share of strange ones."""
    labels = found.sure.astype(np.int64)
    flat, colours = labels.ravel(), unpacked(found.colours).astype(np.float32)
    unsure = np.flatnonzero((found.sure < 0) & opaque)
    strange = 0
    for start in range(0, unsure.size, _BLOCK):
        where = unsure[start : start + _BLOCK]
        own = rgb.reshape(-1, 3)[where].astype(np.float32)
        seen = np.concatenate([around(found.sure, where, steps) for steps in _LOOK], axis=1)
        best, gap = _most_similar(own, seen, colours)
        alone = np.flatnonzero(best < 0)
        every = np.broadcast_to(
            np.arange(len(colours), dtype=np.int16), (alone.size, len(colours))
        )
        best[alone], gap[alone] = _most_similar(own[alone], every, colours)
        flat[where] = best
        first = seen.max(axis=1)
        second = np.where(seen == first[:, None], np.int16(-1), seen).max(axis=1)
        strange += int(np.count_nonzero((gap > _FAR) & (second < 0)))
    if not opaque.all():
        grow(labels, ~opaque)
    return labels, strange / max(1, int(opaque.sum()))


def _most_similar(
    own: NDArray[np.float32], choices: NDArray[np.int16], colours: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Of the labels (N, C) that each colour (N, 3) may have the most similar one and its distance.

    -1 is no choice, and the answer where there is none.
    """
    best = np.full(len(own), -1, np.int64)
    least = np.full(len(own), np.inf, np.float32)
    for choice in choices.T:
        gap = np.sqrt(((colours[choice] - own) ** 2).sum(-1))
        closer = (choice >= 0) & (gap < least)
        best[closer], least[closer] = choice[closer], gap[closer]
    return best, least
