# SPDX-License-Identifier: Apache-2.0
"""A distance of textures: how strong patterns are and which way they run, not where they begin."""

import torch.nn.functional as F
from torch import Tensor

WINDOW = 7
"""Side of a neighbourhood, in cells of each size."""
SMALLEST = 32
"""Pictures are halved while their smaller side stays at least that, in pixels."""
_FLAT = 1e-4
"""Mean squared gradient below which a neighbourhood counts as flat; keeps gradients finite."""


def texture_distance(fake: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference of local contrast between pictures (B, 3, H, W) in [-1, 1].

    Local contrast is the root mean square of horizontal (vertical) gradients over colours and
    WINDOW x WINDOW cells. It is compared at full size and at halved sizes, down to SMALLEST
    pixels; the result is their mean, a scalar in float32. A stripe that is shifted costs little
    and one that is missing costs its contrast, while for pixelwise losses a pattern in the wrong
    place is worse than none.
    """
    fake, real = fake.float(), real.float()
    total, count = fake.new_zeros(()), 0
    while True:
        for axis in (2, 3):
            difference = _contrast(fake, axis) - _contrast(real, axis)
            total, count = total + difference.abs().mean(), count + 1
        if min(fake.shape[2:]) < 2 * SMALLEST:
            return total / count
        fake, real = F.avg_pool2d(fake, 2), F.avg_pool2d(real, 2)


def _contrast(image: Tensor, axis: int) -> Tensor:
    """Local contrast along ``axis``, one cell less there; (B, 1, H, W)."""
    squares = image.diff(dim=axis).square().mean(1, keepdim=True)
    mean = F.avg_pool2d(squares, WINDOW, 1, WINDOW // 2, count_include_pad=False)
    return (mean + _FLAT).sqrt()
