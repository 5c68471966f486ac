# SPDX-License-Identifier: Apache-2.0
"""Changing photographs: arithmetic on latents, saved styles, and pasting back."""

from scam.editing.latents import blend, fill, interpolate, mean, shares, swap
from scam.editing.paste import enlarge_by_labels, paste_back, spread_labels, touched_pixels
from scam.editing.styles import Style, fingerprint, load_style, read_style, save_style

__all__ = [
    "Style",
    "blend",
    "enlarge_by_labels",
    "fill",
    "fingerprint",
    "interpolate",
    "load_style",
    "mean",
    "paste_back",
    "read_style",
    "save_style",
    "shares",
    "spread_labels",
    "swap",
    "touched_pixels",
]
