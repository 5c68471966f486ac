# SPDX-License-Identifier: Apache-2.0
"""A quickly sketched label map: a few straight lines to each object."""

import numpy as np

from scam.semia.landscape.scene import BOAT, LAKE, MEADOW, MOUNTAIN, SKY, TREE, Labels
from scam.semia.landscape.view import Outline, View

# Corners: x in half widths from the middle, y in heights from the top; later over earlier.
_SHAPES: tuple[tuple[int, Outline], ...] = (
    (MEADOW, [(-1.1, 0.5), (1.1, 0.5), (1.1, 1.1), (-1.1, 1.1)]),
    (
        MOUNTAIN,
        [
            (-1.1, 0.5),
            (-1.1, 0.34),
            (-0.62, 0.16),
            (-0.2, 0.4),
            (0.16, 0.3),
            (0.5, 0.1),
            (0.8, 0.33),
            (1.1, 0.4),
            (1.1, 0.5),
        ],
    ),
    (LAKE, [(-0.7, 0.56), (-0.5, 0.5), (0.45, 0.5), (0.75, 0.58), (0.5, 0.68), (-0.45, 0.7)]),
    (BOAT, [(-0.16, 0.62), (-0.05, 0.44), (0.06, 0.62), (0.02, 0.65), (-0.12, 0.65)]),
    (TREE, [(0.55, 0.9), (0.57, 0.6), (0.63, 0.6), (0.65, 0.9)]),
    (
        TREE,
        [
            (0.36, 0.6),
            (0.3, 0.42),
            (0.42, 0.22),
            (0.62, 0.16),
            (0.84, 0.26),
            (0.92, 0.46),
            (0.8, 0.64),
            (0.55, 0.67),
        ],
    ),
)


def sketch_labels(size: tuple[int, int]) -> Labels:
    """(H, W) int64 with every label of the landscape."""
    view = View(size)
    labels = np.full(size, SKY, np.int64)
    for label, corners in _SHAPES:
        labels[view.mask([(x * view.half_width, y) for x, y in corners])] = label
    return labels
