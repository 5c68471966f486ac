# SPDX-License-Identifier: Apache-2.0
"""Colours that are not labels: mixtures of two neighbours' colours, and fringes of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from scam.data.evenness import inside
from scam.semia.vocabulary import Codes, unpacked

_SAMPLE = 4096  # pixels of a colour whose surroundings are sampled
_MOSTLY = 0.6
_LEAST_AREA = 0.0001  # of the pixels, that surely have a label's colour
# Sharp filters overshoot by a tenth, where the image has room for it.
_ALONG = np.linspace(-0.15, 1.15, 105)[:, None]
TO_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)
"""Rows: red, green, blue to brightness and two colour differences (ITU-T T.871)."""


@dataclass(frozen=True)
class Noise:
    """What compression did to an image, in levels of a channel.

    radius: of the cloud of colours that are one. apart: how far two such clouds are at least.
    drift: of one label's colour from image to image. sight: how many pixels a border is wide.
    between: how far a mixture may be from the line between its colours, or, where brightness and
    colour mix apart, from the box between them. like: how far a fringe may be from its colour.
    """

    lossy: bool
    radius: int
    apart: int
    drift: int
    sight: int
    between: int
    like: int


GREYS = Noise(lossy=False, radius=0, apart=1, drift=0, sight=3, between=8, like=0)
EXACT = Noise(lossy=False, radius=3, apart=4, drift=16, sight=3, between=8, like=19)
LOSSY = Noise(lossy=True, radius=9, apart=15, drift=24, sight=3, between=24, like=40)


def distance(colours: Codes, colour: int) -> NDArray[np.int32]:
    """Largest difference of a channel."""
    gaps = unpacked(colours).astype(np.int32) - unpacked(np.array(colour)).astype(np.int32)
    return np.abs(gaps).max(-1)


def around(
    sure: NDArray[np.int16], where: NDArray[np.int64], steps: Sequence[int]
) -> NDArray[np.int16]:
    """The labels at these steps, down and right, of the pixels ``where`` (N,), (N, len(steps)**2).

    where: places in the flat map. -1 beyond the rim.
    """
    reach = max(steps)
    padded = np.pad(sure, reach, constant_values=-1)
    width = padded.shape[1]
    row, column = np.divmod(where, sure.shape[1])
    start = (row + reach) * width + column + reach
    offsets = np.array([down * width + right for down in steps for right in steps])
    return padded.ravel()[start[:, None] + offsets]


def owners(colours: Codes, known: int, sure: NDArray[np.int16], noise: Noise) -> NDArray[np.int16]:
    """The label that each colour stands for: its own place, another's, or -1 for none.

    The first ``known`` stand for themselves. A mixture is between two labels, in colour and in
    space: most of its pixels see both. So does a fringe of one label: most of its pixels see that
    one, whose colour is similar. Elsewhere a similar colour without an inside is a thin part of
    that label, which smoothing has paled.
    """
    flat = sure.ravel()
    areas = np.bincount(flat[flat >= 0], minlength=len(colours))
    insides = np.bincount(sure[inside(sure) & (sure >= 0)], minlength=len(colours))
    least = max(1.0, _LEAST_AREA * flat.size)
    found = np.full(len(colours), -1, np.int16)
    found[:known] = np.arange(known)
    kept = list(range(known))
    steps = range(-noise.sight, noise.sight + 1)
    for index in (known + np.argsort(-areas[known:], kind="stable")).tolist():
        if areas[index] < least:
            continue
        where = np.flatnonzero(flat == index)
        seen = around(sure, where[:: 1 + where.size // _SAMPLE], steps)
        sees = {other: (seen == other).any(axis=1) for other in kept}
        often = [other for other in kept if sees[other].mean() >= _MOSTLY]
        gaps = distance(colours[kept], int(colours[index]))
        similar = [other for other, gap in zip(kept, gaps, strict=True) if gap <= noise.like]
        if set(similar) & set(often) or any(
            (sees[one] & sees[other]).mean() >= _MOSTLY
            and _is_between(colours[[index, one, other]], noise)
            for one, other in combinations(often, 2)
        ):
            continue
        if not noise.lossy and similar and insides[index] < least:
            found[index] = kept[int(gaps.argmin())]
        else:
            found[index] = index
            kept.append(index)
    return found


def _is_between(colours: Codes, noise: Noise) -> bool:
    """Whether the first of three colours may be a mixture of the others."""
    mixed, one, other = unpacked(colours).astype(np.float64)
    if not noise.lossy:
        line = (one + _ALONG * (other - one)).clip(0, 255)
        return bool(np.abs(line - mixed).max(-1).min() <= noise.between)
    mixed, one, other = mixed @ TO_YCC.T, one @ TO_YCC.T, other @ TO_YCC.T
    low, high = np.minimum(one, other) - noise.between, np.maximum(one, other) + noise.between
    return bool(((low <= mixed) & (mixed <= high)).all())
