# SPDX-License-Identifier: Apache-2.0
"""An image with its label map at one size, and rows of numbers that compare its places."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Size = tuple[int, int]
LEAST_SIDE = 16
"""Pixels, of sources and targets: half the largest patch, and two at an eighth of the size."""
PLACE = 0.5
"""Weight of a squared distance in the image, whose sides are 1."""


def sizes(size: Size, coarsest: int, ratio: float) -> list[Size]:
    """Sizes from small to ``size``, each ``ratio`` times the next, shorter sides >= coarsest."""
    found, factor = [size], ratio
    while min(round(side * factor) for side in size) >= coarsest:
        found.append((round(size[0] * factor), round(size[1] * factor)))
        factor *= ratio
    return found[::-1]


def resized_image(image: Tensor, size: Size) -> Tensor:
    """image (3, H, W) -> (3, h, w), averaged where it shrinks; of the same size: itself."""
    if image.shape[1:] == size:
        return image
    return F.interpolate(image[None], size, mode="bilinear", antialias=True)[0]


def resized_labels(labels: Tensor, size: Size, num_labels: int) -> Tensor:
    """labels (H, W) -> (h, w), the label that covers most.

    Those that vanish keep a pixel, near where they cover most; none is another label's last.
    """
    if labels.shape == size:
        return labels
    shares = F.interpolate(spread(labels, num_labels)[None], size, mode="area")[0]
    small = shares.argmax(0)
    rows, columns = (torch.arange(side, device=labels.device) for side in size)
    counts = torch.bincount(small.flatten(), minlength=num_labels)
    lost = (counts == 0) & (shares.flatten(1).amax(1) > 0)
    for label in torch.nonzero(lost).flatten().tolist():
        row, column = divmod(int(shares[label].argmax()), size[1])
        apart = (rows - row).square()[:, None] + (columns - column).square()
        free = counts[small] > 1
        if free.any():
            small.view(-1)[torch.where(free, apart, sum(size) ** 2).argmin()] = label
            counts = torch.bincount(small.flatten(), minlength=num_labels)
    return small


def at_scale(labels: Tensor, working: Size, own: Size, num_labels: int) -> Tensor:
    """labels (H, W) scaled as a source of its own size was; of the working size they stay."""
    height, width = labels.shape
    if (height, width) == working or own == working:
        return labels
    size = round(height * working[0] / own[0]), round(width * working[1] / own[1])
    return resized_labels(labels, (max(1, size[0]), max(1, size[1])), num_labels)


def spread(labels: Tensor, num_labels: int) -> Tensor:
    """labels (H, W) -> (K, H, W), 1 where a pixel has the label, float32."""
    index = torch.arange(num_labels, device=labels.device)
    return (labels == index.view(-1, 1, 1)).float()


def surroundings(labels: Tensor, num_labels: int, reaches: Sequence[float]) -> Tensor:
    """The surroundings of each pixel: (K * len(reaches), H, W), shares of labels under Gaussians.

    reaches: their standard deviations, in pixels.
    """
    maps = spread(labels, num_labels)
    found = [_blurred(maps, reach) / math.sqrt(len(reaches)) for reach in reaches]
    return torch.cat(found) if found else maps[:0]


def _blurred(maps: Tensor, reach: float) -> Tensor:
    radius = max(1, round(3 * reach))
    offset = torch.arange(-radius, radius + 1, dtype=maps.dtype, device=maps.device)
    kernel = torch.exp(-offset.square() / (2 * reach**2))
    kernel = (kernel / kernel.sum()).view(1, 1, -1)
    for _ in range(2):  # along rows, then along what were columns
        lines = F.pad(maps, (radius, radius), mode="replicate").flatten(0, 1)[:, None]
        maps = F.conv1d(lines, kernel).view(*maps.shape).transpose(1, 2)
    return maps


@dataclass(frozen=True)
class Scale:
    """An image with its label map, and the surroundings of each pixel, at one size.

    image: (3, h, w). labels: (h, w) int64. around: (A, h, w). patch: pixels a side, odd.
    """

    image: Tensor
    labels: Tensor
    around: Tensor
    patch: int

    @property
    def size(self) -> Size:
        """(h, w)"""
        return self.labels.shape[0], self.labels.shape[1]

    def places(self) -> Tensor:
        """Positions of pixels: (h * w, 2), from 0 to 1."""
        h, w = self.size
        device = self.image.device
        rows = torch.arange(h, device=device).repeat_interleave(w) / h
        columns = torch.arange(w, device=device).repeat(h) / w
        return torch.stack([rows, columns], 1)

    def padded(self) -> Tensor:
        """The image with half a patch reflected around it, pixel by pixel: (pixels, 3)."""
        margin = self.patch // 2
        return F.pad(self.image, (margin,) * 4, mode="reflect").permute(1, 2, 0).reshape(-1, 3)


class Rows:
    """Rows of numbers: their squared distances say how alike places of two scales are.

    Means over the patch around a pixel, plus differences of surroundings and of place.

    Args:
        scale: the places.
        places: (h * w, 2) to compare instead of the positions of pixels.
        around: weight of surroundings.
    """

    def __init__(self, scale: Scale, places: Tensor | None = None, around: float = 0.15) -> None:
        h, w = scale.size
        wide = w + 2 * (scale.patch // 2)
        steps = torch.arange(scale.patch, device=scale.image.device)
        self._offsets = (steps[:, None] * wide + steps).flatten()
        corner = torch.arange(h, device=steps.device)[:, None] * wide
        self._corners = (corner + torch.arange(w, device=steps.device)).flatten()
        self._pixels = scale.padded() / math.sqrt(3 * scale.patch**2)
        places = scale.places() if places is None else places
        rest = (
            scale.around.flatten(1).T * math.sqrt(around),
            places * math.sqrt(PLACE),
        )
        self._rest = torch.cat(rest, 1)

    def at(self, index: Tensor) -> Tensor:
        """Rows of the pixels of an index (n,): (n, D)."""
        where = self._corners[index][:, None] + self._offsets
        return torch.cat([self._pixels[where].flatten(1), self._rest[index]], 1)

    def distance(self, index: Tensor, other: "Rows", other_index: Tensor) -> Tensor:
        """Squared distances of pairs, both indices (n,): (n,); exactly 0 for equal rows."""
        return (self.at(index) - other.at(other_index)).square().sum(1)
