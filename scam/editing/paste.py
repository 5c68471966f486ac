# SPDX-License-Identifier: Apache-2.0
"""Put a generated region, and nothing else, into its photograph."""

from collections.abc import Collection
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Labels = NDArray[np.integer]
_REACH = 4
"""Model pixels that a label's colours are extended by: two that bicubic filters read beyond a
border, one at most between a label map and its small copy, and one for the edge dropped."""
_ROWS = 64
"""Blended at once, to keep memory low."""


def touched_pixels(before: Labels, after: Labels, background_labels: Collection[int]) -> Mask:
    """Where the subject stood or will stand: label maps (H, W) -> bool (H, W).

    Pixels without a label (negative) count as background.
    """
    scene = [*background_labels]
    return ~(_in(before, scene) & _in(after, scene))


def spread_labels(labels: Labels, touched: Mask, pixels: int) -> Labels:
    """``labels`` (H, W) with those of the ``touched`` region carried so many pixels beyond it.

    Enlarged under such a map, the ring where :func:`paste_back` blends holds the colours of
    the person pasted, not the scene that was generated around them.
    """
    lowest = int(labels.min(initial=0)) - 1
    spread = np.where(touched, labels - lowest, 0).astype(np.int32)
    for _ in range(pixels):
        grown = np.asarray(Image.fromarray(spread).filter(ImageFilter.MaxFilter(3)))
        spread = np.where(spread > 0, spread, grown)
    return np.where(spread > 0, spread + lowest, labels)


def enlarge_by_labels(frame: Pixels, small: Labels, labels: Labels) -> Pixels:
    """A generated ``frame`` (h, w, 3) at the size of ``labels`` (H, W), label by label.

    small: the label map (h, w) that the frame was generated from. A generated pixel along a
    border mixes the colours of both sides, and once enlarged that mixture would surround
    people as a halo. So each pixel takes the colours from inside its own label, and a border
    between labels is three pixels wide whatever the factor. Below a factor of 2 photographs have
    mixed pixels of that size themselves, and the resampling is plain.
    """
    (height, width), (h, w) = labels.shape, small.shape
    if height < 2 * h or width < 2 * w:
        whole = Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC)
        return np.array(whole)
    result = np.zeros((height, width, 3), np.float32)
    for label in np.unique(labels):
        own = labels == label
        (top, bottom), (left, right) = (_ends(own.any(axis=axis)) for axis in (1, 0))
        place = slice(top, bottom), slice(left, right)
        filled = Image.fromarray(_from_inside(frame, small == label))
        box = (left * w / width, top * h / height, right * w / width, bottom * h / height)
        part = filled.resize((right - left, bottom - top), Image.Resampling.BICUBIC, box)
        result[place] += _smoothed(own[place])[..., None] * np.asarray(part)
    return result.round().clip(0, 255).astype(np.uint8)


def paste_back(photo: Pixels, generated: Pixels, touched: Mask, feather: int = 4) -> Pixels:
    """Blend ``generated`` into ``photo``, both (H, W, 3), where ``touched`` (H, W).

    The blend runs out linearly over ``feather`` pixels around the touched region, in every
    direction; beyond them every pixel of ``photo`` is returned as it was.
    """
    result = photo.copy()
    if not touched.any():
        return result
    rows, columns = (_ends(touched.max(axis=axis), feather) for axis in (1, 0))
    place = slice(*rows), slice(*columns)
    apart = _apart_in_columns(touched[place], feather)
    for top in range(0, len(apart), _ROWS):
        part = slice(top, top + _ROWS)
        share = _shares(apart[part], feather)[..., None]
        own, new = result[place][part], generated[place][part]
        blend = own + share * (new.astype(np.float32) - own)
        own[:] = np.where(share > 0, blend.round().astype(np.uint8), own)
    return result


def _apart_in_columns(mask: Mask, reach: int) -> NDArray[np.uint16]:
    """How far the nearest pixel of ``mask`` is up or down, at most ``reach + 1``."""
    apart = np.where(mask, 0, reach + 1).astype(np.uint16)
    for rows in (apart, apart[::-1]):
        for before, here in pairwise(rows):
            np.minimum(here, before + 1, out=here)
    return apart


def _shares(apart: NDArray[np.uint16], feather: int) -> NDArray[np.float32]:
    """Of the generated colours, given how far the region is up or down.

    1 in it, less by the Euclidean distance to it, 0 where that is over ``feather`` pixels.
    """
    nearest = apart.astype(np.float32) ** 2
    padded = np.pad(nearest, ((0, 0), (feather, feather)), constant_values=np.inf)
    for step in range(1, feather + 1):
        for left in (feather - step, feather + step):
            aside = padded[:, left : left + nearest.shape[1]]
            np.minimum(nearest, aside + step**2, out=nearest)
    distance = np.sqrt(nearest)
    return np.where(distance <= feather, 1 - distance / (feather + 1), 0).astype(np.float32)


def _from_inside(frame: Pixels, own: Mask) -> Pixels:
    """``frame`` with the colours inside the region ``own`` extended over its edge and beyond.

    Parts of a region that are all edge keep their colours.
    """
    inside = own & ~_grown(~own)
    thin = own & ~_grown(_grown(inside))
    filled, known = frame.astype(np.float32), inside | thin
    for _ in range(_REACH):
        filled, known = _extended(filled, known)
    return filled.round().astype(np.uint8)


def _extended(colours: NDArray[np.float32], known: Mask) -> tuple[NDArray[np.float32], Mask]:
    """One pixel more is known: the mean of its known neighbours, of eight."""
    height, width = known.shape
    padded = np.pad(np.where(known[..., None], colours, 0), ((1, 1), (1, 1), (0, 0)))
    count = np.pad(known.astype(np.float32), 1)
    total, near = np.zeros(colours.shape, np.float32), np.zeros(known.shape, np.float32)
    for y in range(3):
        for x in range(3):
            part = slice(y, y + height), slice(x, x + width)
            total += padded[part]
            near += count[part]
    mean = total / np.maximum(near, 1)[..., None]
    return np.where((known | (near == 0))[..., None], colours, mean), near > 0


def _smoothed(mask: Mask) -> NDArray[np.float32]:
    """The share of ``mask`` in the nine pixels around each."""
    padded = np.pad(mask.astype(np.float32), 1, mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    share: NDArray[np.float32] = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9
    return share


def _ends(some: NDArray[np.bool_], more: int = 1) -> tuple[int, int]:
    """Where to begin and to stop for all that are True and so many more on either side."""
    found = np.flatnonzero(some)
    return max(0, int(found[0]) - more), min(len(some), int(found[-1]) + 1 + more)


def _grown(mask: Mask) -> Mask:
    """``mask`` and all eight neighbours of its pixels."""
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(image.filter(ImageFilter.MaxFilter(3))) > 0


def _in(labels: Labels, scene: list[int]) -> Mask:
    return np.isin(labels, scene) | (labels < 0)
