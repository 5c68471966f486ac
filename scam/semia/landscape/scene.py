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

    peaks: float = 0.88
    ponds: tuple[Pond, ...] = (Pond(0.3, 0.59, 0.6, 0.088), Pond(0.7, 0.65, 0.36, 0.075))
    boats: tuple[Place, ...] = (Place(0.14, 0.605, 0.17),)
    trees: tuple[Place, ...] = (Place(-0.56, 0.87, 0.74),)


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
    def shore(self) -> int:
        """How many rows lie above the far shore."""
        return int((self.y[:, 0] < SHORE).sum())

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
    """labels (H, W) int64 of :data:`NAMES`, those without boats and trees, and the terrain."""

    labels: Labels
    ground: Labels
    terrain: Terrain


def lay_out(scene: Scene, view: View) -> Layout:
    """Draw the label map of a scene."""
    terrain = look_at_terrain(view.x, view.y[: view.shore], SHORE, scene.peaks)
    land = np.where(water(scene, view), LAKE, MEADOW)
    labels = np.concatenate([np.where(terrain.seen, MOUNTAIN, SKY), land])
    ground = labels.copy()
    for boat in scene.boats:
        labels[view.mask(*boat_outlines(boat, view).values())] = BOAT
    for tree in scene.trees:
        labels[crown(tree, view) | view.mask(*trunk(tree, view))] = TREE
    return Layout(labels, ground, terrain)


def water(scene: Scene, view: View) -> Mask:
    """The ponds, whose shores have bays, in all rows below the far shore."""
    y = view.y[view.shore :]
    depth = np.full((len(y), view.size[1]), -1.0, np.float32)
    for pond in scene.ponds:
        across = (view.x - pond.x * view.half_width) / pond.across
        down = (y - pond.y) / pond.down
        depth = np.maximum(depth, 1 - across**2 - down**2)
    return depth + 0.3 * fractal_noise(5 * view.x, 22 * y, 4, 40) > 0


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
        [(-0.07, 0.0), (-0.036, -0.06), (-0.028, -0.55), (0.024, -0.55), (0.034, -0.06), (0.075, 0.0)],
        [(-0.026, -0.28), (-0.2, -0.5), (-0.18, -0.52), (-0.018, -0.36)],
        [(0.024, -0.3), (0.21, -0.52), (0.19, -0.54), (0.015, -0.38)],
    ]
    middle = tree.x * view.half_width
    return [[(middle + tree.size * x, tree.y + tree.size * y) for x, y in part] for part in parts]
