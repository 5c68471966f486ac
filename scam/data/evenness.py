# SPDX-License-Identifier: Apache-2.0
"""Where an image does not change: what tells label images from photographs."""

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
_LEAST_EVENNESS = 0.45
_FEW_COLOURS = 256


def looks_like_labels(rgb: NDArray[np.uint8], opaque: Mask) -> bool:
    """Whether an image (H, W, 3) has few colours, or areas in which nothing changes."""
    return evenness(rgb, opaque) >= _LEAST_EVENNESS or count_colours(rgb, opaque) <= _FEW_COLOURS


def count_colours(rgb: NDArray[np.uint8], opaque: Mask) -> int:
    """How many colours an image (H, W, 3) has."""
    red, green, blue = np.moveaxis(rgb[opaque].astype(np.int32), -1, 0)
    return len(np.unique(red << 16 | green << 8 | blue))


def windows(values: NDArray[np.uint8], function: np.ufunc) -> NDArray[np.uint8]:
    """``function`` (minimum, maximum) over 3x3 pixels of (H, W, ...), fewer at the rim."""
    for axis in (0, 1):
        ahead = [slice(None)] * values.ndim
        behind = list(ahead)
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        result = values.copy()
        for to, other in ((behind, ahead), (ahead, behind)):
            function(result[tuple(to)], values[tuple(other)], out=result[tuple(to)])
        values = result
    return values


def unevenness(rgb: NDArray[np.uint8], opaque: Mask) -> NDArray[np.uint8]:
    """Largest difference of a channel in the 3x3 pixels around each, (H, W).

    255 at the rim and in transparent pixels, which have no inside.
    """
    uneven: NDArray[np.uint8] = (windows(rgb, np.maximum) - windows(rgb, np.minimum)).max(-1)
    uneven[[0, -1]], uneven[:, [0, -1]], uneven[~opaque] = 255, 255, 255
    return uneven


def evenness(rgb: NDArray[np.uint8], opaque: Mask) -> float:
    """Share of the pixels whose surroundings have their colour, or nearly so.

    Label images have 0.6 to 1, after compression too; photographs 0 to 0.3.
    """
    return float(np.mean(unevenness(rgb, opaque)[opaque] <= 2))


def inside(labels: NDArray[np.integer]) -> Mask:
    """Pixels (H, W) whose eight neighbours, fewer at the rim, have the same label."""
    # Two bytes tell any 65536 labels apart.
    parts = np.stack([labels & 255, labels >> 8 & 255], -1).astype(np.uint8)
    same: Mask = (windows(parts, np.maximum) == windows(parts, np.minimum)).all(-1)
    return same
