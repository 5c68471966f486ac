# SPDX-License-Identifier: Apache-2.0
"""The embedded example: a drawn image, its label map, and a target for each application."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from scam.errors import InputError
from scam.semia.landscape.objects import Place
from scam.semia.landscape.picture import draw_labels, draw_picture
from scam.semia.landscape.scene import NAMES, Pond, Scene
from scam.semia.landscape.sketch import sketch_labels

_LEAST = 32  # pixels: below this the boat has no pixel of its own


@dataclass(frozen=True, eq=False)
class Example:
    """A source and targets for it.

    image: uint8 (3, H, W). labels: (H, W) int64, 0 .. K-1. names: of the K labels. targets: label
    maps (H, W) by what they ask for; ``retarget`` is a third wider. They hold no other labels.
    """

    image: Tensor
    labels: Tensor
    names: tuple[str, ...]
    targets: dict[str, Tensor]


def example(height: int = 160, width: int = 240) -> Example:
    """Draw a mountain lake with a boat and a tree: the same for ever, at any size.

    InputError for a side below 32 pixels.
    """
    for name, side in (("height", height), ("width", width)):
        if side < _LEAST:
            raise InputError(f"{{{name}}}: expected {_LEAST} or more", **{name: side})
    scene = Scene()
    size = height, width
    image, labels = draw_picture(scene, size)
    targets = {name: draw_labels(edited, size) for name, edited in _edits(scene).items()}
    targets["retarget"] = draw_labels(scene, (height, width + width // 3))
    targets["sketch"] = sketch_labels(size)
    return Example(
        torch.from_numpy(image.copy()).permute(2, 0, 1).contiguous(),
        torch.from_numpy(labels),
        NAMES,
        {name: torch.from_numpy(target) for name, target in targets.items()},
    )


def _edits(scene: Scene) -> dict[str, Scene]:
    (tree,) = scene.trees
    river = (
        Pond(0.1, 0.56, 0.3, 0.05),
        Pond(0.34, 0.64, 0.26, 0.07),
        Pond(0.16, 0.75, 0.34, 0.085),
        Pond(0.5, 0.9, 0.5, 0.12),
    )
    return {
        "move": replace(scene, trees=(replace(tree, x=0.68),)),
        "enlarge": replace(scene, peaks=1.35 * scene.peaks),
        "remove": replace(scene, boats=()),
        "duplicate": replace(scene, trees=(Place(0.74, 0.8, 0.5), tree)),
        "reshape": replace(scene, ponds=river),
    }
