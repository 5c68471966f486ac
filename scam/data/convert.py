# SPDX-License-Identifier: Apache-2.0
"""From a network's pictures to those of a file."""

from torch import Tensor

from scam.errors import InputError


def to_uint8(pictures: Tensor) -> Tensor:
    """Any shape, floating, in [-1, 1] -> uint8, rounded as a saved picture is.

    InputError for values that are not finite: they would look like a picture.
    """
    pictures = pictures.detach().float()
    if not bool(pictures.isfinite().all()):
        raise InputError("a generated picture holds values that are not finite")
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().byte()
