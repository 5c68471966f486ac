# SPDX-License-Identifier: Apache-2.0
"""From a label image in colours to labels: the palette, and what borders belong to."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scam.data.evenness import Mask, windows
from scam.data.grow import grow
from scam.semia.mixtures import TO_YCC
from scam.semia.palette import LEAST_SHARE, Palette, find_palette
from scam.semia.vocabulary import Codes, unpacked

_FAR = 40.0  # levels, Euclidean: a pixel this far from its label's colour is not a shade of it
# Lossy compression keeps brightness, where it is, four times as well as it does colour.
_WEIGHTED = (TO_YCC * np.array([[1], [0.25], [0.25]])).T.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Quantised:
    """labels: int64 (H, W), places in ``colours``, int32 (K,), 0xRRGGBB; known ones come first.

    Without any colours all labels are -1. strange: share of the pixels whose colour is that of no
    label and no mixture at a border.
    lossy: whether the image was compressed with losses.
    """

    colours: Codes
    labels: NDArray[np.int64]
    strange: float
    lossy: bool


def quantise(rgb: NDArray[np.uint8], opaque: Mask, known: Codes | None = None) -> Quantised:
    """The labels of an image (H, W, 3) and the colours that stand for them.

    opaque: (H, W); other pixels take the nearest label, whatever their colour. A border's pixel
    takes the most similar of the labels around it. known: colours that are labels in any case;
    new ones are those that have areas of their own and a thousandth of the pixels.
    """
    number = 0 if known is None else len(known)
    found = find_palette(rgb, opaque, np.zeros(0, np.int32) if known is None else known)
    while True:
        if not len(found.colours):
            return Quantised(found.colours, np.full(opaque.shape, -1), 1.0, found.lossy)
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
    where = np.flatnonzero((found.sure < 0) & opaque)
    space, reach = (_WEIGHTED, 4) if found.lossy else (np.eye(3, dtype=np.float32), 2)
    own, colours = rgb.reshape(-1, 3)[where] @ space, unpacked(found.colours) @ space
    best = np.full(where.size, -1, np.int64)
    least = np.full(where.size, np.inf, np.float32)
    seen = np.zeros(where.size, np.int32)

    def offer(index: int, places: NDArray[np.int64]) -> None:
        gap = np.sqrt(((own[places] - colours[index]) ** 2).sum(-1))
        closer = gap < least[places]
        best[places[closer]], least[places[closer]] = index, gap[closer]

    for index in range(len(colours)):
        near = np.flatnonzero(_widened(found.sure == index, reach).ravel()[where])
        seen[near] += 1
        offer(index, near)
    alone = np.flatnonzero(best < 0)
    for index in range(len(colours)):
        offer(index, alone)
    labels.ravel()[where] = best
    if not opaque.all():
        grow(labels, ~opaque)
    strange = np.count_nonzero((least > _FAR) & (seen < 2))
    return labels, strange / max(1, int(opaque.sum()))


def _widened(mask: Mask, reach: int) -> Mask:
    """Every pixel within ``reach`` of the mask (H, W), in rows and columns."""
    wide = np.zeros_like(mask)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size:
        box = tuple(slice(max(0, x[0] - reach), x[-1] + reach + 1) for x in (rows, columns))
        part = mask[box].view(np.uint8)
        for _ in range(reach):
            part = windows(part, np.maximum)
        wide[box] = part
    return wide
