# SPDX-License-Identifier: Apache-2.0
"""Cloth, walls and ground: colours as a function of the place on a surface."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scam.data.mannequins.chance import Chance
from scam.data.mannequins.colour import CLOTH, Colour, contrast, jitter

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Texture:
    """A pattern of two or three colours (RGB, 0 .. 255) that repeats every ``period``."""

    kind: str
    first: Colour
    second: Colour = (0.0, 0.0, 0.0)
    third: Colour = (0.0, 0.0, 0.0)
    period: float = 0.06
    phase: float = 0.0

    def __call__(self, u: Values, v: Values) -> Values:
        """Colours (n, 3) at the points (u across, v along), each (n,); (1, 3) if all are equal."""
        first = np.asarray(self.first, np.float32)
        if self.kind == "plain":
            return first[None]
        weight = PATTERNS[self.kind](u / self.period + self.phase, v / self.period + self.phase)
        colours = first + weight[:, None] * (np.asarray(self.second, np.float32) - first)
        if self.kind == "tartan":
            line = _wave(u / self.period + self.phase + 0.25, 0.14)
            line = np.maximum(line, _wave(v / self.period + self.phase + 0.25, 0.14))
            colours += line[:, None] * (np.asarray(self.third, np.float32) - colours)
        return colours


def _wave(x: Values, part: float = 0.5) -> Values:
    return (x - np.floor(x) < part).astype(np.float32)


def _dots(u: Values, v: Values) -> Values:
    # Every other row is shifted by half a period.
    shifted = u + np.float32(0.5) * (np.floor(v) % 2)
    du, dv = shifted - np.floor(shifted) - 0.5, v - np.floor(v) - 0.5
    return (du * du + dv * dv < 0.1).astype(np.float32)


def _blobs(u: Values, v: Values) -> Values:
    field = np.sin(3.1 * u + np.sin(2.3 * v)) + np.sin(2.7 * v + 1.9 * np.sin(1.3 * u))
    return (field > 0.3).astype(np.float32)


PATTERNS = {
    "bands": lambda u, v: _wave(v),
    "thin bands": lambda u, v: _wave(v, 0.3),
    "stripes": lambda u, v: _wave(u),
    "pinstripes": lambda u, v: _wave(u, 0.3),
    "diagonal": lambda u, v: _wave(0.7 * (u + v)),
    "check": lambda u, v: 0.5 * (_wave(u) + _wave(v)),
    "tartan": lambda u, v: 0.5 * (_wave(u) + _wave(v)),
    "chess": lambda u, v: np.abs(_wave(u) - _wave(v)),
    "zigzag": lambda u, v: _wave(v + 0.8 * np.abs(u - np.floor(u) - 0.5)),
    "dots": _dots,
    "blobs": _blobs,
    "gradient": lambda u, v: np.clip(v * 0.25, 0, 1).astype(np.float32),
}


def sample_cloth(chance: Chance, scale: float) -> Texture:
    """A garment's texture, its period large enough to be seen at 96 x 64 pixels.

    scale: height of the wearer, in image heights.
    """
    first = jitter(chance, chance.pick(CLOTH))
    kind = "plain" if chance.happens(0.25) else chance.pick(tuple(PATTERNS))
    least = 70 if kind == "gradient" else 110
    period = scale * chance.between(0.055, 0.1)
    return Texture(
        kind,
        first,
        contrast(chance, first, least),
        contrast(chance, first),
        period,
        chance.between(0, 1),
    )
