# SPDX-License-Identifier: Apache-2.0
"""Colours (red, green, blue in 0 .. 255) of cloth, and how to vary them."""

import math

from scam.data.mannequins.chance import Chance

Colour = tuple[float, float, float]

CLOTH = (
    (232, 228, 220),
    (44, 48, 60),
    (62, 84, 138),
    (120, 160, 208),
    (196, 58, 60),
    (232, 132, 118),
    (240, 186, 70),
    (250, 226, 150),
    (74, 132, 88),
    (150, 182, 112),
    (126, 80, 142),
    (206, 162, 210),
    (150, 96, 62),
    (214, 176, 132),
    (44, 140, 150),
    (134, 206, 198),
    (228, 108, 158),
    (236, 116, 52),
)
JEANS = ((58, 78, 118), (92, 116, 156), (40, 46, 62), (84, 80, 74), (186, 166, 130), (70, 84, 66))


def mix(first: Colour, second: Colour, part: float) -> Colour:
    """``first``, with ``part`` (0 .. 1) of it replaced by ``second``."""
    red, green, blue = (a + part * (b - a) for a, b in zip(first, second, strict=True))
    return red, green, blue


def scaled(colour: Colour, factor: float) -> Colour:
    """A darker (below 1) or brighter version."""
    red, green, blue = (min(255.0, factor * c) for c in colour)
    return red, green, blue


def jitter(chance: Chance, colour: Colour, spread: float = 10) -> Colour:
    """A colour near the given one."""
    red, green, blue = (min(255.0, max(0.0, chance.around(c, spread))) for c in colour)
    return red, green, blue


def contrast(chance: Chance, colour: Colour, least: float = 110) -> Colour:
    """A cloth colour at least ``least`` (Euclidean, RGB) away from the given one."""
    far = [c for c in CLOTH if math.dist(c, colour) > least]
    return jitter(chance, chance.pick(far))
