# SPDX-License-Identifier: Apache-2.0
"""The pixels of an image in the coordinates of the landscape."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from scam.semia.landscape.noise import Floats

SHORE = 0.5  # height of the far shore in the image, which is 1 high, y pointing down

Mask = NDArray[np.bool_]
Outline = list[tuple[float, float]]


@dataclass(frozen=True, eq=False)
class View:
    """The pixels of an image in the coordinates of the scene.

    size: (H, W). x: (1, W), from the middle, y: (H, 1), from the top; both in image heights.
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
        """How many rows are above the far shore."""
        return int((self.y[:, 0] < SHORE).sum())

    @property
    def half_width(self) -> float:
        """In image heights."""
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
