# SPDX-License-Identifier: Apache-2.0
"""Writing one image, all of it or nothing."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as PIL_Image
from torch import Tensor

from scam.data.arrays import Image
from scam.data.convert import expect_pixels, to_uint8
from scam.data.open_picture import read_photograph
from scam.errors import InputError, counted, type_of
from scam.storage.files import checked_path, write_aside
from scam.storage.outputs import expect_outputs

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""File endings, with Pillow's names."""


def save_picture(
    image: Tensor | PIL_Image.Image | Image,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> None:
    """Write an image to ``path``, a .png, .jpg or .webp file, making the folders above it.

    image: a tensor (3, H, W) or (1, 3, H, W), floating in [-1, 1], as models generate them, or
    uint8; an image of PIL; or an array uint8 RGB (H, W, 3). The file is whole or absent.

    Raises InputError for another image or ending, where the disk refuses, and where a file is
    there already, unless it is to be overwritten.
    """
    path = checked_path(path, "path")
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"{{path}}: expected a {', '.join(FORMATS)} file", path=path)
    pixels = pixels_of(image)
    expect_outputs([("path", path, path)], overwrite=overwrite)
    write_picture(pixels, path, overwrite=overwrite)


def write_picture(pixels: Image, path: Path, *, overwrite: bool) -> None:
    """Write uint8 RGB (H, W, 3) to a path with one of the endings :data:`FORMATS`."""
    with write_aside(path, overwrite=overwrite) as file:
        PIL_Image.fromarray(pixels).save(file, format=FORMATS[path.suffix.lower()])


def pixels_of(image: Any) -> Image:
    """uint8 RGB (H, W, 3) of what :func:`save_picture` takes. InputError for anything else."""
    if not isinstance(image, Tensor):
        if not isinstance(image, PIL_Image.Image | np.ndarray):
            pair = isinstance(image, Sequence) and len(image) == 2 and not isinstance(image, str)
            first = "; of a pair (image, labels) give the first" if pair else ""
            raise InputError(
                f"image is {type_of(image)}: expected one tensor, PIL image or array{first}"
            )
        return np.asarray(read_photograph(image)[0])
    if image.dim() == 4 and len(image) != 1:
        raise InputError(f"image holds {counted(len(image), 'image')}: expected one")
    single = image[0] if image.dim() == 4 else image
    if single.dim() != 3 or single.shape[0] != 3 or not single.numel():
        raise InputError(
            f"image has shape {tuple(image.shape)}: expected (3, H, W) or (1, 3, H, W)"
        )
    if single.dtype != torch.uint8:
        if not single.is_floating_point():
            raise InputError(
                f"image has dtype {image.dtype}: expected a floating one in [-1, 1], or uint8"
            )
        expect_pixels(single, "image")
        single = to_uint8(single)
    pixels: Image = single.permute(1, 2, 0).cpu().numpy()
    return np.ascontiguousarray(pixels)
