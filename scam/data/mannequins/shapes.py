# SPDX-License-Identifier: Apache-2.0
"""Closed outlines as lists of complex points: x to the right, y (imaginary) down."""

import cmath
import math
from collections.abc import Sequence
from functools import cache

Outline = list[complex]


def direction(degrees: float) -> complex:
    """Unit vector that hangs straight down at 0 and turns towards +x as degrees grow."""
    return 1j * cmath.exp(-1j * math.radians(degrees))


@cache
def _circle(points: int) -> list[tuple[float, float]]:
    step = 2 * math.pi / points
    return [(math.cos(step * i), math.sin(step * i)) for i in range(points)]


_HALF = [cmath.exp(1j * math.pi * i / 8) for i in range(9)]


def ellipse(centre: complex, rx: float, ry: float, axis: complex = 1, points: int = 24) -> Outline:
    """Ellipse with radii rx along ``axis`` (a unit vector) and ry across it."""
    return [centre + axis * complex(rx * x, ry * y) for x, y in _circle(points)]


def limb(start: complex, end: complex, r0: float, r1: float) -> Outline:
    """Two round ends of radii r0, r1 with straight sides: a sleeve, a shin."""
    along = end - start
    angle = cmath.phase(along) if along else 0.0
    outline = []
    for centre, radius, first in (
        (start, r0, angle + math.pi / 2),
        (end, r1, angle - math.pi / 2),
    ):
        for i in range(9):
            outline.append(centre + cmath.rect(radius, first + math.pi * i / 8))
    return outline


def box(left: float, top: float, right: float, bottom: float) -> Outline:
    """Upright rectangle."""
    return [complex(left, top), complex(right, top), complex(right, bottom), complex(left, bottom)]


def smooth(points: Sequence[complex], steps: int = 4) -> Outline:
    """Closed Catmull-Rom curve through ``points``, ``steps`` pieces between two of them."""
    count = len(points)
    outline = []
    for i in range(count):
        p0, p1, p2, p3 = (points[(i + k) % count] for k in (-1, 0, 1, 2))
        for j in range(steps):
            t = j / steps
            outline.append(
                0.5
                * (
                    2 * p1
                    + (p2 - p0) * t
                    + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
                    + (3 * p1 - p0 - 3 * p2 + p3) * t**3
                )
            )
    return outline


def mirrored(half: Sequence[complex]) -> Outline:
    """Close a right half outline (from top to bottom) with its mirror image at x = 0."""
    return [*half, *(complex(-z.real, z.imag) for z in reversed(half))]


def placed(outline: Sequence[complex], origin: complex, axis: complex) -> Outline:
    """Move an outline drawn around 0 to ``origin``, its x axis turned to ``axis``."""
    return [origin + axis * z for z in outline]
