# SPDX-License-Identifier: Apache-2.0
"""What stands where in the landscape, and the label map of that."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from scam.semia.landscape.noise import Floats, fractal_noise, hashed
from scam.semia.landscape.terrain import Terrain, look_at_terrain

NAMES = ("sky", "mountain", "meadow", "lake", "boat", "tree")
SKY, MOUNTAIN, MEADOW, LAKE, BOAT, TREE = range(len(NAMES))
SHORE = 0.5  # height of the far shore in the picture, which is 1 high, y pointing down

Labels = NDArray[np.int64]
Mask = NDArray[np.bool_]
Outline = list[tuple[float, float]]


@dataclass(frozen=True)
class Place:
    """x: from the middle, in half widths of the picture. y: the foot, size: in its heights."""

    x: float
    y: float
    size: float


@dataclass(frozen=True)
class Pond:
    """An ellipse of water: centre (x in half widths, y), half axes across and down."""

    x: float
    y: float
    across: float
    down: float


@dataclass(frozen=True)
class Scene:
    """A layout: how high the mountains are and where lakes, boats and trees are, far to near."""

    peaks: float = 1.0
    ponds: tuple[Pond, ...] = (Pond(0.28, 0.575, 0.56, 0.075), Pond(0.62, 0.63, 0.34, 0.06))
    boats: tuple[Place, ...] = (Place(0.4, 0.615, 0.17),)
    trees: tuple[Place, ...] = (Place(-0.56, 0.86, 0.74),)


@dataclass(frozen=True)
class View:
    """The pixels of a picture in the coordinates of the scene.

    size: (H, W). x: (1, W), from the middle, y: (H, 1), from the top; both in picture heights.
    """

    size: tuple[int, int]
    x: Floats = field(init=False, repr=False)
    y: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        height, width = self.size
        columns, rows = (np.arange(n, dtype=np.float32) + 0.5 for n in (width, height))
        object.__setattr__(self, "x", (columns[None] - width / 2) / height)
        object.__setattr__(self, "y", rows[:, None] / height)

    @property
    def half_width(self) -> float:
        """In picture heights."""
        return self.size[1] / self.size[0] / 2

    def mask(self, *outlines: Outline) -> Mask:
        """The pixels inside any of the polygons."""
        image = Image.new("L", self.size[::-1])
        draw = ImageDraw.Draw(image)
        for outline in outlines:
            draw.polygon(self.pixels(outline), fill=1)
        return np.asarray(image) > 0

    def pixels(self, points: Outline) -> Outline:
        """Scene coordinates -> columns and rows as PIL counts them."""
        height, width = self.size
        return [(x * height + width / 2 - 0.5, y * height - 0.5) for x, y in points]


@dataclass(frozen=True)
class Layout:
    """labels (H, W) int64 of :data:`NAMES`, and the terrain behind them."""

    labels: Labels
    terrain: Terrain


def lay_out(scene: Scene, view: View) -> Layout:
    """Draw the label map of a scene."""
    terrain = look_at_terrain(view.x, view.y, SHORE, scene.peaks)
    labels = np.where(terrain.seen, MOUNTAIN, SKY)
    labels[np.broadcast_to(view.y > SHORE, labels.shape)] = MEADOW
    labels[water(scene, view) & (labels == MEADOW)] = LAKE
    for boat in scene.boats:
        labels[view.mask(*boat_outlines(boat, view).values())] = BOAT
    for tree in scene.trees:
        labels[crown(tree, view) | view.mask(*trunk(tree, view))] = TREE
    return Layout(labels, terrain)


def water(scene: Scene, view: View) -> Mask:
    """Pixels of the ponds, whose shores have bays."""
    depth = np.full(view.size, -1.0, np.float32)
    for pond in scene.ponds:
        across = (view.x - pond.x * view.half_width) / pond.across
        down = (view.y - pond.y) / pond.down
        depth = np.maximum(depth, 1 - across**2 - down**2)
    bays = fractal_noise(5 * view.x, 22 * view.y, 4, 40)
    return depth + 0.3 * bays > 0


def boat_outlines(boat: Place, view: View) -> dict[str, Outline]:
    """Polygons by part: mast, mainsail, jib, hull."""
    parts = {
        "mast": [(0.0, -0.1), (0.02, -0.1), (0.02, -1.0), (0.0, -1.0)],
        "mainsail": [(0.03, -0.97), (0.2, -0.62), (0.36, -0.22), (0.03, -0.2)],
        "jib": [(-0.01, -0.9), (-0.2, -0.5), (-0.32, -0.2), (-0.01, -0.2)],
        "hull": [(-0.42, -0.18), (0.42, -0.17), (0.34, -0.06), (0.24, 0), (-0.24, 0), (-0.33, -0.05)],
    }
    middle = boat.x * view.half_width
    return {
        name: [(middle + boat.size * x, boat.y + boat.size * y) for x, y in outline]
        for name, outline in parts.items()
    }


@dataclass(frozen=True)
class Clump:
    """A ball of leaves: its centre and radius, in picture heights."""

    x: float
    y: float
    radius: float


def clumps(tree: Place, view: View) -> list[Clump]:
    """The balls that make up a crown, from the back to the front."""
    count = 26
    number = np.arange(count)
    angle = 2.399963 * number + 0.6 * hashed(number, 0, 50)  # the golden angle spreads them
    away = np.sqrt((number + 0.5) / count) * 0.26
    x = away * np.cos(angle) * 1.05
    y = -0.66 + away * np.sin(angle) * 1.02
    radius = 0.075 + 0.055 * hashed(number, 1, 50) + 0.04 * (1 - away / 0.26)
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
    """Pixels of the leaves of a tree."""
    inside = np.full(view.size, -1.0, np.float32)
    for ball in clumps(tree, view):
        across, down = (view.x - ball.x) / ball.radius, (view.y - ball.y) / ball.radius
        inside = np.maximum(inside, 1 - across**2 - down**2)
    middle = tree.x * view.half_width
    fine = 22 / tree.size
    return inside + 0.6 * fractal_noise((view.x - middle) * fine, (view.y - tree.y) * fine, 3, 60) > 0


def trunk(tree: Place, view: View) -> list[Outline]:
    """Polygons of the trunk and two branches."""
    parts = [
        [(-0.05, 0.0), (-0.028, -0.06), (-0.02, -0.5), (0.02, -0.5), (0.026, -0.06), (0.055, 0.0)],
        [(-0.018, -0.34), (-0.13, -0.52), (-0.12, -0.53), (-0.01, -0.38)],
        [(0.014, -0.36), (0.12, -0.54), (0.108, -0.55), (0.005, -0.41)],
    ]
    middle = tree.x * view.half_width
    return [[(middle + tree.size * x, tree.y + tree.size * y) for x, y in part] for part in parts]
