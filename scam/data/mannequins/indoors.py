# SPDX-License-Identifier: Apache-2.0
"""Rooms and what stands in them."""

from scam.data.mannequins.canvas import Canvas, Surface
from scam.data.mannequins.chance import Chance
from scam.data.mannequins.colour import CLOTH, jitter, scaled
from scam.data.mannequins.shapes import box, ellipse, limb
from scam.data.mannequins.texture import Texture

_WALLS = (
    (222, 210, 190),
    (196, 208, 204),
    (178, 190, 210),
    (214, 186, 176),
    (150, 164, 150),
    (202, 196, 214),
    (236, 226, 200),
    (126, 140, 158),
)
_FLOORS = ((150, 112, 80), (118, 90, 72), (176, 168, 160), (190, 150, 112), (104, 108, 116))


def draw_room(canvas: Canvas, chance: Chance, horizon: float) -> None:
    """Draw a wall, a floor and two pieces of furniture."""
    half = canvas.aspect / 2
    wall = jitter(chance, chance.pick(_WALLS))
    floor = jitter(chance, chance.pick(_FLOORS))
    canvas.gradient(0, horizon, scaled(wall, 1.05), scaled(wall, 0.9))
    if chance.happens(0.5):
        kind = chance.pick(("stripes", "pinstripes", "dots", "check", "zigzag"))
        paper = Texture(kind, wall, scaled(wall, 0.9), period=chance.between(0.05, 0.14))
        canvas.fill(box(-half, 0, half, horizon), Surface(paper))
    canvas.gradient(horizon, 1, scaled(floor, 0.9), scaled(floor, 1.1))
    if chance.happens(0.6):
        kind = chance.pick(("bands", "diagonal", "chess"))
        boards = Texture(kind, floor, scaled(floor, 0.88), period=chance.between(0.05, 0.12))
        canvas.fill(box(-half, horizon, half, 1), Surface(boards))
    canvas.plain(box(-half, horizon - 0.016, half, horizon + 0.004), scaled(wall, 1.15))
    for side in (-1, 1):
        x = side * half * chance.between(0.45, 0.9)
        chance.pick((_window, _frames, _door, _shelf, _lamp, _plant, _cabinet))(
            canvas, chance, x, horizon
        )
    if chance.happens(0.3):
        rug = jitter(chance, chance.pick(CLOTH))
        canvas.plain(ellipse(complex(0, (horizon + 1) / 2 + 0.04), half * 0.8, 0.07), rug)


def _window(canvas: Canvas, chance: Chance, x: float, horizon: float) -> None:
    w, top, low = 0.13, chance.between(0.06, 0.16), horizon - 0.28
    canvas.plain(box(x - w - 0.015, top - 0.015, x + w + 0.015, low + 0.015), (244, 240, 232))
    sky = Texture("gradient", (150, 196, 236), (226, 240, 250), period=0.12)
    canvas.fill(box(x - w, top, x + w, low), Surface(sky, complex(x, top)))
    canvas.plain(box(x - 0.008, top, x + 0.008, low), (244, 240, 232))
    middle = (top + low) / 2
    canvas.plain(box(x - w, middle - 0.008, x + w, middle + 0.008), (244, 240, 232))
    if chance.happens(0.6):
        curtain = jitter(chance, chance.pick(CLOTH))
        fold = Texture("stripes", curtain, scaled(curtain, 0.85), period=0.04)
        for side in (-1, 1):
            edge = x + side * w
            canvas.fill(box(edge - 0.04, top - 0.03, edge + 0.04, low + 0.08), Surface(fold))


def _frames(canvas: Canvas, chance: Chance, x: float, horizon: float) -> None:
    y = chance.between(0.12, 0.2)
    for _ in range(1 + chance.below(3)):
        w, h = chance.between(0.05, 0.1), chance.between(0.05, 0.09)
        canvas.plain(box(x - w, y - h, x + w, y + h), chance.pick(((60, 44, 36), (230, 226, 216))))
        picture = Texture(
            chance.pick(("blobs", "diagonal", "gradient", "dots")),
            jitter(chance, chance.pick(CLOTH)),
            jitter(chance, chance.pick(CLOTH)),
            period=0.05,
        )
        inner = box(x - w + 0.014, y - h + 0.014, x + w - 0.014, y + h - 0.014)
        canvas.fill(inner, Surface(picture, complex(x, y - h)))
        y += 2 * h + 0.04
        if y > horizon - 0.15:
            return


def _door(canvas: Canvas, chance: Chance, x: float, horizon: float) -> None:
    wood = jitter(chance, chance.pick(((130, 92, 64), (224, 220, 210), (94, 120, 130))))
    canvas.plain(box(x - 0.15, 0.1, x + 0.15, horizon), scaled(wood, 0.8))
    canvas.plain(box(x - 0.13, 0.12, x + 0.13, horizon), wood)
    for top, low in ((0.16, 0.36), (0.42, horizon - 0.06)):
        canvas.plain(box(x - 0.09, top, x + 0.09, low), scaled(wood, 0.9))
    canvas.plain(ellipse(complex(x + 0.1, 0.42), 0.013, 0.013, points=10), (230, 200, 110))


def _shelf(canvas: Canvas, chance: Chance, x: float, horizon: float) -> None:
    wood = jitter(chance, (120, 84, 58))
    left, right = x - 0.14, x + 0.14
    canvas.plain(box(left, 0.16, right, horizon), scaled(wood, 0.6))
    rows = 4
    step = (horizon - 0.16) / rows
    for row in range(rows):
        floor = 0.16 + (row + 1) * step
        at = left + 0.016
        while at < right - 0.03:
            thick = chance.between(0.016, 0.034)
            tall = chance.between(0.5, 0.86) * step
            book = jitter(chance, chance.pick(CLOTH))
            canvas.plain(box(at, floor - tall, at + thick, floor), book)
            at += thick + 0.002
        canvas.plain(box(left, floor - 0.012, right, floor), wood)


def _lamp(canvas: Canvas, chance: Chance, x: float, horizon: float) -> None:
    top = chance.between(0.25, 0.4)
    foot = horizon + 0.03
    canvas.plain(box(x - 0.007, top, x + 0.007, foot), (60, 56, 56))
    canvas.plain(ellipse(complex(x, foot), 0.05, 0.012), (60, 56, 56))
    shade = [
        complex(x - 0.04, top - 0.1),
        complex(x + 0.04, top - 0.1),
        complex(x + 0.09, top),
        complex(x - 0.09, top),
    ]
    canvas.plain(shade, jitter(chance, (250, 226, 160)))


def _plant(canvas: Canvas, chance: Chance, x: float, horizon: float) -> None:
    foot = horizon + chance.between(0.02, 0.08)
    green = jitter(chance, (70, 128, 76), 24)
    for i in range(7):
        lean = chance.around((i - 3) * 0.035, 0.02)
        tip = complex(x + 1.6 * lean, foot - chance.between(0.26, 0.42))
        leaf = limb(complex(x + 0.3 * lean, foot - 0.09), tip, 0.012, 0.022)
        canvas.plain(leaf, scaled(green, chance.between(0.75, 1.2)))
    pot = jitter(chance, chance.pick(((190, 104, 70), (230, 224, 214), (84, 96, 120))))
    canvas.plain(
        [
            complex(x - 0.06, foot - 0.1),
            complex(x + 0.06, foot - 0.1),
            complex(x + 0.045, foot),
            complex(x - 0.045, foot),
        ],
        pot,
    )


def _cabinet(canvas: Canvas, chance: Chance, x: float, horizon: float) -> None:
    wood = jitter(chance, chance.pick(((150, 108, 72), (214, 206, 192), (96, 110, 104))))
    top, low = horizon - chance.between(0.16, 0.26), horizon + 0.03
    canvas.plain(box(x - 0.16, top, x + 0.16, low), wood)
    canvas.plain(box(x - 0.17, top - 0.016, x + 0.17, top), scaled(wood, 1.15))
    for i in range(2):
        y = top + 0.02 + i * (low - top) / 2
        canvas.plain(box(x - 0.14, y, x + 0.14, y + (low - top) / 2 - 0.03), scaled(wood, 0.88))
    vase = jitter(chance, chance.pick(CLOTH))
    canvas.plain(ellipse(complex(x + 0.06, top - 0.055), 0.032, 0.045), vase)
