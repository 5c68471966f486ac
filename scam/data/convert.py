# SPDX-License-Identifier: Apache-2.0
"""From the images of a file to a network's, and back."""

import math

import numpy as np
import torch
from torch import Tensor

from scam.data.arrays import Image
from scam.errors import InputError

_ROUNDING = 1 / 127.5
"""One of 256 levels in [-1, 1]: what 16-bit floats and back and forth cost is less."""


def expect_pixels(images: Tensor, name: str) -> None:
    """InputError, in a line that begins with ``name``, for values outside [-1, 1] or not finite.

    Waits for a GPU.
    """
    low, high = torch.stack(images.detach().aminmax()).tolist()
    if low >= -1 - _ROUNDING and high <= 1 + _ROUNDING:
        return
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError(f"{name} holds values that are not finite: expected [-1, 1]")
    hint = ""
    if low >= 0 and high > 2:
        hint = "; x / 127.5 - 1 makes one of 0 to 255"
    elif max(-low, high) < 1.5:
        hint = "; x.clamp(-1, 1) cuts off what resampling overshot"
    raise InputError(f"{name} holds values from {low:g} to {high:g}: expected [-1, 1]{hint}")


def from_uint8(picture: Image) -> Tensor:
    """uint8 (H, W, 3) -> float32 (3, H, W) in [-1, 1], contiguous."""
    channels_first = np.ascontiguousarray(picture.transpose(2, 0, 1), dtype=np.float32)
    return torch.from_numpy(channels_first).div_(127.5).sub_(1)


def floating(pictures: Tensor) -> Tensor:
    """uint8, any shape -> float32 in [-1, 1]: the inverse of :func:`to_uint8`."""
    return pictures.float() / 127.5 - 1


def to_uint8(pictures: Tensor) -> Tensor:
    """Any shape, floating, in [-1, 1] -> uint8, rounded as a saved image is.

    InputError for values that are not finite: they would look like an image.
    """
    pictures = pictures.detach().float()
    if not bool(pictures.isfinite().all()):
        raise InputError("a generated image holds values that are not finite")
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().byte()
