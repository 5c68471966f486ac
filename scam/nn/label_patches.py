# SPDX-License-Identifier: Apache-2.0
"""The distinct patches of a batch of label maps: what two 3x3 convolutions of them can tell apart.

A convolution of a one-hot label map sees 3x3 labels, one behind it 5x5. Real maps hold few
distinct ones (2 to 10 % of the pixels at 256 px), so that each is computed once and looked up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

_LARGEST = 1 << 63


@dataclass(frozen=True)
class LabelPatches:
    """Distinct 3x3 and 5x5 patches of label maps (B, h, w), numbered over the batch.

    taps: (U3, 9) the labels of each 3x3 patch, row by row; L where the pixel has none or is
        outside.
    outside: (U3,) whether its centre is outside the map, where the second convolution pads.
    around: (U5, 9) the numbers of the 3x3 patches about each pixel of a 5x5 patch's centre.
    index: int32 (B, h, w), the 5x5 patch of each pixel.
    num_labels: L.
    """

    taps: Tensor
    outside: Tensor
    around: Tensor
    index: Tensor
    num_labels: int

    @classmethod
    def build(cls, labels: Tensor, num_labels: int) -> "LabelPatches":
        """Patches of labels (B, h, w); values outside [0, L) are no label. Exact, no hashing."""
        batch, height, width = labels.shape
        none, outside = num_labels, num_labels + 1
        known = torch.where((labels >= 0) & (labels < num_labels), labels.long(), none)
        codes, symbols = _compact(F.pad(known, (2, 2, 2, 2), value=outside), num_labels + 2)
        # 3x3 patches about all pixels and one ring around them.
        small = shifted(codes, 3)
        number, first = _numbered(small, symbols)
        padded = F.pad(known, (2, 2, 2, 2), value=outside)
        taps = torch.stack([tap.reshape(-1)[first] for tap in shifted(padded, 3)], dim=1)
        number = number.view(batch, height + 2, width + 2)
        # Four of them, about the corners, hold all 25 labels.
        nine = shifted(number, 3)
        index, first = _numbered([nine[corner] for corner in (0, 2, 6, 8)], len(taps))
        around = torch.stack([tap.reshape(-1)[first] for tap in nine], dim=1)
        return cls(
            taps=taps.clamp(max=none),
            outside=taps[:, 4] == outside,
            around=around,
            index=index.view(batch, height, width).int(),
            num_labels=num_labels,
        )

    @property
    def share(self) -> float:
        """Distinct 5x5 patches per pixel."""
        return len(self.around) / self.index.numel()

    @cached_property
    def of_images(self) -> "ImagePatches":
        """The same patches, numbered for each image by itself."""
        return ImagePatches.build(self)


@dataclass(frozen=True)
class ImagePatches:
    """Patches of :class:`LabelPatches` per image, for what differs from image to image.

    index: int32 (B, h, w), the (image, 5x5 patch) of each pixel. patch: (R5,) numbers among the
    batch's 5x5 patches. taps: (R3, 9) labels of the (image, 3x3 patch) in the middle, as above.
    image: (R3,) whose. small: (R5,) the number in ``taps`` of the middle of each. small_index:
    int32 (B, h, w), that number for each pixel.
    """

    index: Tensor
    patch: Tensor
    taps: Tensor
    image: Tensor
    small: Tensor
    small_index: Tensor

    @classmethod
    def build(cls, patches: LabelPatches) -> "ImagePatches":
        """Of all images of the batch."""
        index = patches.index.long()
        batch = torch.arange(len(index), device=index.device).view(-1, 1, 1).expand_as(index)
        number, first = _numbered([batch, index], len(patches.around))
        patch = index.reshape(-1)[first]
        image = batch.reshape(-1)[first]
        small, first3 = _numbered([image, patches.around[patch, 4]], len(patches.taps))
        return cls(
            index=number.view_as(index).int(),
            patch=patch,
            taps=patches.taps[patches.around[patch[first3], 4]],
            image=image[first3],
            small=small,
            small_index=small[number].view_as(index).int(),
        )


def shifted(maps: Tensor, side: int) -> list[Tensor]:
    """maps (B, h, w) -> the ``side``^2 views (B, h - side + 1, w - side + 1), row by row."""
    height, width = (n - side + 1 for n in maps.shape[1:])
    return [maps[:, i : i + height, j : j + width] for i in range(side) for j in range(side)]


def _compact(values: Tensor, count: int) -> tuple[Tensor, int]:
    """Values in [0, count) as ranks among those that occur, and how many do."""
    occurring = torch.bincount(values.flatten(), minlength=count) > 0
    ranks = occurring.cumsum(0) - 1
    return ranks[values], int(occurring.sum())


def _numbered(columns: Sequence[Tensor], count: int) -> tuple[Tensor, Tensor]:
    """Number the distinct tuples of ``columns``, each entry in [0, count) but for the first.

    Returns the number of every tuple (N,), and where each distinct one is found (U,).
    """
    key = columns[0].reshape(-1)
    size = int(key.max()) + 1 if key.numel() else 1
    for column in columns[1:]:
        if size * count >= _LARGEST:  # ranks of what was joined so far tell it apart as well
            values, key = torch.unique(key, return_inverse=True)
            size = len(values)
        key = key * count + column.reshape(-1)
        size *= count
    values, number = torch.unique(key, return_inverse=True)
    first = number.new_empty(len(values))
    first[number] = torch.arange(len(number), device=number.device)
    return number, first
