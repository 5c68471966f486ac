# SPDX-License-Identifier: Apache-2.0
"""A meadow of blades and flowers, and trees of leaves, stroke by stroke."""

import numpy as np
from PIL import Image, ImageDraw

from scam.semia.landscape.noise import Floats, blend, fractal_noise, hashed, rgb, smooth_step
from scam.semia.landscape.objects import Clump, Place, clumps, trunk
from scam.semia.landscape.view import SHORE, View

_FLOWERS = ((250, 246, 238), (250, 214, 70), (222, 62, 48), (176, 120, 206))
_SOIL, _BARK = (66, 84, 34), (92, 72, 56)


def draw_meadow(view: View, trees: tuple[Place, ...]) -> Floats:
    """Colours (rows, W, 3) of grass in all rows below the far shore, and the trees' shadows."""
    x, y = np.broadcast_arrays(view.x, view.y[view.shore :])
    near = y - SHORE
    patches = fractal_noise(1.1 * x / np.sqrt(near), -4 * np.log(near), 4, 131)
    ground = blend((128, 146, 66), (84, 110, 40), smooth_step(-0.5, 0.5, patches))
    ground = blend(ground, _SOIL, 0.5 * smooth_step(0.1, 0.5, near))
    whole = np.zeros((*view.size, 3), np.uint8)
    whole[view.shore :] = ground
    picture = Image.fromarray(whole)
    _draw_blades(picture, view)
    _draw_flowers(picture, view)
    colour: Floats = np.asarray(picture, np.float32)[view.shore :]
    for tree in trees:
        # The sun is at the left, so the shadow is to the right of the foot.
        across = (x - tree.x * view.half_width - 0.16 * tree.size) / (0.42 * tree.size)
        down = (y - tree.y - 0.012) / (0.055 * tree.size)
        edge = 0.35 * fractal_noise(16 * x, 50 * y, 3, 141)
        dark = smooth_step(-0.25, 0.5, 1 - across**2 - down**2 + edge)
        colour = colour * (1 - 0.58 * dark[..., None] * rgb(1.0, 0.92, 0.78))
    return colour


def _draw_blades(picture: Image.Image, view: View) -> None:
    draw = ImageDraw.Draw(picture)
    rows = 90
    for row in range(rows):
        near = 0.02 + (0.56 - 0.02) * (row / rows) ** 1.6
        foot, size = SHORE + near, 0.012 + 0.13 * near
        count = int(2 * view.half_width / (0.13 * size))
        # Numbered from the middle, so that a wider image has the same blades and more.
        number = np.arange(count) - count // 2
        u = [hashed(number, row, 150 + k) for k in range(5)]
        x = (number + u[0]) * 0.13 * size
        y = foot + (u[1] - 0.5) * 0.03 * (0.2 + near)
        lean, tall = (u[2] - 0.42) * 0.7 * size, size * (0.35 + 0.65 * u[3])
        shade = fractal_noise(2.2 * x, np.full_like(x, 9 * near), 3, 160)
        light = np.clip(0.5 + 0.5 * shade + 0.8 * (u[4] - 0.5), 0, 1)
        tint = blend((54, 82, 26), (168, 178, 78), light).astype(int)
        width = max(1, round(0.07 * size * view.size[0]))
        tips = zip(
            view.pixels(list(zip(x.tolist(), y.tolist(), strict=True))),
            view.pixels(list(zip((x + lean).tolist(), (y - tall).tolist(), strict=True))),
            tint.tolist(),
            strict=True,
        )
        for start, end, (red, green, blue) in tips:
            draw.line([start, end], fill=(red, green, blue), width=width)


def _draw_flowers(picture: Image.Image, view: View) -> None:
    draw = ImageDraw.Draw(picture)
    for row in range(34):
        near = 0.05 + 0.45 * (row / 34) ** 1.5
        size = 0.002 + 0.011 * near
        count = int(2 * view.half_width / (6 * size))
        number = np.arange(count) - count // 2
        u = [hashed(number, row, 170 + k) for k in range(4)]
        x = (number + u[0]) * 6 * size
        y = SHORE + near + (u[1] - 0.5) * 0.04 * (0.3 + near)
        drift = fractal_noise(1.7 * x + 5, 4 * y, 3, 180)
        kind = (3.99 * np.clip(0.5 + 0.9 * drift + 0.35 * (u[2] - 0.5), 0, 1)).astype(int)
        for i in np.flatnonzero(u[3] < 0.3 + 0.5 * drift):
            radius = size * (0.7 + 0.5 * float(u[2][i]))
            box = [(x[i] - radius, y[i] - 0.8 * radius), (x[i] + radius, y[i] + 0.8 * radius)]
            draw.ellipse([c for p in view.pixels(box) for c in p], fill=_FLOWERS[kind[i]])
            if radius * view.size[0] > 2.5:
                inner = 0.3 * radius
                box = [(x[i] - inner, y[i] - inner), (x[i] + inner, y[i] + inner)]
                draw.ellipse([c for p in view.pixels(box) for c in p], fill=(206, 150, 40))


def draw_tree(picture: Image.Image, tree: Place, view: View) -> None:
    """Draw trunk and leaves over the image; strokes may leave the outline of the crown."""
    draw = ImageDraw.Draw(picture)
    for outline in trunk(tree, view):
        draw.polygon(view.pixels(outline), fill=_BARK)
    middle = tree.x * view.half_width
    u = [hashed(np.arange(70), 1, 190 + k) for k in range(3)]
    for across, up, tone in zip(*(v.tolist() for v in u), strict=True):
        x, y = middle + tree.size * (across - 0.5) * 0.06, tree.y - tree.size * 0.48 * up
        end = (x + 0.004 * tree.size, y - 0.05 * tree.size)
        bark = tuple(round(c * (0.6 + 0.9 * (1 - across) * tone)) for c in _BARK)
        draw.line(view.pixels([(x, y), end]), fill=bark, width=max(1, view.size[0] // 240))
    for number, ball in enumerate(clumps(tree, view)):
        _draw_leaves(draw, number, ball, tree, view)


def _draw_leaves(
    draw: ImageDraw.ImageDraw, number: int, ball: Clump, tree: Place, view: View
) -> None:
    u = [hashed(np.arange(420), number, 200 + k) for k in range(5)]
    angle, away = 2 * np.pi * u[0], np.sqrt(u[1]) * 1.16
    dx, dy = away * np.cos(angle), away * np.sin(angle)
    # Leaves of a ball face the sun at its upper left, and the crown is darker below.
    bulge = np.sqrt(np.clip(1.35 - away * away, 0, 1))
    facing = -0.5 * dx - 0.62 * dy + 0.45 * bulge
    level = (tree.y - ball.y) / tree.size - 0.64
    light = np.clip(0.26 + 0.55 * facing + 0.75 * level + 0.42 * (u[2] - 0.5), 0, 1)
    tint = blend((16, 34, 16), (158, 174, 62), light**1.2).astype(int)
    order = np.argsort(light, kind="stable")
    turn, length = np.pi * u[3], tree.size * 0.011 * (0.7 + 0.7 * u[4])
    for i in order:
        x, y = ball.x + ball.radius * dx[i], ball.y + ball.radius * dy[i]
        along = length[i] * np.cos(turn[i]), length[i] * np.sin(turn[i])
        aside = -0.45 * along[1], 0.45 * along[0]
        leaf = [
            (x - along[0], y - along[1]),
            (x + aside[0], y + aside[1]),
            (x + along[0], y + along[1]),
            (x - aside[0], y - aside[1]),
        ]
        red, green, blue = tint[i].tolist()
        draw.polygon(view.pixels(leaf), fill=(red, green, blue))
