# SPDX-License-Identifier: Apache-2.0
"""Reading and writing single files: photographs, label maps, and colours for labels."""

import struct
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from scam.data.advice import no_index_map
from scam.errors import InputError

_UNREADABLE = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)
_ORIENTATION = 0x0112


def _open(path: Path) -> tuple[Image.Image, bytes]:
    try:
        data = path.read_bytes()
        picture = Image.open(BytesIO(data))
        picture.load()
    except _UNREADABLE as error:
        # PIL's own words may show an object's address instead of the file.
        reason = "not a picture" if isinstance(error, UnidentifiedImageError) else error
        raise InputError(f"{path}: cannot be read ({reason})") from None
    return picture, data


def read_image(path: Path) -> tuple[Image.Image, int]:
    """Read a photograph as 8-bit RGB, upright, with the EXIF orientation (1 .. 8) it had.

    Grey, palette and CMYK pictures become RGB, 16 bits become 8, transparency lies on white.
    InputError naming the file if it is missing, truncated or no picture.
    """
    picture, _ = _open(path)
    orientation = picture.getexif().get(_ORIENTATION, 1)
    try:
        picture = ImageOps.exif_transpose(picture)
    except _UNREADABLE as error:
        raise InputError(f"{path}: cannot be read ({error})") from None
    if picture.mode.startswith("I"):
        # PIL clips 16-bit grey to 255 instead of scaling it.
        grey = np.asarray(picture).astype(np.int64).clip(0, 65535) >> 8
        picture = Image.fromarray(grey.astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        paper = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(paper, picture)
    return picture.convert("RGB"), orientation


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read a black and white picture as bool (H, W): true where it is not black.

    InputError naming the file if it is missing, truncated, no picture, or partly transparent.
    """
    picture, _ = _open(path)
    if picture.has_transparency_data:
        opacity = np.asarray(picture.convert("RGBA"))[..., 3]
        if opacity.min(initial=255) < 255:
            raise InputError(f"{path}: is partly transparent, expected a mask in black and white")
    return np.asarray(picture.convert("L")) > 0


def read_label_png(path: Path) -> NDArray[np.int32]:
    """Read an index map as int32 (H, W): grey png of 1 to 16 bits, or palette png (its indices).

    InputError naming the file if it is missing, truncated, or a colour picture.
    """
    picture, data = _open(path)
    if picture.format != "PNG" or picture.mode not in ("1", "L", "P", "I", "I;16"):
        raise InputError(f"{path}: {no_index_map(picture, str(picture.format))}")
    values = np.asarray(picture).astype(np.int32)
    # PIL stretches grey of 2 and 4 bits over 0 .. 255; the header's byte 24 holds the depth.
    depth = data[24]
    if picture.mode == "L" and depth < 8:
        values //= 255 // ((1 << depth) - 1)
    return values


def save_label_png(
    path: Path | str, labels: NDArray[np.integer], *, ignore_label: int | None = None
) -> None:
    """Write labels (H, W) as a grey index map: 8 bits, or 16 if an id is above 255.

    ignore_label: the value that pixels with a negative label get. ValueError if there are such
    pixels and it is None, if a label already has that value, or if ids exceed 65535.
    """
    if labels.ndim != 2:
        raise ValueError(f"labels have shape {labels.shape}, expected (H, W)")
    values = labels.astype(np.int64)
    unlabelled = values < 0
    if unlabelled.any():
        if ignore_label is None:
            raise ValueError("labels hold negative values: give the ignore_label to write")
        if (values == ignore_label).any():
            raise ValueError(f"ignore_label {ignore_label} is also the id of a label")
        values[unlabelled] = ignore_label
    if values.size and not 0 <= values.min() <= values.max() <= 65535:
        raise ValueError(f"labels run to {values.max()}, expected 0 .. 65535")
    small = not values.size or values.max() <= 255
    Image.fromarray(values.astype(np.uint8 if small else np.uint16)).save(path, format="PNG")


@lru_cache(maxsize=1)
def _distinct_colours() -> NDArray[np.uint8]:
    """Order readable colours so that each is far from all before it; label 0 is a dark slate."""
    levels = np.linspace(24, 248, 12)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    # "Low-cost" colour distance (compuphase.com/cmetric.htm) with mean red weights.
    weights = np.array([2.5, 4.0, 2.5])
    brightness = grid @ np.array([0.3, 0.59, 0.11])
    spread = np.ptp(grid, axis=1)
    grid = grid[(brightness > 70) & (spread > 30) & (spread < 165)]
    first = np.array([[38.0, 42.0, 54.0], [214.0, 96.0, 70.0]])
    distance = np.full(len(grid), np.inf)
    chosen = list(first)
    for colour in first:
        distance = np.minimum(distance, ((grid - colour) ** 2) @ weights)
    for _ in range(min(len(grid), 510)):
        colour = grid[int(distance.argmax())]
        chosen.append(colour)
        distance = np.minimum(distance, ((grid - colour) ** 2) @ weights)
    return np.array(chosen).round().astype(np.uint8)


def palette(num_labels: int) -> NDArray[np.uint8]:
    """Return uint8 (num_labels, 3) colours, the first 512 all different; label 0 is dark.

    A label keeps its colour whatever ``num_labels`` is.
    """
    colours = _distinct_colours()
    return colours[np.arange(num_labels) % len(colours)]


def colorize(labels: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Return labels (H, W) as uint8 RGB (H, W, 3); negative labels are black."""
    top = int(labels.max(initial=0))
    table = np.concatenate([palette(top + 1), np.zeros((1, 3), np.uint8)])
    return table[np.where(labels < 0, top + 1, labels)]
