# SPDX-License-Identifier: Apache-2.0
"""Places of the source behind the pixels of a target: found, enlarged, and what they show."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from scam.semia.scales import Scale, Size

_VOTE = 0.8
"""Standard deviation, in pixels, of the votes of a patch: small ones keep texture sharp."""
_AT_ONCE = 1 << 23
"""Distances that are held in memory at a time."""


def vote(level: Scale, places: Tensor, kinds: Tensor, own: Tensor) -> Tensor:
    """The image of which patches around ``places`` (h, w) of the source speak: (3, h, w).

    A pixel is the weighted mean of what the patches that cover it hold there, of source pixels of
    its own kind. kinds (h, w) of the target's pixels, own (H, W) of the source's.
    """
    margin = level.patch // 2
    width = level.size[1]
    pixels, total = level.padded(), torch.zeros_like(kinds, dtype=level.image.dtype)
    wide = width + 2 * margin
    kind = F.pad(own[None, None].float(), (margin,) * 4, mode="reflect").long().flatten()
    centres = (places // width + margin) * wide + places % width + margin
    centres = F.pad(centres, (margin,) * 4, value=-1)
    image = level.image.new_zeros(*kinds.shape, 3)
    for row in range(-margin, margin + 1):
        for column in range(-margin, margin + 1):
            # The patch around the pixel (row, column) before this one.
            top, left = margin - row, margin - column
            centre = centres[top : top + kinds.shape[0], left : left + kinds.shape[1]]
            source = (centre + row * wide + column).clamp(min=0)
            weight = math.exp(-(row**2 + column**2) / (2 * _VOTE**2))
            counts = weight * ((centre >= 0) & (kind[source] == kinds))
            image += counts.unsqueeze(2) * pixels[source]
            total += counts
    return (image / total.unsqueeze(2)).permute(2, 0, 1)


def any_of(own: Tensor, kinds: Tensor) -> Tensor:
    """For each of ``kinds`` (n,) the first place of ``own`` (m,) with it: (n,)."""
    first = torch.full((int(own.max()) + 1,), len(own), device=own.device)
    index = torch.arange(len(own), device=own.device)
    return first.scatter_reduce(0, own, index, "amin")[kinds]


def of_label(match: Tensor, kinds: Tensor, own: Tensor, source: Size) -> Tensor:
    """``match`` (h, w), each place replaced by the nearest of the source that has the kind."""
    found = match.flatten().clone()
    wrong = own[found] != kinds
    for kind in torch.unique(kinds[wrong]).tolist():
        asking = torch.nonzero(wrong & (kinds == kind)).flatten()
        offered = torch.nonzero(own == kind).flatten()
        at = torch.stack([offered // source[1], offered % source[1]], 1).float()
        for part in asking.split(max(1, _AT_ONCE // len(offered))):
            here = torch.stack([found[part] // source[1], found[part] % source[1]], 1).float()
            found[part] = offered[torch.cdist(here, at).argmin(1)]
    return found.view(match.shape)


def enlarged(places: Tensor, before: Size, size: Size, source: Size) -> Tensor:
    """places (h, w) of a source of the size ``before``, for a target and a source of other sizes.

    Neighbours that lay side by side do so again. Returns (H, W) = ``size``.
    """
    rows, row_rest = _halfway(size[0], places.shape[0], places.device)
    columns, column_rest = _halfway(size[1], places.shape[1], places.device)
    coarse = places[rows][:, columns]
    row = (coarse // before[1] + 0.5 + row_rest[:, None]) * (source[0] / before[0])
    column = (coarse % before[1] + 0.5 + column_rest) * (source[1] / before[1])
    row = row.floor().long().clamp(0, source[0] - 1)
    column = column.floor().long().clamp(0, source[1] - 1)
    return row * source[1] + column


def _halfway(size: int, coarse: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each of ``size`` pixels the one of ``coarse`` around its centre, and how far beside."""
    centre = (torch.arange(size, device=device) + 0.5) * (coarse / size)
    index = centre.floor().long().clamp(max=coarse - 1)
    return index, centre - index - 0.5
