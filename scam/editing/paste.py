# SPDX-License-Identifier: Apache-2.0
"""Put a generated region into the photograph it was painted for, and nothing else."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def touched_pixels(
    before: NDArray[np.integer], after: NDArray[np.integer], background_labels: Collection[int]
) -> Mask:
    """Where the subject stood or will stand: label maps (H, W) -> bool (H, W).

    Pixels without a label (negative) count as background.
    """
    scene = [*background_labels]
    return ~(_in(before, scene) & _in(after, scene))


def paste_back(photo: Pixels, painted: Pixels, touched: Mask, feather: int = 4) -> Pixels:
    """Blend ``painted`` into ``photo``, both (H, W, 3), where ``touched`` (H, W).

    The blend runs out linearly over ``feather`` pixels around the touched region; beyond them
    every pixel of ``photo`` is returned as it was.
    """
    mask = Image.fromarray(touched.astype(np.uint8) * 255)
    weight = touched.astype(np.float32)
    for _ in range(feather):
        mask = mask.filter(ImageFilter.MaxFilter(3))
        weight += np.asarray(mask) > 0
    share = (weight / (feather + 1))[..., None]
    blend = photo + share * (painted.astype(np.float32) - photo)
    return np.where(share > 0, blend.round().astype(np.uint8), photo)


def _in(labels: NDArray[np.integer], scene: list[int]) -> Mask:
    return np.isin(labels, scene) | (labels < 0)
