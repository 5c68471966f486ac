# SPDX-License-Identifier: Apache-2.0
"""The regions of an image's labels as images of their own."""

import torch
from torch import Tensor


def label_regions(image: Tensor, labels: Tensor, wanted: Tensor, side: int) -> Tensor:
    """The region of every wanted label, stretched to a square by nearest pixels; zeros around it.

    image (B, 3, H, W), labels (B, H, W), wanted (l,) -> (B, l * 3, side, side).
    """
    found = labels.unsqueeze(1) == wanted[:, None, None]
    rows, columns = (_stretched(found.any(axis), side) for axis in (3, 2))
    place = rows.unsqueeze(3) * labels.shape[2] + columns.unsqueeze(2)
    inside = found.flatten(2).gather(2, place.flatten(2))
    pixels = image.flatten(2).unsqueeze(1).expand(-1, len(wanted), -1, -1)
    cut = pixels.gather(3, place.flatten(2).unsqueeze(2).expand(-1, -1, pixels.shape[2], -1))
    return (cut * inside.unsqueeze(2)).flatten(1, 2).unflatten(2, (side, side))


def _stretched(occupied: Tensor, side: int) -> Tensor:
    """occupied (B, l, n) bool -> (B, l, side): places from the first true one to the last."""
    first = occupied.int().argmax(2, keepdim=True)
    behind = occupied.shape[2] - occupied.int().flip(2).argmax(2, keepdim=True)
    return first + torch.arange(side, device=occupied.device) * (behind - first) // side
