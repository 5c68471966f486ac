# SPDX-License-Identifier: Apache-2.0
"""The values in label images that are not index maps as training reads them."""

import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from scam.data.picture import opened, read_label_png
from scam.errors import InputError

_DEPTH = 24  # place of a png's bits per channel, with its kind of colour behind it
_GREY_ALPHA = 4


def read_values(path: Path) -> NDArray[np.int64]:
    """The value of each pixel (H, W), of one channel or of several equal ones.

    A palette's indices are the values, whatever its colours are; 16 and 32 bits stay whole.
    InputError naming the file if it is unreadable, in colours, partly transparent, or holds
    fractions.
    """
    picture, data = _decode(path)
    mode = picture.mode
    if picture.format == "PNG" and mode in ("1", "L", "P", "I", "I;16"):
        return read_label_png(path).astype(np.int64)
    if mode in ("1", "L", "P", "I", "F") or mode.startswith("I;16"):
        values = np.asarray(picture)
        if mode == "F" and not np.array_equal(values, np.rint(values)):
            raise InputError(f"{path}: holds fractions, expected whole numbers")
        return values.astype(np.int64)
    if mode not in ("RGB", "RGBA", "LA"):
        raise InputError(f"{path}: is a {mode} image, expected greys")
    channels = np.asarray(picture).astype(np.int64)
    if picture.format == "PNG" and data[_DEPTH] == 16:
        # Of each two bytes PIL keeps the first alone.
        channels = channels << 8 | _low_bytes(picture.mode, data)
    if mode in ("RGBA", "LA") and len(np.unique(channels[..., -1])) > 1:
        raise InputError(f"{path}: is partly transparent, expected opaque pixels")
    values = channels[..., 0]
    if mode != "LA" and not (channels[..., :3] == values[..., None]).all():
        raise InputError(
            f"{path}: is an image in colours, expected greys (for colours: prepare palette)"
        )
    return values


def _decode(path: Path) -> tuple[Image.Image, bytes]:
    with opened(path, tiff=True) as (picture, file):
        return picture, file.pixels


def _low_bytes(mode: str, data: bytes) -> NDArray[np.int64]:
    """The lower bytes of a png with 16 bits per channel, (H, W, channels)."""
    if data[_DEPTH + 1] == _GREY_ALPHA:  # which PIL makes RGBA
        # As a file of four channels of 8 bits the same bytes are high, low, high, low.
        header = data[12:_DEPTH] + bytes([8, 6]) + data[_DEPTH + 2 : 29]
        data = data[:12] + header + zlib.crc32(header).to_bytes(4, "big") + data[33:]
        return np.asarray(PngImageFile(BytesIO(data))).astype(np.int64)[..., [1, 1, 1, 3]]
    picture = PngImageFile(BytesIO(data))
    # Older versions of Pillow have plain tuples here.
    picture.tile = [(*part[:3], f"{mode};16L") for part in picture.tile]  # type: ignore[misc]
    return np.asarray(picture).astype(np.int64)
