# SPDX-License-Identifier: Apache-2.0
"""Put a generated region, and nothing else, into its photograph."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Labels = NDArray[np.integer]
_REACH = 4
"""Model pixels that a label's colours are extended by: two that bicubic filters read beyond a
border, one at most between a label map and its small copy, and one for the edge dropped."""


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

    The blend runs out linearly over ``feather`` pixels around the touched region; beyond them
    every pixel of ``photo`` is returned as it was.
    """
    mask = Image.fromarray(touched.astype(np.uint8) * 255)
    weight = touched.astype(np.float32)
    for _ in range(feather):
        mask = mask.filter(ImageFilter.MaxFilter(3))
        weight += np.asarray(mask) > 0
    share = (weight / (feather + 1))[..., None]
    blend = photo + share * (generated.astype(np.float32) - photo)
    return np.where(share > 0, blend.round().astype(np.uint8), photo)


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


def _ends(some: NDArray[np.bool_]) -> tuple[int, int]:
    """Where to begin and to stop for all that are True and one more on either side."""
    found = np.flatnonzero(some)
    return max(0, int(found[0]) - 1), min(len(some), int(found[-1]) + 2)


def _grown(mask: Mask) -> Mask:
    """``mask`` and all eight neighbours of its pixels."""
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    return np.asarray(image.filter(ImageFilter.MaxFilter(3))) > 0


def _in(labels: Labels, scene: list[int]) -> Mask:
    return np.isin(labels, scene) | (labels < 0)
