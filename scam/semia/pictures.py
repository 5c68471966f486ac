# SPDX-License-Identifier: Apache-2.0
"""Still images as 8-bit sRGB with what was done to make them so."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scam.data.picture import as_rgb, opened, upright
from scam.data.srgb import to_srgb
from scam.errors import InputError

_DEPTH = 24  # place of a png's bits per channel


@dataclass(frozen=True, eq=False)
class Picture:
    """rgb: uint8 (H, W, 3), sRGB. opacity: uint8 (H, W), None where all is opaque.

    notes: what is not as the file has it, a line each.
    """

    rgb: NDArray[np.uint8]
    opacity: NDArray[np.uint8] | None
    notes: tuple[str, ...]

    def on_white(self) -> NDArray[np.uint8]:
        """uint8 (H, W, 3), transparent pixels mixed with white."""
        if self.opacity is None:
            return self.rgb
        share = self.opacity[..., None].astype(np.float32) / 255
        return (255 + share * (self.rgb - np.float32(255))).round().astype(np.uint8)


def read_picture(path: Path) -> Picture:
    """Read a png, jpeg, webp, bmp or gif file, upright.

    InputError naming the file if it cannot be read or holds more than one frame.
    """
    with opened(path) as (picture, file):
        frames = max(file.frames, getattr(picture, "n_frames", 1))
        if frames > 1:
            raise InputError(f"{path}: is animated ({frames} frames), expected a still image")
        notes = []
        if file.kind == "PNG" and file.pixels[_DEPTH] == 16:
            notes.append(f"{path}: has 16 bits per channel, read as 8")
        picture = upright(picture, file.orientation)
        opacity = None
        if picture.has_transparency_data:
            opacity = np.asarray(picture.convert("RGBA").getchannel("A"))
            picture = picture.convert("RGBA").convert("RGB")
        elif picture.mode not in ("RGB", "L", "CMYK"):
            picture = as_rgb(picture)
        picture, said = to_srgb(picture, file.profile)
        if said:
            notes.append(f"{path}: {said}")
        if opacity is not None and opacity.min() == 255:
            opacity = None
        return Picture(np.asarray(as_rgb(picture)), opacity, tuple(notes))
