# SPDX-License-Identifier: Apache-2.0
"""Filling the pixels of a label map that have no label from those around them."""

import numpy as np
from numpy.typing import NDArray


def grow(labels: NDArray[np.integer], unknown: NDArray[np.bool_]) -> None:
    """Give unknown pixels (H, W) the labels of known neighbours, round by round, in place.

    Of several neighbours the one above comes first, then left, right, below. Each pixel is met
    once, however far it is from the known ones. Nothing changes where no pixel is known.
    """
    width = labels.shape[1] + 2
    # With a margin that is neither, every pixel has four neighbours.
    known, unknown = np.pad(~unknown, 1).ravel(), np.pad(unknown, 1).ravel()
    steps = np.array([-width, -1, 1, width])
    edge = np.flatnonzero(unknown)
    edge = edge[np.logical_or.reduce([known[edge + step] for step in steps])]
    while edge.size:
        near = edge[:, None] + steps
        source = edge + steps[known[near].argmax(axis=1)]
        labels[edge // width - 1, edge % width - 1] = labels[
            source // width - 1, source % width - 1
        ]
        known[edge], unknown[edge] = True, False
        edge = np.unique(near[unknown[near]])
