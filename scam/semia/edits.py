# SPDX-License-Identifier: Apache-2.0
"""Random edits of a layout, such as a user draws: move, copy, scale, flip or remove a region."""

import torch
from torch import Tensor

_EDITS = ("none", "move", "copy", "scale", "flip", "remove")
_WEIGHTS = (1, 2, 2, 2, 1, 2)
_EXTENT = (0.3, 1.2)  # sides of the box, of those that hold the label
_SHIFT = 0.35  # of each side of the image, at most
_SCALE = (0.7, 1.4)
_CELLS = 1 << 22  # bounds the memory of fill_holes


def draw_edit(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Edit each label map of labels (B, H, W) int64, -1 = none -> the same shape.

    A box about a pixel of some label, not of the one with most pixels, holds the region that is
    moved, copied, scaled (0.7 .. 1.4), flipped or removed; :func:`fill_holes` closes the holes and
    all else stays. One map in ten is left as it is, and each that has fewer than two labels.
    generator: on the CPU.
    """
    return torch.stack([_edited(one, generator) for one in labels])


def fill_holes(labels: Tensor, holes: Tensor) -> Tensor:
    """Give each hole the label of the nearest pixel (Euclidean) that has one and is not a hole.

    labels: (H, W), -1 = none. holes: (H, W) bool. Of equally near pixels the order of columns,
    then rows decides. Where no pixel has a label all holes become -1.
    """
    height, width = labels.shape
    known = ~holes & (labels >= 0)
    place = torch.arange(height, dtype=torch.int32, device=labels.device)[:, None]
    far = 2 * (height + width)
    # The nearest known pixel of a column above and below, then the nearest of all columns.
    above = torch.where(known, place, -far).cummax(0).values
    below = torch.where(known, place, far + height).flip(0).cummin(0).values.flip(0)
    row = torch.where(place - above <= below - place, above, below)
    rise = (row - place) ** 2

    filled = torch.where(holes, -1, labels)
    y, x = holes.nonzero(as_tuple=True)
    if not known.any():
        return filled
    columns = torch.arange(width, dtype=torch.int32, device=labels.device)
    for rows, at in zip(*(i.split(max(1, _CELLS // width)) for i in (y, x)), strict=True):
        nearest = ((columns - at[:, None].int()) ** 2 + rise[rows]).argmin(1)
        filled[rows, at] = labels[row[rows, nearest], nearest]
    return filled


def _edited(labels: Tensor, generator: torch.Generator) -> Tensor:
    weights = torch.tensor(_WEIGHTS, dtype=torch.float32)
    edit = _EDITS[int(torch.multinomial(weights, 1, generator=generator))]
    numbers = torch.rand(6, generator=generator).tolist()
    present, counts = labels[labels >= 0].unique(return_counts=True)
    if edit == "none" or len(present) < 2:
        return labels
    smaller = present[torch.arange(len(present), device=labels.device) != counts.argmax()]
    label = smaller[int(numbers[0] * len(smaller))]
    region = _boxed(labels == label, numbers[1:4])

    shift, scale, mirror = (0.0, 0.0), 1.0, 1
    if edit in ("move", "copy"):
        down, right = (_SHIFT * (2 * u - 1) for u in numbers[4:])
        shift = down * labels.shape[0], right * labels.shape[1]
    elif edit == "scale":
        scale = _SCALE[0] + numbers[4] * (_SCALE[1] - _SCALE[0])
    elif edit == "flip":
        mirror = -1
    edited = labels if edit == "copy" else fill_holes(labels, region)
    if edit == "remove":
        return edited
    return torch.where(_carried(region, shift, scale, mirror), label, edited)


def _boxed(mask: Tensor, numbers: list[float]) -> Tensor:
    """The pixels of ``mask`` in a box about one of them."""
    pixels = mask.nonzero()
    low, high = _EXTENT
    sides = (pixels.amax(0) - pixels.amin(0) + 1).tolist()
    centre = pixels[int(numbers[0] * len(pixels))].tolist()
    region = mask.clone()
    for axis in range(2):
        half = sides[axis] * (low + numbers[1 + axis] * (high - low)) / 2
        place = torch.arange(mask.shape[axis], device=mask.device)
        inside = (place - centre[axis]).abs() <= half
        region &= inside[:, None] if axis == 0 else inside
    return region


def _carried(region: Tensor, shift: tuple[float, float], scale: float, mirror: int) -> Tensor:
    """``region`` (H, W) bool, shifted by (down, right), scaled about the middle of its foot."""
    pixels = region.nonzero()
    foot = pixels[:, 0].max().item()
    middle = (pixels[:, 1].min() + pixels[:, 1].max()).item() / 2
    height, width = region.shape
    y = torch.arange(height, device=region.device)
    x = torch.arange(width, device=region.device)
    rows = (foot + (y - foot - shift[0]) / scale).round().long()
    columns = (middle + mirror * (x - middle - shift[1]) / scale).round().long()
    seen = ((rows >= 0) & (rows < height))[:, None] & (columns >= 0) & (columns < width)
    return seen & region[rows.clamp(0, height - 1)[:, None], columns.clamp(0, width - 1)]
