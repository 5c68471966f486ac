# SPDX-License-Identifier: Apache-2.0
"""From a network's pictures to those of a file."""

from torch import Tensor


def to_uint8(pictures: Tensor) -> Tensor:
    """Any shape, floating, in [-1, 1] -> uint8, rounded as a saved picture is; nan is mid-grey."""
    levels = (pictures.detach().float().nan_to_num(0.0).clamp(-1, 1) + 1) * 127.5
    return levels.round().byte()
