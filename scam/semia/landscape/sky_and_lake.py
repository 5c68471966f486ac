# SPDX-License-Identifier: Apache-2.0
"""Sky with clouds, and the lake that mirrors what stands behind it."""

import numpy as np
from PIL import Image, ImageDraw

from scam.semia.landscape.noise import Floats, blend, fractal_noise, smooth_step
from scam.semia.landscape.scene import SHORE, Place, View, boat_outlines

_ZENITH, _HORIZON = (58, 108, 178), (206, 222, 234)
_DEEP, _GLINT = (24, 58, 78), (236, 242, 246)
SAIL, SAIL_SHADE, HULL, MAST = (246, 240, 226), (206, 200, 196), (152, 44, 36), (92, 62, 40)


def paint_sky(view: View) -> Floats:
    """Colours (H, W, 3), 0 .. 255."""
    x, y = np.broadcast_arrays(view.x, view.y)
    colour = blend(_ZENITH, _HORIZON, smooth_step(-0.15, SHORE, y) ** 1.3)
    # Clouds lie on a ceiling: towards the horizon they get smaller and flatter.
    near = 1 / (0.2 + np.clip(SHORE - y, 0, 1))
    across, away = 0.5 * x * near, 1.25 * near
    bend = fractal_noise(1.3 * across, 1.3 * away, 3, 91)
    across, away = across + 0.35 * bend, away + 0.2 * bend
    thick = fractal_noise(across, away, 6, 101)
    # The sun stands to the left and above: what has more cloud on that side is in shade.
    towards = fractal_noise(across - 0.11, away - 0.1, 4, 101)
    cover = smooth_step(-0.06, 0.5, thick)
    dark = smooth_step(-0.25, 0.7, 0.55 * towards + 0.45 * thick)
    cloud = blend((255, 253, 248), (158, 172, 194), dark)
    return colour + (0.95 * cover)[..., None] * (cloud - colour)


def paint_lake(view: View, backdrop: Floats, boats: tuple[Place, ...]) -> Floats:
    """Colours (H, W, 3) of water everywhere; backdrop: what stands above the far shore."""
    height, width = view.size
    x, y = np.broadcast_arrays(view.x, view.y)
    near = np.clip(y - SHORE, 0.004, 1)
    # Ripples are long across and, in perspective, shorter and finer towards the far shore.
    away = -np.log(near) * 9
    ripple = fractal_noise(3 * x / np.sqrt(near), 2.6 * away, 4, 111)
    calm = smooth_step(0.1, 0.6, fractal_noise(1.6 * x, 14 * y, 3, 121) + 0.35)
    mirror = Image.fromarray(_mirrored(view, backdrop).astype(np.uint8))
    draw = ImageDraw.Draw(mirror)
    for boat in boats:
        upright = Place(boat.x, boat.y, boat.size)
        for part, outline in boat_outlines(upright, view).items():
            below = [(px, 2 * boat.y - py) for px, py in outline]
            draw.polygon(view.pixels(below), fill={"hull": HULL, "mast": MAST}.get(part, SAIL_SHADE))
    seen = np.asarray(mirror, np.float32)
    rows = np.arange(height)[:, None] + ripple * height * (0.012 + 0.1 * near)
    columns = np.arange(width)[None] + ripple * height * (0.004 + 0.025 * near)
    i = np.clip(rows.round().astype(np.int64), int(SHORE * height), height - 1)
    j = np.clip(columns.round().astype(np.int64), 0, width - 1)

    # Steeper sight mirrors less and shows more of the water's own colour.
    depth = 0.22 + 0.4 * smooth_step(0.02, 0.3, near) + 0.1 * ripple
    colour = blend(seen[i, j], _DEEP, np.clip(depth, 0, 1))
    glint = smooth_step(0.34, 0.7, ripple) * (0.1 + 0.35 * calm)
    return blend(colour, _GLINT, glint)


def _mirrored(view: View, backdrop: Floats) -> Floats:
    """The backdrop, upside down below the far shore."""
    rows = np.arange(view.size[0])
    shore = SHORE * view.size[0]
    above = np.clip((2 * shore - rows - 1).round().astype(np.int64), 0, len(rows) - 1)
    return backdrop[np.where(rows < shore, rows, above)]


def paint_boat(picture: Image.Image, boat: Place, view: View) -> None:
    """Draw a sailing boat onto the picture."""
    draw = ImageDraw.Draw(picture)
    parts = boat_outlines(boat, view)
    for name, colour in (("mast", MAST), ("mainsail", SAIL), ("jib", SAIL_SHADE), ("hull", HULL)):
        draw.polygon(view.pixels(parts[name]), fill=colour)
    middle, size = boat.x * view.half_width, boat.size
    trims = [
        (SAIL_SHADE, [(0.2, -0.62), (0.36, -0.22), (0.03, -0.2)]),
        ((238, 232, 220), [(-0.42, -0.18), (0.42, -0.17), (0.41, -0.145), (-0.41, -0.15)]),
        ((96, 28, 26), [(-0.33, -0.05), (0.34, -0.06), (0.24, 0), (-0.24, 0)]),
    ]
    for colour, outline in trims:
        points = [(middle + size * px, boat.y + size * py) for px, py in outline]
        draw.polygon(view.pixels(points), fill=colour)
