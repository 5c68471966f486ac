# SPDX-License-Identifier: Apache-2.0
"""Other colours for each label of an image, so that its label map no longer tells them."""

import numpy as np

from scam.data.arrays import Image, LabelMap

_COLOURS = (6.0, 249.0)  # of 255: of what a label's mean becomes
_GAIN = (0.5, 1.5)  # of colours about that mean
_GREY_AXIS = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)  # v -> axis x v


def recolour(image: Image, labels: LabelMap, random: np.random.Generator) -> Image:
    """Each label's pixels under one affine change of colours, drawn for it alone.

    image: uint8 (H, W, 3). labels: integers (H, W). The mean colour of a label becomes a random
    one; about it hues turn by a random angle and contrast changes by half at most. Pixels of
    label 0, the background, and of no label (below 0) keep their colours: a map gives away little
    of a scene. Returns uint8 (H, W, 3), clipped.
    """
    slots = np.maximum(labels.ravel(), 0)
    counts = np.bincount(slots)
    held = np.flatnonzero(counts)
    channels = image.reshape(-1, 3).T.astype(np.float32)
    sums = [np.bincount(slots, channel)[held] for channel in channels]
    means = np.stack(sums, 1) / counts[held, None]
    linear = _hue_rotations(random.uniform(-np.pi, np.pi, len(held)))
    linear *= random.uniform(*_GAIN, (len(held), 1, 1))
    offset = random.uniform(*_COLOURS, means.shape) - (linear @ means[..., None])[..., 0]
    # One row per coefficient: a table of matrices would be read several times as slowly.
    table = np.empty((12, len(counts)), np.float32)
    table[:, held] = np.concatenate([linear, offset[..., None]], 2).reshape(len(held), 12).T
    table[:, 0] = np.eye(3, 4).ravel()
    of_pixels = table.take(slots, 1).reshape(3, 4, -1)
    changed = np.einsum("icp,cp->ip", of_pixels[:, :3], channels) + of_pixels[:, 3]
    return changed.round().clip(0, 255).astype(np.uint8).T.reshape(image.shape)


def _hue_rotations(angles: np.ndarray) -> np.ndarray:
    """Rotations of RGB about the axis of greys by ``angles`` (n,): (n, 3, 3)."""
    cosine, sine = (f(angles)[:, None, None] for f in (np.cos, np.sin))
    return cosine * np.eye(3) + sine * _GREY_AXIS + (1 - cosine) / 3
