# SPDX-License-Identifier: Apache-2.0
"""Mountains: a height map seen in perspective across a lake."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scam.semia.landscape.noise import Floats, fractal_noise, rgb, smooth_step

_NEAR, _FAR = 2.0, 6.0  # distance of the far shore and of what is drawn behind it
_FOCAL = 1.15  # image heights: a unit at distance z is _FOCAL / z high
_STEPS = 160


@dataclass(frozen=True, eq=False)
class Terrain:
    """What each pixel (rows, W) sees: whether land, and its place on the map (where seen)."""

    seen: NDArray[np.bool_]
    across: Floats
    away: Floats
    peaks: float


def height(across: Floats, away: Floats, peaks: float, octaves: int = 8) -> Floats:
    """Above the water, at a place of the map."""
    rise = smooth_step(_NEAR, 4.3, away)
    massif = np.exp(-(((across - 0.9) / 0.9) ** 2) - ((away - 4.4) / 1.1) ** 2)
    massif += 0.7 * np.exp(-(((across + 1.7) / 0.8) ** 2) - ((away - 4.8) / 1.2) ** 2)
    crests = fractal_noise(0.9 * across + 3.3, 0.9 * away, octaves, 11, ridged=True)
    hills = fractal_noise(1.7 * across, 1.7 * away, min(octaves, 5), 31)
    return peaks * rise * (0.12 + 0.75 * crests * (0.45 + massif) + 0.42 * massif) + (
        0.05 * smooth_step(_NEAR, _NEAR + 0.3, away) * (1 + hills)
    )


def look_at_terrain(x: Floats, y: Floats, shore: float, peaks: float) -> Terrain:
    """Follow each pixel's ray to the first land; x (1, W), y (rows, 1) in image heights."""
    away = np.linspace(_NEAR, _FAR, _STEPS, dtype=np.float32)[:, None]
    # How high the land at each distance stands in the image; what is nearer hides it.
    skyline = height(x * away / _FOCAL, away, peaks) * _FOCAL / away
    skyline = np.maximum.accumulate(skyline, 0)
    asked = shore - y[:, 0]
    first = np.stack([np.searchsorted(column, asked) for column in skyline.T], 1)
    seen = first < _STEPS

    step = np.clip(first, 1, _STEPS - 1)
    high = np.take_along_axis(skyline, step, 0)
    low = np.take_along_axis(skyline, step - 1, 0)
    part = np.clip((asked[:, None] - low) / np.maximum(high - low, 1e-6), 0, 1)
    at = away[0, 0] + (step - 1 + part) * (away[1, 0] - away[0, 0])
    at = at.astype(np.float32)
    return Terrain(seen, x * at / _FOCAL, at, peaks)


def draw_mountains(terrain: Terrain, light: tuple[float, float, float]) -> Floats:
    """Colours (n, 3), 0 .. 255, of the pixels that see land; light: towards the sun."""
    across, away = terrain.across[terrain.seen], terrain.away[terrain.seen]
    peaks = terrain.peaks
    step = np.float32(0.012)
    up = height(across, away, peaks)
    slope_x = (height(across + step, away, peaks) - up) / step
    slope_z = (height(across, away + step, peaks) - up) / step
    length = np.sqrt(slope_x**2 + slope_z**2 + 1)
    lit = np.clip((-slope_x * light[0] + light[1] - slope_z * light[2]) / length, 0, 1)
    flat = 1 / length

    grain = fractal_noise(26 * across, 26 * away, 4, 71)
    patches = fractal_noise(5 * across, 5 * away, 4, 81)
    rock = rgb(122, 112, 104) + 26 * grain[:, None] + rgb(18, 8, -4) * patches[:, None]
    trees = fractal_noise(95 * across, 60 * up + 30 * away, 2, 96)
    forest = rgb(50, 72, 40) + rgb(18, 22, 10) * (patches + 1.5 * trees)[:, None]
    meadow = rgb(112, 128, 62) + 14 * grain[:, None]
    level = up / np.float32(max(peaks, 0.5))
    green = 1 - smooth_step(0.2, 0.42, level + 0.12 * patches - 0.12 * (flat - 0.5))
    grass = smooth_step(-0.05, 0.25, patches + 0.4 * grain) * smooth_step(0.1, 0.3, level)
    wood = forest + grass[:, None] * (meadow - forest)
    ground = rock + green[:, None] * (wood - rock)
    snow = smooth_step(0.62, 0.78, level + 0.16 * patches + 0.5 * (flat - 0.55))
    ground = ground + snow[:, None] * (rgb(246, 248, 252) - ground)

    sun, shade = rgb(1.12, 1.05, 0.94), rgb(0.36, 0.42, 0.54)
    colour = ground * (shade + lit[:, None] * sun)
    haze = 0.62 * smooth_step(2.2, 6.5, away)
    return colour + haze[:, None] * (rgb(186, 204, 222) - colour)
