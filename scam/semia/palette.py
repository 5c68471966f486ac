# SPDX-License-Identifier: Apache-2.0
"""The colours that stand for labels in an image, told from those between two of them.

A label's colour has areas of its own. In a lossless image it is exact there, and smoothed
borders mix it with a neighbour's; after lossy compression it is a cloud of colours. Which of the
two an image is follows from the pixels beside its borders.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scam.data.evenness import Mask, unevenness, windows
from scam.semia.mixtures import EXACT, GREYS, LOSSY, Noise, distance, owners
from scam.semia.vocabulary import Codes, packed, unpacked

LEAST_SHARE = 0.001
"""Of the pixels, that a colour has to have if it is to be a label."""
# An inside is a pixel equal to its eight neighbours; thin lines of one exact colour have none.
_LEAST_INSIDE = LEAST_SHARE / 10
# Measured: 0 to 0.08 beside smoothed borders, 0.24 to 0.7 after JPEG or WebP of quality 50 to 95.
_MOST_UNEVEN = 0.15
_COMPANY = 3  # neighbours of its own label, of eight, that a pixel of a lossy image needs
_EDGE = 24  # difference to a neighbour, of a channel, that no compression makes by itself


@dataclass(frozen=True, eq=False)
class Palette:
    """colours: int32 (K,), 0xRRGGBB, the known ones first.

    sure: int16 (H, W), which of them a pixel has, -1 where that is not clear: at borders, where
    the image is transparent, in strange colours. lossy: whether the image was compressed.
    """

    colours: Codes
    sure: NDArray[np.int16]
    lossy: bool

    def only(self, kept: NDArray[np.int64]) -> "Palette":
        """Without the other colours, whose pixels become unclear."""
        number = np.full(len(self.colours) + 1, -1, np.int16)  # the last entry is that of -1
        number[kept] = np.arange(len(kept))
        return Palette(self.colours[kept], number[self.sure], self.lossy)


def _noise(uneven: NDArray[np.uint8]) -> Noise:
    """Beside borders, where smoothing ends, lossless images are even and lossy ones are not."""
    border = (uneven > _EDGE).view(np.uint8)
    for _ in range(2):
        border = windows(border, np.maximum)
    beside = border
    for _ in range(3):
        beside = windows(beside, np.maximum)
    ring = uneven[(beside > border) & (uneven < 255)]
    return LOSSY if ring.size and np.mean(ring > 0) > _MOST_UNEVEN else EXACT


def find_palette(rgb: NDArray[np.uint8], opaque: Mask, known: Codes) -> Palette:
    """The colours of a label image (H, W, 3) that are labels.

    opaque: (H, W), the pixels that count. known: colours that are labels already, kept however
    few pixels they have here.
    """
    uneven = unevenness(rgb, opaque)
    noise = _noise(uneven)
    codes = packed(rgb)
    colours, pixels = np.unique(codes[opaque], return_counts=True)
    insides = np.zeros_like(pixels)
    found, counts = np.unique(codes[uneven == 0], return_counts=True)
    insides[np.searchsorted(colours, found)] = counts
    if not noise.lossy and _are_grey(colours) and np.mean(insides > 0) > 0.5:
        noise = GREYS
    peaks, label_of = _peaks(colours, pixels, insides, known, noise)
    labels = peaks[np.unique(label_of, return_index=True)[1]]
    sure = _sure(codes, opaque, colours, peaks, label_of, noise)
    owner = owners(labels, len(known), sure, noise)
    merged = Palette(labels, np.append(owner, np.int16(-1))[sure], noise.lossy)
    return merged.only(np.unique(owner[owner >= 0]))


def _are_grey(colours: Codes) -> bool:
    """Whether they are greys alone: without smoothed borders these may be ids 0, 1, 2, ..."""
    return bool(((colours >> 8 == colours & 0xFFFF) & (colours >> 16 == colours & 255)).all())


def _peaks(
    colours: Codes,
    pixels: NDArray[np.int64],
    insides: NDArray[np.int64],
    known: Codes,
    noise: Noise,
) -> tuple[Codes, NDArray[np.int16]]:
    """Colours with pixels around them, most first, and the labels they stand for.

    The known ones are labels 0, 1, ... and so are colours with insides that are near them: from
    image to image a label's colour may drift.
    """
    total = int(pixels.sum())
    left = _worth_a_look(colours, pixels, insides, total, noise)
    left = left[np.lexsort((colours[left], -pixels[left], -insides[left]))]
    for colour in known:
        left = left[distance(colours[left], int(colour)) > noise.radius]
    peaks, label_of = list(map(int, known)), list(range(len(known)))
    while left.size:
        colour = int(colours[left[0]])
        near = distance(colours[left], colour) <= noise.radius
        if noise.lossy:
            colour = _centre(colours[left[near]], pixels[left[near]])
            near |= distance(colours[left], colour) <= noise.radius
        around, within = pixels[left[near]].sum(), insides[left[near]].sum()
        left = left[~near]
        gaps = distance(np.array(peaks, np.int32), colour)
        old, new = gaps[: len(known)], gaps[len(known) :]
        if old.size and old.min() <= noise.drift:
            if within >= _LEAST_INSIDE * total:
                peaks.append(colour)
                label_of.append(int(old.argmin()))
            continue
        least = LEAST_SHARE / 3 if noise.lossy else LEAST_SHARE
        large = around >= least * total or within >= _LEAST_INSIDE * total
        if large and (new >= noise.apart).all():
            peaks.append(colour)
            label_of.append(max(label_of, default=-1) + 1)
    return np.array(peaks, np.int32), np.array(label_of, np.int16)


def _centre(colours: Codes, pixels: NDArray[np.int64]) -> int:
    """The median of each channel."""
    middle = 0
    for shift in (16, 8, 0):
        levels = np.bincount(colours >> shift & 255, pixels, minlength=256).cumsum()
        middle = middle << 8 | int(np.searchsorted(levels, levels[-1] / 2))
    return middle


def _worth_a_look(
    colours: Codes,
    pixels: NDArray[np.int64],
    insides: NDArray[np.int64],
    total: int,
    noise: Noise,
) -> NDArray[np.int64]:
    """Places of the colours that may be peaks: a lossy image has a hundred thousand."""
    if not noise.lossy:
        return np.flatnonzero((insides > 0) | (pixels >= LEAST_SHARE / 10 * total))
    cells = tuple((unpacked(colours) >> 3).astype(np.int64).T)  # 8 levels wide, with neighbours 24
    mass = np.zeros((34, 34, 34))
    np.add.at(mass[1:-1, 1:-1, 1:-1], cells, pixels)
    for axis in range(3):
        mass = mass + np.roll(mass, 1, axis) + np.roll(mass, -1, axis)
    return np.flatnonzero(mass[1:-1, 1:-1, 1:-1][cells] >= LEAST_SHARE / 3 * total)


def _sure(
    codes: Codes,
    opaque: Mask,
    colours: Codes,
    peaks: Codes,
    label_of: NDArray[np.int16],
    noise: Noise,
) -> NDArray[np.int16]:
    """The label of the peak that each pixel's colour belongs to, (H, W), -1 for none."""
    nearest = np.full(len(colours), -1, np.int16)
    least = np.full(len(colours), noise.radius + 1)
    for colour, label in zip(peaks, label_of, strict=True):
        gap = distance(colours, int(colour))
        closer = gap < least
        nearest[closer], least[closer] = label, gap[closer]
    table = np.full(1 << 24, -1, np.int16)
    table[colours] = nearest
    sure = np.where(opaque, table[codes], np.int16(-1))
    if noise.lossy:
        # On its way from one colour to another a border passes through third ones.
        sure[_agreeing(sure) < _COMPANY] = -1
    return sure


def _agreeing(labels: NDArray[np.int16]) -> NDArray[np.uint8]:
    """How many of the eight neighbours of each pixel have its label."""
    count = np.zeros(labels.shape, np.uint8)
    height, width = labels.shape
    for down, right in ((0, 1), (1, -1), (1, 0), (1, 1)):
        here = (slice(0, height - down), slice(max(0, -right), width - max(0, right)))
        there = (slice(down, height), slice(max(0, right), width + min(0, right)))
        same = labels[here] == labels[there]
        count[here] += same
        count[there] += same
    return count
