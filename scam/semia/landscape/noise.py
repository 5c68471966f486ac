# SPDX-License-Identifier: Apache-2.0
"""Noise that depends on the place only: the same image at any size and on any machine."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
Bits = NDArray[np.uint32]


# Unit vectors in all directions; a table costs less than sine and cosine.
_ANGLES = np.arange(256) * (np.pi / 128)
_SLOPES = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)]).astype(np.float32)


def hashed(i: Ints, j: int, seed: int) -> Floats:
    """Uniform numbers in [0, 1), one for each pair of integers and seed."""
    bits = _mixed(i.astype(np.uint32), np.uint32(j & 0xFFFFFFFF), seed)
    return (bits >> np.uint32(8)).astype(np.float32) / np.float32(1 << 24)


def gradient_noise(x: Floats, y: Floats, seed: int) -> Floats:
    """Smooth noise of period about 1, in [-1, 1] (Perlin 2002, one random slope per corner)."""
    column, row = np.floor(x), np.floor(y)
    right, down = x - column, y - row
    i, j = column.astype(np.int32).view(np.uint32), row.astype(np.int32).view(np.uint32)

    def slope(di: int, dj: int) -> Floats:
        which = _mixed(i + np.uint32(di), j + np.uint32(dj), seed) >> np.uint32(24)
        return _SLOPES[0][which] * (right - di) + _SLOPES[1][which] * (down - dj)

    across, along = (t * t * t * (t * (6 * t - 15) + 10) for t in (right, down))
    corners = [slope(di, dj) for dj in (0, 1) for di in (0, 1)]
    top = corners[0] + across * (corners[1] - corners[0])
    bottom = corners[2] + across * (corners[3] - corners[2])
    return np.float32(1.41) * (top + along * (bottom - top))


def _mixed(i: NDArray[np.uint32], j: NDArray[np.uint32] | np.uint32, seed: int) -> Bits:
    """32 bits that look random, by two rounds of xor-shift and multiplication."""
    salt = np.uint32(seed * 0xC2B2AE3D & 0xFFFFFFFF)
    with np.errstate(over="ignore"):
        bits = i * np.uint32(0x9E3779B1) + j * np.uint32(0x85EBCA77) + salt
        bits = (bits ^ (bits >> np.uint32(16))) * np.uint32(0x7FEB352D)
        bits = (bits ^ (bits >> np.uint32(15))) * np.uint32(0x846CA68B)
    return bits ^ (bits >> np.uint32(16))


def fractal_noise(
    x: Floats, y: Floats, octaves: int, seed: int, *, ridged: bool = False
) -> Floats:
    """Noise of several scales, about -1 .. 1; ridged: sharp crests, 0 .. 1."""
    total = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32)
    weight, whole, crest = 1.0, 0.0, np.float32(1)
    for octave in range(octaves):
        value = gradient_noise(x, y, seed + octave)
        if ridged:
            # Crests carry the detail, valleys stay smooth (Musgrave's ridged multifractal).
            value = crest * (1 - np.abs(value)) ** 2
            crest = np.clip(1.6 * value, 0, 1)
        total += np.float32(weight) * value
        whole += weight
        weight *= 0.5
        # Turned, so that no direction of the lattices shows.
        x, y = 2.03 * (0.8 * x - 0.6 * y), 2.03 * (0.6 * x + 0.8 * y)
    return total / np.float32(whole if ridged else 1)


def smooth_step(low: float, high: float, x: Floats) -> Floats:
    """0 below ``low``, 1 above ``high`` and smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def rgb(red: float, green: float, blue: float) -> Floats:
    """A colour (3,), 0 .. 255 or relative."""
    return np.array([red, green, blue], np.float32)


def blend(first: object, second: object, part: Floats) -> Floats:
    """Colours (..., 3): ``first``, with ``part`` (...) of it replaced by ``second``."""
    one, other = np.asarray(first, np.float32), np.asarray(second, np.float32)
    return one + part[..., None] * (other - one)
