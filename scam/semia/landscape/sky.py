# SPDX-License-Identifier: Apache-2.0
"""Sky with clouds."""

import numpy as np

from scam.semia.landscape.noise import Floats, blend, fractal_noise, smooth_step
from scam.semia.landscape.view import SHORE, View

_ZENITH, _HORIZON = (58, 108, 178), (206, 222, 234)


def draw_sky(view: View) -> Floats:
    """Colours (rows, W, 3), 0 .. 255, of the rows above the far shore."""
    x, y = np.broadcast_arrays(view.x, view.y[: view.shore])
    colour = blend(_ZENITH, _HORIZON, smooth_step(-0.15, SHORE, y) ** 1.3)
    # Clouds are on a plane: towards the horizon they get smaller and flatter.
    near = 1 / (0.32 + SHORE - y)
    across, away = 1.1 * x * near, 2.6 * near
    puffs = 0.16 * fractal_noise(3.1 * across, 3.1 * away, 4, 91, ridged=True)

    def thickness(x: Floats, y: Floats, octaves: int) -> Floats:
        return fractal_noise(x, y, octaves, 101) + 0.75 * fractal_noise(0.5 * x, 0.5 * y, 2, 111)

    thick = thickness(across, away, 6) - puffs
    # The sun stands to the left and above: what has more cloud on that side is in shade.
    towards = thickness(across - 0.1, away + 0.16, 4)
    cover = smooth_step(0.02, 0.42, thick)
    dark = smooth_step(-0.05, 0.95, 0.6 * towards + 0.4 * thick)
    cloud = blend((255, 253, 249), (164, 176, 196), dark)
    return colour + (0.95 * cover)[..., None] * (cloud - colour)
