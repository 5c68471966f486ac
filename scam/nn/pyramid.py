# SPDX-License-Identifier: Apache-2.0
"""Label maps at every resolution of the networks."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scam.ops import Labels, SemanticLayout

_RESCUE_ROUNDS = 4


def pyramid_sizes(height: int, width: int, levels: int) -> list[tuple[int, int]]:
    """Sizes (h, w) of levels 0 (full) to ``levels``: ``ceil(H / 2**j), ceil(W / 2**j)``."""
    return [(_ceil_shift(height, j), _ceil_shift(width, j)) for j in range(levels + 1)]


@dataclass(frozen=True)
class LabelPyramid:
    """Label maps at several sizes.

    maps: per level int32 (B, h, w), finest first; -1 = no label.
    groups: per level what attentions read, :func:`grouped`.
    present: (B, L) bool, which labels the full map holds.
    occurring: the labels that any map of the batch may hold, ascending; None where finding out
        would wait for a GPU.
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
        labels = known_labels(labels, num_labels)
        present = present_labels(labels, num_labels)
        maps = [
            labels,
            *(coarse_labels(labels, present, num_labels, j) for j in range(1, levels + 1)),
        ]
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
        return cls._of(maps, present_labels(labels, num_labels), None)

    @classmethod
    def _of(
        cls, maps: list[Tensor], present: Tensor, occurring: tuple[int, ...] | None
    ) -> "LabelPyramid":
        # A traced graph cannot depend on the labels of one batch.
        if occurring is None and not present.is_cuda and not torch.compiler.is_compiling():
            occurring = tuple(present.any(0).nonzero().flatten().tolist())
        groups = tuple(grouped(labels, present.shape[1]) for labels in maps)
        return cls(tuple(maps), groups, present, occurring)


def labels_in(labels: Tensor, num_labels: int) -> tuple[int, ...]:
    """The labels below ``num_labels`` that a map on the CPU holds, ascending."""
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


def _ceil_shift(size: int, level: int) -> int:
    return -(-size // (1 << level))


def coarse_labels(labels: Tensor, present: Tensor, num_labels: int, level: int) -> Tensor:
    """Majority label per cell of 2**level pixels a side, absent labels rescued: (B, h, w).

    labels (B, H, W), below 0 for none; present (B, L), which of them each map holds.
    """
    batch, height, width = labels.shape
    h, w = _ceil_shift(height, level), _ceil_shift(width, level)
    side = 1 << level
    padded = F.pad(labels.long(), (0, w * side - width, 0, h * side - height), value=-1)
    cells = padded.view(batch, h, side, w, side).transpose(2, 3).reshape(batch, h * w, -1)
    cells, run = _run_lengths(cells)
    # The largest of (pixels, -label): sorting by one integer settles ties the same everywhere.
    best = (run * num_labels + (num_labels - 1 - cells)).where(cells >= 0, -1).amax(2)
    owner = torch.where(best >= 0, num_labels - 1 - best % num_labels, -1)
    owner = _rescue(owner, cells, run, present)
    return owner.view(batch, h, w).to(labels.dtype)


def _run_lengths(cells: Tensor) -> tuple[Tensor, Tensor]:
    """Sort each cell's labels; beside each one, how many equal ones lie up to there."""
    cells = cells.sort(dim=2).values
    index = torch.arange(cells.shape[2], device=cells.device).expand_as(cells)
    fresh = torch.ones_like(cells, dtype=torch.bool)
    fresh[..., 1:] = cells[..., 1:] != cells[..., :-1]
    start = torch.where(fresh, index, 0).cummax(dim=2).values
    return cells, index - start + 1


def _rescue(owner: Tensor, cells: Tensor, run: Tensor, present: Tensor) -> Tensor:
    """Give present labels without a cell their best one. owner (B, n), cells and run (B, n, P)."""
    batch, count = owner.shape
    num_labels = present.shape[1]
    slots = torch.where(cells < 0, num_labels, cells)
    place = torch.arange(count, device=owner.device)
    # Ranks a label's cells by its pixels there, then by position.
    claim = (run * count + (count - 1 - place)[:, None]).flatten(1)
    # On a GPU asking costs a synchronisation; a traced graph has no branches.
    may_ask = owner.device.type == "cpu" and not torch.compiler.is_compiling()
    for _ in range(_RESCUE_ROUNDS):
        owner_slot = torch.where(owner < 0, num_labels, owner)
        owned = owner.new_zeros(batch, num_labels + 1)
        owned = owned.scatter_add(1, owner_slot, torch.ones_like(owner))
        owned[:, num_labels] = count + 1  # ignored cells may always be taken
        lost = F.pad(present & (owned[:, :num_labels] == 0), (0, 1))
        if may_ask and not lost.any():
            break
        free = owned.gather(1, owner_slot) > 1
        wanted = lost.gather(1, slots.flatten(1)) & free[:, :, None].expand_as(cells).flatten(1)
        best = owner.new_full((batch, num_labels + 1), -1).scatter_reduce(
            1, slots.flatten(1), claim.where(wanted, -1), "amax"
        )[:, :num_labels]
        target = count - 1 - best % count
        owner = _grant(owner, owner_slot, owned, target, best >= 0)
    return owner


def _grant(
    owner: Tensor, owner_slot: Tensor, owned: Tensor, target: Tensor, claims: Tensor
) -> Tensor:
    """Hand cells over, lower labels first, never two labels one cell, never an owner's last."""
    label = torch.arange(target.shape[1], device=owner.device)
    earlier = claims[:, None, :] & (label[None, :] < label[:, None])
    same_cell = (target[:, :, None] == target[:, None, :]) & earlier
    granted = claims & ~same_cell.any(2)
    victim = owner_slot.gather(1, target)
    ahead = (victim[:, :, None] == victim[:, None, :]) & earlier & granted[:, None, :]
    granted &= ahead.sum(2) < owned.gather(1, victim) - 1
    spare = owner.shape[1]
    padded = F.pad(owner, (0, 1)).scatter(
        1, torch.where(granted, target, spare), label.expand_as(target)
    )
    return padded[:, :spare]


def one_hot(labels: Tensor, num_labels: int) -> Tensor:
    """labels (B, h, w) -> (B, L, h, w) bool; ignored pixels are false everywhere."""
    index = torch.arange(num_labels, device=labels.device, dtype=labels.dtype)
    return labels.unsqueeze(1) == index[:, None, None]
