# SPDX-License-Identifier: Apache-2.0
"""Places for mannequins to stand in."""

from scam.data.mannequins.canvas import Canvas, Surface
from scam.data.mannequins.chance import Chance
from scam.data.mannequins.colour import CLOTH, jitter, mix, scaled
from scam.data.mannequins.indoors import draw_room
from scam.data.mannequins.outdoors import draw_beach, draw_park, draw_street
from scam.data.mannequins.shapes import box, ellipse, smooth
from scam.data.mannequins.texture import Texture


def draw_scene(canvas: Canvas, chance: Chance, horizon: float) -> None:
    """Draw a random background whose floor begins at height ``horizon``."""
    chance.pick((draw_room, draw_room, draw_street, draw_park, draw_beach, _draw_studio))(
        canvas, chance, horizon
    )


def _draw_studio(canvas: Canvas, chance: Chance, horizon: float) -> None:
    half = canvas.aspect / 2
    first = jitter(chance, chance.pick(CLOTH))
    second = mix(first, jitter(chance, chance.pick(CLOTH)), 0.5)
    canvas.gradient(0, horizon + 0.02, scaled(first, 1.05), second)
    for _ in range(3 + chance.below(5)):
        colour = mix(second, jitter(chance, chance.pick(CLOTH)), chance.between(0.4, 0.9))
        at = complex(chance.between(-half, half), chance.between(0, horizon))
        radius = chance.between(0.05, 0.18)
        texture = Texture(
            chance.pick(("plain", "plain", "bands", "diagonal", "dots", "chess", "zigzag")),
            colour,
            mix(colour, second, 0.6),
            period=chance.between(0.04, 0.08),
        )
        shape = chance.below(3)
        if shape == 0:
            outline = ellipse(at, radius, radius)
        elif shape == 1:
            w, h = radius, chance.between(0.05, 0.25)
            outline = box(at.real - w, at.imag - h, at.real + w, at.imag + h)
        else:
            knots = ellipse(at, radius, radius, points=6)
            outline = smooth([at + (z - at) * chance.between(0.6, 1.3) for z in knots])
        canvas.fill(outline, Surface(texture, at))
    floor = mix(first, chance.pick(((60, 60, 66), (240, 236, 230))), 0.55)
    canvas.gradient(horizon, 1, scaled(floor, 0.9), floor)
