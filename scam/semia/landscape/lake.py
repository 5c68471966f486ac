# SPDX-License-Identifier: Apache-2.0
"""The lake, which mirrors what stands behind it, and the boats on it."""

import numpy as np
from PIL import Image, ImageDraw

from scam.semia.landscape.noise import Floats, blend, fractal_noise, smooth_step
from scam.semia.landscape.objects import Place, boat_outlines
from scam.semia.landscape.view import SHORE, View

_DEEP, _GLINT = (24, 58, 78), (236, 242, 246)
_SAIL, _SAIL_SHADE, _HULL, _MAST = (246, 240, 226), (206, 200, 196), (152, 44, 36), (92, 62, 40)


def draw_lake(view: View, backdrop: Floats, boats: tuple[Place, ...]) -> Floats:
    """Colours (rows, W, 3) of water in all rows below the far shore; backdrop: those above it."""
    x, y = np.broadcast_arrays(view.x, view.y[view.shore :])
    near = y - SHORE
    # Ripples are long across and, in perspective, shorter and finer towards the far shore.
    ripple = fractal_noise(3 * x / np.sqrt(near), -23.4 * np.log(near), 4, 111)
    calm = smooth_step(0.1, 0.6, fractal_noise(1.6 * x, 14 * y, 3, 121) + 0.35)
    seen = _mirrored(view, backdrop, boats)
    count, width = y.shape
    rows = np.arange(count)[:, None] + ripple * view.size[0] * (0.012 + 0.1 * near)
    columns = np.arange(width)[None] + ripple * view.size[0] * (0.004 + 0.025 * near)
    i = np.clip(rows.round().astype(np.int64), 0, count - 1)
    j = np.clip(columns.round().astype(np.int64), 0, width - 1)

    # Steeper sight mirrors less and shows more of the water's own colour.
    depth = 0.22 + 0.4 * smooth_step(0.02, 0.3, near) + 0.1 * ripple
    colour = blend(seen[i, j], _DEEP, np.clip(depth, 0, 1))
    glint = smooth_step(0.34, 0.7, ripple) * (0.1 + 0.35 * calm)
    return blend(colour, _GLINT, glint)


def _mirrored(view: View, backdrop: Floats, boats: tuple[Place, ...]) -> Floats:
    """What a lake without ripples shows, in all rows below the far shore."""
    above = np.clip(view.shore - 1 - np.arange(view.size[0] - view.shore), 0, None)
    whole = np.concatenate([backdrop, backdrop[above]])
    picture = Image.fromarray(whole.round().clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for boat in boats:
        for part, outline in boat_outlines(boat, view).items():
            below = [(x, 2 * boat.y - y) for x, y in outline]
            draw.polygon(
                view.pixels(below), fill={"hull": _HULL, "mast": _MAST}.get(part, _SAIL_SHADE)
            )
    return np.asarray(picture, np.float32)[view.shore :]


def draw_boat(picture: Image.Image, boat: Place, view: View) -> None:
    """Draw a sailing boat onto the image."""
    draw = ImageDraw.Draw(picture)
    parts = boat_outlines(boat, view)
    for name, colour in (
        ("mast", _MAST),
        ("mainsail", _SAIL),
        ("jib", _SAIL_SHADE),
        ("hull", _HULL),
    ):
        draw.polygon(view.pixels(parts[name]), fill=colour)
    middle, size = boat.x * view.half_width, boat.size
    trims = [
        (_SAIL_SHADE, [(0.2, -0.62), (0.36, -0.22), (0.03, -0.2)]),
        ((238, 232, 220), [(-0.42, -0.18), (0.42, -0.17), (0.41, -0.145), (-0.41, -0.15)]),
        ((96, 28, 26), [(-0.33, -0.05), (0.34, -0.06), (0.24, 0), (-0.24, 0)]),
    ]
    for colour, outline in trims:
        points = [(middle + size * px, boat.y + size * py) for px, py in outline]
        draw.polygon(view.pixels(points), fill=colour)
