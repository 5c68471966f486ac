# SPDX-License-Identifier: Apache-2.0
"""Boats and trees: their outlines, anywhere and of any size."""

from dataclasses import dataclass

import numpy as np

from scam.semia.landscape.noise import fractal_noise, hashed
from scam.semia.landscape.view import Mask, Outline, View


@dataclass(frozen=True)
class Place:
    """x: from the middle, in half widths of the image. y: the foot, size: in its heights."""

    x: float
    y: float
    size: float


def boat_outlines(boat: Place, view: View) -> dict[str, Outline]:
    """Polygons by part: mast, mainsail, jib, hull."""
    parts = {
        "mast": [(0.0, -0.1), (0.02, -0.1), (0.02, -1.0), (0.0, -1.0)],
        "mainsail": [(0.03, -0.97), (0.2, -0.62), (0.36, -0.2), (0.03, -0.17)],
        "jib": [(-0.01, -0.9), (-0.2, -0.5), (-0.34, -0.18), (-0.01, -0.17)],
        "hull": [
            (-0.42, -0.18),
            (0.42, -0.17),
            (0.34, -0.06),
            (0.24, 0),
            (-0.24, 0),
            (-0.33, -0.05),
        ],
    }
    middle = boat.x * view.half_width
    return {
        name: [(middle + boat.size * x, boat.y + boat.size * y) for x, y in outline]
        for name, outline in parts.items()
    }


@dataclass(frozen=True)
class Clump:
    """A ball of leaves: its centre and radius, in image heights."""

    x: float
    y: float
    radius: float


def clumps(tree: Place, view: View) -> list[Clump]:
    """The balls that make up a crown, from the back to the front."""
    count = 34
    number = np.arange(count)
    angle = 2.399963 * number + 0.9 * hashed(number, 0, 50)  # the golden angle spreads them
    away = np.sqrt((number + 0.5) / count)
    x = 0.36 * away * np.cos(angle)
    # Flat below and domed above.
    y = -0.62 + np.where(np.sin(angle) > 0, 0.17, 0.27) * away * np.sin(angle)
    radius = 0.07 + 0.05 * hashed(number, 1, 50) + 0.03 * (1 - away)
    middle = tree.x * view.half_width
    order = np.argsort(-away, kind="stable")
    return [
        Clump(
            float(middle + tree.size * x[i]),
            float(tree.y + tree.size * y[i]),
            float(tree.size * radius[i]),
        )
        for i in order
    ]


def crown(tree: Place, view: View) -> Mask:
    """Pixels (H, W) of the leaves of a tree."""
    inside = np.full(view.size, -1.0, np.float32)
    for ball in clumps(tree, view):
        across, down = (view.x - ball.x) / ball.radius, (view.y - ball.y) / ball.radius
        inside = np.maximum(inside, 1 - across**2 - down**2)
    # Leaves blur the outline; far from it nothing has to be drawn.
    i, j = np.nonzero(np.abs(inside) < 0.9)
    x, y = view.x[0, j] - tree.x * view.half_width, view.y[i, 0] - tree.y
    inside[i, j] += 0.5 * fractal_noise(22 / tree.size * x, 22 / tree.size * y, 3, 60)
    return inside > 0


def trunk(tree: Place, view: View) -> list[Outline]:
    """Polygons of the trunk and two branches."""
    parts = [
        [
            (-0.085, -0.004),
            (-0.05, -0.03),
            (-0.034, -0.1),
            (-0.028, -0.55),
            (0.024, -0.55),
            (0.032, -0.1),
            (0.052, -0.03),
            (0.09, -0.002),
            (0.04, 0.012),
            (-0.03, 0.014),
        ],
        [(-0.026, -0.28), (-0.2, -0.5), (-0.18, -0.52), (-0.018, -0.36)],
        [(0.024, -0.3), (0.21, -0.52), (0.19, -0.54), (0.015, -0.38)],
    ]
    middle = tree.x * view.half_width
    return [[(middle + tree.size * x, tree.y + tree.size * y) for x, y in part] for part in parts]
