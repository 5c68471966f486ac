# SPDX-License-Identifier: Apache-2.0
"""Label maps at every resolution of the networks."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scam.nn.coarse_labels import coarse_maps, occurring_labels
from scam.ops import Labels, SemanticLayout
from scam.ops.pyramid_library import label_pyramid, served


def pyramid_sizes(height: int, width: int, levels: int) -> list[tuple[int, int]]:
    """Sizes (h, w) of levels 0 (full) to ``levels``: ``ceil(H / 2**j), ceil(W / 2**j)``."""
    return [(-(-height // (1 << j)), -(-width // (1 << j))) for j in range(levels + 1)]


@dataclass(frozen=True)
class LabelPyramid:
    """Label maps at several sizes.

    Attributes:
        maps: per level int32 (B, h, w), finest first; -1 = no label.
        groups: per level what attentions read, :func:`grouped`.
        present: (B, L) bool, which labels the full map holds.
        occurring: the labels that any map of the batch may hold, ascending; None where finding
            out would wait for a GPU.
    """

    maps: tuple[Tensor, ...]
    groups: tuple[Labels, ...]
    present: Tensor
    occurring: tuple[int, ...] | None

    @property
    def labels(self) -> Tensor:
        """The finest map."""
        return self.maps[0]

    @classmethod
    def build(
        cls,
        labels: Tensor,
        num_labels: int,
        levels: int,
        occurring: tuple[int, ...] | None = None,
    ) -> "LabelPyramid":
        """Levels 0 to ``levels`` of ``labels`` (B, H, W); values outside [0, L) are ignored.

        ``occurring``: the labels they may hold, if known; on the CPU it is found out.

        A cell takes the label of most of its pixels, ties going to the lower label. A label that
        would vanish from a level takes the cell where it has most pixels, as long as that leaves
        every other label a cell. Runs on the labels' device without synchronisation.
        """
        maps, present = label_maps(labels, num_labels, levels, occurring)
        occurring = occurring_labels(present) if occurring is None else occurring
        return cls._of(maps, present, occurring)

    @classmethod
    def nearest(
        cls, labels: Tensor, num_labels: int, sizes: list[tuple[int, int]]
    ) -> "LabelPyramid":
        """The released networks' maps: the top-left pixel of every cell, for any ``sizes``.

        Values of ``labels`` (B, H, W) outside [0, L) are ignored here too.
        """
        labels = known_labels(labels, num_labels)
        maps = [nearest_labels(labels, size) for size in sizes]
        present = present_labels(labels, num_labels)
        return cls._of(maps, present, occurring_labels(present))

    @classmethod
    def _of(
        cls, maps: list[Tensor], present: Tensor, occurring: tuple[int, ...] | None
    ) -> "LabelPyramid":
        groups = tuple(grouped(labels, present.shape[1]) for labels in maps)
        return cls(tuple(maps), groups, present, occurring)


def label_maps(
    labels: Tensor, num_labels: int, levels: int, occurring: tuple[int, ...] | None = None
) -> tuple[list[Tensor], Tensor]:
    """Maps of levels 0 to ``levels``, as :meth:`LabelPyramid.build` says, and ``present``."""
    if served(labels, num_labels) and levels:
        full, coarse, present = label_pyramid(labels, num_labels, 1, levels)
        sizes = pyramid_sizes(labels.shape[1], labels.shape[2], levels)[1:]
        parts = coarse.split([height * width for height, width in sizes], dim=1)
        smaller = [x.unflatten(1, size) for x, size in zip(parts, sizes, strict=True)]
        return [full, *smaller], present
    labels = known_labels(labels, num_labels)
    present = present_labels(labels, num_labels)
    occurring = occurring_labels(present) if occurring is None else occurring
    return [labels, *coarse_maps(labels, present, range(1, levels + 1), occurring)], present


def labels_in(labels: Tensor, num_labels: int) -> tuple[int, ...]:
    """The labels below ``num_labels`` that maps hold, ascending; waits for a GPU."""
    pixels = torch.bincount(known_labels(labels, num_labels).flatten() + 1, minlength=1)
    return tuple(pixels[1:].nonzero().flatten().tolist())


def known_labels(labels: Tensor, num_labels: int) -> Tensor:
    """int32 labels; values outside [0, num_labels) become -1."""
    labels = labels.long()
    return torch.where((labels >= 0) & (labels < num_labels), labels, -1).int()


def present_labels(labels: Tensor, num_labels: int) -> Tensor:
    """labels (B, H, W), below 0 for none -> (B, L) bool, which of them each map holds."""
    # A spare column swallows ignored pixels.
    found = labels.new_zeros(labels.shape[0], num_labels + 1, dtype=torch.bool)
    slot = torch.where(labels < 0, num_labels, labels).long().flatten(1)
    return found.scatter(1, slot, torch.ones_like(slot, dtype=torch.bool))[:, :num_labels]


def nearest_labels(labels: Tensor, size: tuple[int, int]) -> Tensor:
    """labels (B, H, W) -> (B, h, w), the top-left pixel of every cell."""
    rows, columns = (
        (torch.arange(n, dtype=torch.float32, device=labels.device) * (side / n)).long()
        for n, side in zip(size, labels.shape[1:], strict=True)
    )
    return labels[:, rows][:, :, columns]


def grouped(labels: Tensor, num_labels: int, most: int | None = None) -> Labels:
    """Labels (B, h, w) or (m,), at most ``most`` of one kind, as attentions read them fastest.

    A layout, sorted once for all of them, on a GPU; on the CPU, whose kernels sort as they go,
    (B, h * w) or (m,).
    """
    if labels.is_cuda:
        return SemanticLayout.build(labels, num_labels, most)
    return labels.flatten(1) if labels.dim() > 1 else labels


def one_hot(labels: Tensor, num_labels: int) -> Tensor:
    """labels (B, h, w) -> (B, L, h, w) bool; ignored pixels are false everywhere."""
    index = torch.arange(num_labels, device=labels.device, dtype=labels.dtype)
    return labels.unsqueeze(1) == index[:, None, None]
