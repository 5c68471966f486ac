# SPDX-License-Identifier: Apache-2.0
"""Label maps drawn for the tests, and pictures of them as programs write them."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw

SKY, FIELD, ROOF, WALL, DOOR = 0x00FDFF, 0x00F900, 0xFF9300, 0x005064, 0x003C64
COLOURS = (DOOR, WALL, FIELD, SKY, ROOF)
"""Ascending, so that label i is ``COLOURS[i]``; the door's is 20 levels from the wall's."""
WIDTH, HEIGHT, FINE = 360, 240, 4
SCALE = 1.5  # of the coordinates below


def fine_map() -> np.ndarray:
    """A house, with a door of 0.2 % of the pixels, in a field under the sky: uint8, FINE-fold."""
    canvas = Image.new("L", (WIDTH * FINE, HEIGHT * FINE), COLOURS.index(SKY))
    draw = ImageDraw.Draw(canvas)

    def area(colour: int, *points: tuple[float, float]) -> None:
        draw.polygon(
            [(x * SCALE * FINE, y * SCALE * FINE) for x, y in points], COLOURS.index(colour)
        )

    area(FIELD, (0, 100), (70, 92), (160, 108), (240, 90), (240, 160), (0, 160))
    area(WALL, (60, 70), (121, 72), (120, 130), (60, 130))
    area(ROOF, (50, 71), (90, 40), (131, 73))
    area(DOOR, (180, 120), (187, 120), (187, 131), (180, 131))
    return np.asarray(canvas)


FINE_MAP = fine_map()
LABELS = FINE_MAP[FINE // 2 :: FINE, FINE // 2 :: FINE].astype(np.int64)


def coloured(labels: np.ndarray, colours: tuple[int, ...] = COLOURS) -> Image.Image:
    """Exact colours, borders of one pixel."""
    table = np.array([[c >> 16, c >> 8 & 255, c & 255] for c in colours], np.uint8)
    return Image.fromarray(table[labels])


def smoothed(filter: Image.Resampling = Image.Resampling.BICUBIC) -> Image.Image:
    """Borders smoothed, as drawing programs do it."""
    return coloured(FINE_MAP).resize((WIDTH, HEIGHT), filter)


def recoded(picture: Image.Image, kind: str = "JPEG", **options: object) -> Image.Image:
    """The picture as it comes back from a file of this kind."""
    file = BytesIO()
    picture.save(file, kind, **options)
    return Image.open(file).convert("RGB")


def photograph(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Waves and grain: no area in which nothing changes."""
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / a) + np.cos(y / b) for a, b in ((9, 7), (5, 11), (13, 6))], -1)
    grain = np.random.default_rng(0).normal(0, 9, waves.shape)
    return Image.fromarray((128 + 50 * waves + grain).clip(0, 255).astype(np.uint8))
