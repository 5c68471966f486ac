# SPDX-License-Identifier: Apache-2.0
"""What stands where in the landscape, and the label map of that."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scam.semia.landscape.noise import fractal_noise
from scam.semia.landscape.objects import Place, boat_outlines, crown, trunk
from scam.semia.landscape.terrain import Terrain, look_at_terrain
from scam.semia.landscape.view import SHORE, Mask, View

NAMES = ("sky", "mountain", "meadow", "lake", "boat", "tree")
SKY, MOUNTAIN, MEADOW, LAKE, BOAT, TREE = range(len(NAMES))

Labels = NDArray[np.int64]


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


@dataclass(frozen=True, eq=False)
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
