# SPDX-License-Identifier: Apache-2.0
"""How far the patches of a result are from those of its source, label by label."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

import torch
import torch.nn.functional as F
from torch import Tensor

from scam.errors import InputError
from scam.nn.coarse_labels import coarse_labels
from scam.nn.label_mean import label_counts
from scam.nn.pyramid import present_labels

SIDE = 7
"""Pixels of a patch's side, at every scale."""
SCALES = 3
"""Full, half and quarter resolution."""
_TILE = 1024  # patches on either side of a matrix of distances, 8 MiB
_ROUNDING = 1e-12  # of a sum of squares; 8-bit images that differ have 6e-5


@dataclass(frozen=True)
class PatchDistance:
    """Mean squared differences of nearest patches of the same label, for images in [-1, 1].

    coherence: from the result's patches to the source's: does all that the result shows come
    from the source? completeness: from the source's patches to the result's: does the result
    show all of the source? Both are means over scales, then over labels, each weighed by its
    pixels in the result and in the source respectively.
    by_label: coherence and completeness of each label that both images have a patch of.
    absent: the other labels of either map.
    """

    coherence: float
    completeness: float
    by_label: dict[int, tuple[float, float]]
    absent: tuple[int, ...]


@torch.no_grad()
def patch_distance(
    image: Tensor, labels: Tensor, source_image: Tensor, source_labels: Tensor
) -> PatchDistance:
    """Compare every 7x7 patch with all patches of its label in the other image, in fp64.

    A patch is inside its image and has the label of its centre, whatever labels it reaches
    into. At half and quarter resolution (means of pixels, majorities of labels) a patch shows
    structure rather than texture. The search is exhaustive: its time grows with the product of
    a label's pixels in the two images, its memory stays within 32 MiB beside copies of them.

    image (1, 3, H, W) in [-1, 1], labels (1, H, W) int64, below 0 for none; the source's likewise,
    of the same or another size. InputError for other shapes, and where no label has a patch in
    both images.
    """
    expect_pair(image, labels)
    expect_pair(source_image, source_labels)
    count = 1 + max(int(labels.max()), int(source_labels.max()), 0)
    found: dict[int, list[tuple[float, float]]] = {}
    smallest = min(*labels.shape[1:], *source_labels.shape[1:])
    for scale in range(SCALES):
        if -(-smallest // (1 << scale)) < SIDE:
            break
        ours = _Patches(image, labels, count, scale)
        theirs = _Patches(source_image, source_labels, count, scale)
        for label in range(count):
            mine, others = ours.of(label), theirs.of(label)
            if len(mine) and len(others):
                found.setdefault(label, []).append(_nearest(ours, mine, theirs, others))
    shares, source_shares = (label_counts(x, count).sum(0) for x in (labels, source_labels))
    occurring = (shares + source_shares).nonzero().flatten().tolist()
    if not found:
        raise InputError(
            "{labels} and {source_labels}: expected a label of which both hold a patch",
            labels=_listed(shares),
            source_labels=_listed(source_shares),
        )
    by_label = {
        label: (fmean(x for x, _ in scales), fmean(x for _, x in scales))
        for label, scales in found.items()
    }
    coherence, completeness = (
        fmean((pair[side] for pair in by_label.values()), [float(pixels[k]) for k in by_label])
        for side, pixels in enumerate((shares, source_shares))
    )
    absent = tuple(label for label in occurring if label not in found)
    return PatchDistance(coherence, completeness, by_label, absent)


def expect_pair(image: Tensor, labels: Tensor) -> None:
    """InputError unless ``labels`` (1, H, W) are those of one image (1, 3, H, W)."""
    if image.shape[:2] != (1, 3) or labels.shape != (1, *image.shape[2:]):
        message = "{image} and {labels}: expected shapes (1, 3, H, W) and (1, H, W)"
        raise InputError(message, image=tuple(image.shape), labels=tuple(labels.shape))


class _Patches:
    """All patches of one image at one scale, cut out when they are asked for."""

    def __init__(self, image: Tensor, labels: Tensor, count: int, scale: int) -> None:
        pixels = F.avg_pool2d(image.double(), 1 << scale, ceil_mode=True)[0]
        cells = coarse_labels(labels, present_labels(labels, count), scale)[0]
        margin = SIDE // 2
        self._centres = cells[margin:-margin, margin:-margin]
        self._windows = pixels.unfold(1, SIDE, 1).unfold(2, SIDE, 1).permute(1, 2, 0, 3, 4)

    def of(self, label: int) -> Tensor:
        """Where the patches of ``label`` are: (n, 2), row and column."""
        return (self._centres == label).nonzero()

    def cut(self, places: Tensor) -> Tensor:
        """Patches (n, 3 * 7 * 7) at ``places`` (n, 2)."""
        return self._windows[places[:, 0], places[:, 1]].flatten(1)


def _nearest(
    ours: _Patches, mine: Tensor, theirs: _Patches, others: Tensor
) -> tuple[float, float]:
    """Mean distance to the nearest patch, from our patches to theirs and the other way round."""
    there = torch.full((len(mine),), torch.inf, dtype=torch.float64, device=mine.device)
    back = torch.full((len(others),), torch.inf, dtype=torch.float64, device=mine.device)
    for row in _tiles(mine):
        a = ours.cut(mine[row])
        # (-2 a, |a|^2, 1) . (b, 1, |b|^2) = |a - b|^2
        left = torch.cat([-2 * a, a.square().sum(1, keepdim=True), torch.ones_like(a[:, :1])], 1)
        for column in _tiles(others):
            b = theirs.cut(others[column])
            right = torch.cat([b, torch.ones_like(b[:, :1]), b.square().sum(1, keepdim=True)], 1)
            squares = left @ right.T
            there[row] = torch.minimum(there[row], squares.amin(1))
            back[column] = torch.minimum(back[column], squares.amin(0))
    return _mean(there), _mean(back)


def _mean(squares: Tensor) -> float:
    """Sums of squares of patches as their mean square; what rounding leaves of zeros is 0."""
    return float(torch.where(squares > _ROUNDING, squares, 0).mean()) / (3 * SIDE * SIDE)


def _tiles(places: Tensor) -> Iterator[slice]:
    return (slice(start, start + _TILE) for start in range(0, len(places), _TILE))


def _listed(shares: Tensor) -> list[int]:
    return shares.nonzero().flatten().tolist()
