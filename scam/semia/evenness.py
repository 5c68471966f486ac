# SPDX-License-Identifier: Apache-2.0
"""Where an image does not change: what tells label images from photographs."""

import numpy as np
from numpy.typing import NDArray

from scam.semia.vocabulary import Mask


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
