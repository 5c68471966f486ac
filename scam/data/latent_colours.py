# SPDX-License-Identifier: Apache-2.0
"""Colours that tell latents of a label apart, also to people who are colour-blind."""

from scam.data.legend import Colour, Legend

_OKABE_ITO: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (236, 236, 236),
)
"""Okabe and Ito, Color Universal Design (2008): orange, sky blue, bluish green, yellow, blue,
vermilion, reddish purple. Their black is a light grey here: black is where nothing is shown."""
_SHADES = 1.0, 0.6, 0.33


def latent_colours(count: int) -> list[Colour]:
    """Of the first, second, ... latent; after eight the same hues are darker, 24 are distinct."""
    colours = []
    for number in range(count):
        hue = _OKABE_ITO[number % len(_OKABE_ITO)]
        shade = _SHADES[number // len(_OKABE_ITO) % len(_SHADES)]
        red, green, blue = (round(part * shade) for part in hue)
        colours.append((red, green, blue))
    return colours


def latent_legend(count: int) -> Legend:
    """Which colour is which latent: ``latent 0`` is the first of whatever label a pixel has."""
    named = ((colour, f"latent {n}") for n, colour in enumerate(latent_colours(count)))
    return Legend("strongest", tuple(named))
