# SPDX-License-Identifier: Apache-2.0
"""Reading and writing single files: photographs, label maps, and colours for labels."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from scam.data.advice import no_index_map
from scam.data.container import EXPECTED, Container, DamagedError, kind_of, take_apart
from scam.errors import InputError, sized, type_of
from scam.settings.environment import max_pixels
from scam.storage.files import write_aside
from scam.storage.reading import expect_file

# Pillow's decoders by name: Image.open would try forty more, some of which start programs.
_DECODERS: dict[str, Callable[[BytesIO], Image.Image]] = {
    "PNG": PngImageFile,
    "JPEG": JpegImageFile,
    "WEBP": WebPImageFile,
    "GIF": GifImageFile,
    "BMP": BmpImageFile,
    "TIFF": TiffImageFile,
}
# No file of that many pixels is larger, unless it is made of something else.
_BYTES_PER_PIXEL = 4
_LEAST_BYTES = 1 << 26
INDEX_MODES = ("1", "L", "P", "I", "I;16")
"""Modes of Pillow's images that hold one number a pixel."""
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pixels that are converted at once: what is made in between must not grow with the image.
_BLOCK = 1 << 22


@dataclass(frozen=True)
class Upload:
    """An image file that is in memory only.

    name: what errors call it. most_pixels: those it may have, at most ``SCAM_MAX_PIXELS``.
    """

    name: str
    data: bytes
    most_pixels: int

    def __str__(self) -> str:
        return self.name


PictureFile = Path | Upload
"""Where an image comes from."""


@contextmanager
def decoding(path: object) -> Iterator[None]:
    """Whatever goes wrong in the block is an InputError about the file: decoders of damaged
    files raise almost anything.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = error.strerror if isinstance(error, OSError) else None
        text = " ".join((reason or str(error)).split()) or type(error).__name__
        raise InputError(f"{path}: cannot be read ({text})") from None


def read_file(path: PictureFile) -> bytes:
    """The bytes of what may be an image.

    InputError naming the file if it is missing, no regular file, no image by its first bytes,
    or larger than any image that is read.
    """
    if isinstance(path, Upload):
        return path.data
    with decoding(path):
        expect_picture_file(path)
        with path.open("rb") as file:
            start = file.read(32)
            kind_of(start)
            size, largest = (
                os.fstat(file.fileno()).st_size,
                _BYTES_PER_PIXEL * max_pixels(),
            )
            if size > max(largest, _LEAST_BYTES):
                raise DamagedError(f"{size} bytes, {_limit(path)}")
            return start + file.read()


def expect_picture_file(path: Path) -> None:
    """InputError unless there is a regular file at ``path``, or a link to one."""
    with decoding(path):
        expect_file(path)


def _most_pixels(path: PictureFile) -> int:
    return min(path.most_pixels, max_pixels()) if isinstance(path, Upload) else max_pixels()


def _limit(path: PictureFile) -> str:
    most = _most_pixels(path)
    asked = ", or set the environment variable SCAM_MAX_PIXELS" if most == max_pixels() else ""
    return f"expected {most} pixels at most: scale it down{asked}"


@contextmanager
def opened(path: PictureFile, *, tiff: bool = False) -> Iterator[tuple[Image.Image, Container]]:
    """A decoded image of at most ``SCAM_MAX_PIXELS``, and its file without metadata.

    tiff: whether it may be a TIFF file. InputError naming the file for all that goes wrong.
    """
    with decoding(path):
        file = take_apart(read_file(path))
        if file.kind == "TIFF" and not tiff:
            raise DamagedError(f"holds TIFF, {EXPECTED}")
        limit = _most_pixels(path)
        if Image.MAX_IMAGE_PIXELS is not None and limit > 2 * Image.MAX_IMAGE_PIXELS:
            Image.MAX_IMAGE_PIXELS = limit  # asked for: Pillow's decoders ask again
        try:
            picture = _DECODERS[file.kind](BytesIO(file.pixels))
        except Image.DecompressionBombError:
            raise InputError(f"{path}: has over {limit} pixels, {_limit(path)}") from None
        width, height = picture.size
        if width * height > limit:
            found = f"{width * height} pixels, {sized((height, width))}"
            raise InputError(f"{path}: has {found}, {_limit(path)}")
        picture.load()
        yield picture, file


def read_image(path: PictureFile, *, tiff: bool = False) -> tuple[Image.Image, int]:
    """Read a photograph as 8-bit RGB, upright, with the EXIF orientation (1 .. 8) it had.

    Grey, palette and CMYK images become RGB, 16 bits become 8, transparency becomes white.
    Metadata that makes no sense is ignored. tiff: whether it may be a TIFF file. InputError
    naming the file if it is missing, truncated, no image, or has more pixels than
    ``SCAM_MAX_PIXELS``.
    """
    with opened(path, tiff=tiff) as (picture, file):
        return as_rgb(upright(picture, file.orientation)), file.orientation


def upright(picture: Image.Image, orientation: int) -> Image.Image:
    """The image turned as its EXIF orientation (1 .. 8) says."""
    return picture.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else picture


def as_rgb(picture: Image.Image) -> Image.Image:
    """An image of any mode as 8-bit RGB: 16 bits become 8, transparency becomes white."""
    if picture.mode == "RGB" and not picture.has_transparency_data:
        return picture
    rgb = Image.new("RGB", picture.size)
    for box in blocks(*picture.size):
        part = picture.crop(box)
        if part.mode.startswith("I"):
            # PIL clips 16-bit grey to 255 instead of scaling it, and ignores its transparency.
            grey = np.asarray(part).clip(0, 65535)
            clear = grey == picture.info.get("transparency", -1)
            part = Image.fromarray(np.where(clear, 255, grey >> 8).astype(np.uint8))
        elif picture.has_transparency_data:
            part = part.convert("RGBA")
            part = Image.alpha_composite(Image.new("RGBA", part.size, "white"), part)
        rgb.paste(part.convert("RGB"), box)
    return rgb


def blocks(width: int, height: int) -> Iterator[tuple[int, int, int, int]]:
    """Boxes (left, upper, right, lower) that cover an image from above, of some rows each."""
    rows = max(1, _BLOCK // width)
    for top in range(0, height, rows):
        yield 0, top, width, min(height, top + rows)


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Read a black and white image as bool (H, W): true where it is not black.

    InputError naming the file if it is missing, truncated, no image, or partly transparent.
    """
    with opened(path) as (picture, _):
        mask = np.empty(picture.size[::-1], np.bool_)
        for box in blocks(*picture.size):
            part = picture.crop(box)
            if part.has_transparency_data and _opacity(part) < 255:
                raise InputError(
                    f"{path}: is partly transparent, expected a mask in black and white"
                )
            mask[box[1] : box[3]] = np.asarray(part.convert("L")) > 0
        return mask


def _opacity(picture: Image.Image) -> int:
    """Of the most transparent pixel, 0 .. 255."""
    return int(np.asarray(picture.convert("RGBA").getchannel("A")).min(initial=255))


class NoLabelMapError(InputError):
    """An image that can be read and is not a label map."""


def is_label_map(path: PictureFile) -> bool:
    """Whether :func:`read_label_png` reads it."""
    try:
        read_label_png(path)
    except InputError:
        return False
    return True


def read_label_png(path: PictureFile) -> NDArray[np.int32]:
    """Read an index map as int32 (H, W): grey png of 1 to 16 bits, or palette png (its indices).

    InputError naming the file if it is missing or truncated, NoLabelMapError if it is another
    image.
    """
    with opened(path, tiff=True) as (picture, file):
        if file.kind != "PNG" or picture.mode not in INDEX_MODES:
            raise NoLabelMapError(f"{path}: {no_index_map(picture, file.kind)}")
        values = np.asarray(picture).astype(np.int32)
        # PIL stretches grey of 2 and 4 bits over 0 .. 255; the header's byte 24 holds the depth.
        depth = file.pixels[24]
        if picture.mode == "L" and depth < 8:
            values //= 255 // ((1 << depth) - 1)
        return values


def save_label_png(
    path: Path | str | BinaryIO,
    labels: NDArray[np.integer] | torch.Tensor,
    *,
    ignore_label: int | None = None,
) -> None:
    """Write labels (H, W) as a grey index map: 8 bits, or 16 if an id is above 255.

    path: a .png file, replaced if it is there, or a file that is open for writing. labels: an
    array or a tensor. ignore_label: the value that pixels with a negative label get. ValueError
    if there are such pixels and it is None, if a label already has that value, if ids exceed
    65535, and for anything that is no integers (H, W); InputError for another ending, and where
    the disk refuses.
    """
    if isinstance(path, str | os.PathLike):
        file = Path(path)
        if file.suffix.lower() != ".png":
            raise InputError("{path}: expected a .png file", path=file)
        with write_aside(file) as opened:
            return save_label_png(opened, labels, ignore_label=ignore_label)
    if isinstance(labels, torch.Tensor):
        labels = labels.detach().cpu().numpy()
    if not isinstance(labels, np.ndarray) or not np.issubdtype(labels.dtype, np.integer):
        found = labels.dtype if isinstance(labels, np.ndarray) else type_of(labels)
        raise ValueError(f"labels: found {found}, expected integers (H, W), an array or a tensor")
    if labels.ndim != 2:
        raise ValueError(f"labels have shape {labels.shape}, expected (H, W)")
    highest = int(labels.max(initial=0))
    unlabelled = labels < 0
    if unlabelled.any():
        if ignore_label is None:
            raise ValueError("labels hold negative values: give the ignore_label to write")
        if (labels == ignore_label).any():
            raise ValueError(f"ignore_label {ignore_label} is also the id of a label")
        highest = max(highest, ignore_label)
    if highest > 65535:
        raise ValueError(f"labels run to {highest}, expected 0 .. 65535")
    values = labels.astype(np.uint8 if highest <= 255 else np.uint16)
    values[unlabelled] = ignore_label or 0
    Image.fromarray(values).save(path, format="PNG")


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
