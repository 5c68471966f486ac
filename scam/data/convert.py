# SPDX-License-Identifier: Apache-2.0
"""From the pictures of a file to a network's, and back."""

import numpy as np
import torch
from torch import Tensor

from scam.data.source import Image
from scam.errors import InputError


def from_uint8(picture: Image) -> Tensor:
    """uint8 (H, W, 3) -> float32 (3, H, W) in [-1, 1], contiguous."""
    channels_first = np.ascontiguousarray(picture.transpose(2, 0, 1), dtype=np.float32)
    return torch.from_numpy(channels_first).div_(127.5).sub_(1)


def floating(pictures: Tensor) -> Tensor:
    """uint8, any shape -> float32 in [-1, 1]: the inverse of :func:`to_uint8`."""
    return pictures.float() / 127.5 - 1


def to_uint8(pictures: Tensor) -> Tensor:
    """Any shape, floating, in [-1, 1] -> uint8, rounded as a saved picture is.

    InputError for values that are not finite: they would look like a picture.
    """
    pictures = pictures.detach().float()
    if not bool(pictures.isfinite().all()):
        raise InputError("a generated picture holds values that are not finite")
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().byte()
