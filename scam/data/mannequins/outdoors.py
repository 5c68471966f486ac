# SPDX-License-Identifier: Apache-2.0
"""Streets, parks and beaches."""

from scam.data.mannequins.canvas import Canvas, Surface
from scam.data.mannequins.chance import Chance
from scam.data.mannequins.colour import CLOTH, jitter, scaled
from scam.data.mannequins.shapes import box, ellipse, limb
from scam.data.mannequins.texture import Texture


def draw_street(canvas: Canvas, chance: Chance, horizon: float) -> None:
    """Draw houses and a pavement."""
    _sky(canvas, chance, horizon)
    half = canvas.aspect / 2
    x = -half
    while x < half:
        wide = chance.between(0.14, 0.3)
        _house(canvas, chance, x, x + wide, chance.between(0.04, 0.34), horizon)
        x += wide
    paving = jitter(chance, chance.pick(((178, 172, 166), (150, 150, 156), (190, 170, 150))))
    canvas.gradient(horizon, 1, scaled(paving, 0.88), scaled(paving, 1.06))
    if chance.happens(0.5):
        stones = Texture("chess", paving, scaled(paving, 0.93), period=chance.between(0.06, 0.12))
        canvas.fill(box(-half, horizon, half, 1), Surface(stones))
    if chance.happens(0.4):
        canvas.gradient(horizon, horizon + 0.09, (92, 94, 100), (104, 106, 112))
        for i in range(5):
            left = -half + 0.16 * i
            canvas.plain(box(left, horizon + 0.04, left + 0.08, horizon + 0.052), (236, 232, 214))
    if chance.happens(0.5):
        _tree(canvas, chance, chance.sign() * half * chance.between(0.5, 0.95), horizon + 0.05)
    if chance.happens(0.4):
        at = chance.sign() * half * chance.between(0.5, 0.9)
        canvas.plain(box(at - 0.009, 0.2, at + 0.009, horizon + 0.06), (52, 56, 64))
        canvas.plain(ellipse(complex(at, 0.19), 0.034, 0.034), (252, 236, 180))


def _house(
    canvas: Canvas, chance: Chance, left: float, right: float, top: float, low: float
) -> None:
    wall = jitter(
        chance,
        chance.pick(
            (
                (196, 120, 96),
                (222, 200, 164),
                (164, 172, 184),
                (214, 160, 120),
                (136, 146, 150),
                (184, 196, 180),
            )
        ),
    )
    canvas.plain(box(left, top, right, low), wall)
    canvas.plain(box(left, top, right, top + 0.02), scaled(wall, 0.75))
    pane = chance.pick(((92, 120, 150), (250, 226, 150), (60, 72, 92)))
    columns = max(1, int((right - left) / 0.08))
    gap = (right - left) / columns
    y = top + 0.06
    while y < low - 0.1:
        for i in range(columns):
            x = left + gap * (i + 0.5)
            canvas.plain(box(x - 0.019, y, x + 0.019, y + 0.055), pane)
        y += 0.1


def draw_park(canvas: Canvas, chance: Chance, horizon: float) -> None:
    """Draw hills, grass, trees."""
    _sky(canvas, chance, horizon)
    half = canvas.aspect / 2
    for depth in range(2):
        hill = jitter(chance, (110 - 20 * depth, 156 - 14 * depth, 120 - 30 * depth))
        at = complex(chance.between(-half, half), horizon + 0.04)
        canvas.plain(ellipse(at, chance.between(0.3, 0.6), chance.between(0.1, 0.24)), hill)
    grass = jitter(chance, chance.pick(((112, 160, 80), (136, 158, 84), (90, 140, 84))))
    canvas.gradient(horizon, 1, scaled(grass, 0.9), scaled(grass, 1.1))
    if chance.happens(0.5):
        at = chance.between(-half, half)
        path = [complex(at - 0.02, horizon), complex(at + 0.02, horizon), 0.22 + 1j, -0.2 + 1j]
        canvas.plain(path, (206, 184, 144))
    for _ in range(10):
        y = chance.between(horizon + 0.02, 1)
        at = complex(chance.between(-half, half), y)
        canvas.plain(ellipse(at, 0.03, 0.008, points=10), scaled(grass, chance.between(0.8, 1.2)))
    if chance.happens(0.4):
        wood = jitter(chance, (226, 220, 206))
        for rail in (0.09, 0.04):
            canvas.plain(box(-half, horizon - rail, half, horizon - rail + 0.014), wood)
        for i in range(int(2 * half / 0.09) + 1):
            x = -half + 0.09 * i
            canvas.plain(box(x, horizon - 0.12, x + 0.02, horizon + 0.02), wood)
    for side in (-1, 1):
        if chance.happens(0.7):
            _tree(canvas, chance, side * half * chance.between(0.4, 1), horizon + 0.04)


def _tree(canvas: Canvas, chance: Chance, x: float, foot: float) -> None:
    trunk = jitter(chance, (104, 76, 54))
    top = foot - chance.between(0.28, 0.4)
    canvas.plain(limb(complex(x, foot), complex(x, top), 0.024, 0.014), trunk)
    green = jitter(chance, chance.pick(((70, 128, 70), (104, 146, 66), (196, 138, 60))), 16)
    for i in range(6):
        at = complex(chance.around(x, 0.11), chance.around(top - 0.06, 0.1))
        radius = chance.between(0.06, 0.1)
        canvas.plain(ellipse(at, radius, 0.85 * radius), scaled(green, 0.78 + 0.08 * i))


def draw_beach(canvas: Canvas, chance: Chance, horizon: float) -> None:
    """Draw sea, sand, a sunshade."""
    sea_top = horizon - chance.between(0.1, 0.2)
    _sky(canvas, chance, sea_top)
    half = canvas.aspect / 2
    sea = jitter(chance, (54, 132, 170))
    canvas.gradient(sea_top, horizon, scaled(sea, 0.85), scaled(sea, 1.3))
    for _ in range(6):
        at = complex(chance.between(-half, half), chance.between(sea_top + 0.01, horizon - 0.01))
        canvas.plain(ellipse(at, 0.05, 0.005, points=10), (222, 238, 244))
    sand = jitter(chance, (232, 206, 156))
    canvas.gradient(horizon, 1, scaled(sand, 0.95), scaled(sand, 1.05))
    canvas.plain(box(-half, horizon - 0.008, half, horizon + 0.008), (240, 244, 244))
    if chance.happens(0.6):
        x = chance.sign() * half * chance.between(0.5, 0.95)
        canvas.plain(box(x - 0.008, 0.3, x + 0.008, horizon + 0.1), (236, 232, 222))
        first = jitter(chance, chance.pick(CLOTH))
        fan = Texture("stripes", first, (248, 246, 240), period=0.09)
        dome = [complex(x, 0.34) + 0.2 * z for z in ellipse(0, 1, 0.9) if z.imag <= 0.01]
        canvas.fill(dome, Surface(fan, complex(x, 0.34)))
    for _ in range(chance.below(4)):
        at = complex(chance.between(-half, half), chance.between(horizon + 0.05, 0.98))
        canvas.plain(ellipse(at, 0.026, 0.014, points=12), jitter(chance, chance.pick(CLOTH)))


def _sky(canvas: Canvas, chance: Chance, horizon: float) -> None:
    top, low = chance.pick(
        (
            ((104, 166, 226), (214, 234, 246)),
            ((88, 130, 196), (252, 206, 160)),
            ((150, 176, 200), (226, 228, 226)),
            ((70, 92, 150), (236, 160, 150)),
        )
    )
    canvas.gradient(0, horizon, jitter(chance, top), jitter(chance, low))
    half = canvas.aspect / 2
    if chance.happens(0.3):
        sun = complex(chance.between(-half, half), chance.between(0.06, 0.2))
        canvas.plain(ellipse(sun, 0.05, 0.05), (255, 238, 180))
    for _ in range(chance.below(4)):
        at = complex(chance.between(-half, half), chance.between(0.04, 0.26))
        for dx, r in ((-0.06, 0.028), (0, 0.042), (0.06, 0.03)):
            canvas.plain(ellipse(at + dx, 1.5 * r, r), (246, 248, 250))
