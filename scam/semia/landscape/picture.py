# SPDX-License-Identifier: Apache-2.0
"""A scene as an image with its label map."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scam.semia.landscape.lake import draw_boat, draw_lake
from scam.semia.landscape.plants import draw_meadow, draw_tree
from scam.semia.landscape.scene import BOAT, LAKE, NAMES, TREE, Labels, Scene, lay_out
from scam.semia.landscape.sky import draw_sky
from scam.semia.landscape.terrain import draw_mountains
from scam.semia.landscape.view import View

_FINE = 2  # drawn so many times larger each way, then averaged
_SUN = (-0.55, 0.6, -0.45)  # to the left, above, in front of the mountains


def draw_labels(scene: Scene, size: tuple[int, int]) -> Labels:
    """(H, W) int64: the label that most of each pixel has, of several the first."""
    return _most_frequent(lay_out(scene, _fine_view(size)).labels, size)


def draw_picture(scene: Scene, size: tuple[int, int]) -> tuple[NDArray[np.uint8], Labels]:
    """Image (H, W, 3) and labels (H, W) as :func:`draw_labels` gives them."""
    view = _fine_view(size)
    layout = lay_out(scene, view)
    backdrop = draw_sky(view)
    backdrop[layout.terrain.seen] = draw_mountains(layout.terrain, _SUN)
    wet = (layout.ground[view.shore :] == LAKE)[..., None]
    lake, meadow = draw_lake(view, backdrop, scene.boats), draw_meadow(view, scene.trees)
    colour = np.concatenate([backdrop, np.where(wet, lake, meadow)])
    for label, places, draw in ((BOAT, scene.boats, draw_boat), (TREE, scene.trees, draw_tree)):
        over = Image.fromarray(colour.clip(0, 255).astype(np.uint8))
        for place in places:
            draw(over, place, view)
        # Strokes may cross the outline of what they belong to.
        np.copyto(colour, np.asarray(over), where=(layout.labels == label)[..., None])
    fine = Image.fromarray(colour.round().clip(0, 255).astype(np.uint8))
    return np.asarray(fine.reduce(_FINE)), _most_frequent(layout.labels, size)


def _fine_view(size: tuple[int, int]) -> View:
    return View((size[0] * _FINE, size[1] * _FINE))


def _most_frequent(labels: Labels, size: tuple[int, int]) -> Labels:
    height, width = size
    cells = labels.reshape(height, _FINE, width, _FINE)
    votes = [(cells == label).sum((1, 3)) for label in range(len(NAMES))]
    return np.argmax(votes, 0)
