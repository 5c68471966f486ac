# SPDX-License-Identifier: Apache-2.0
"""Label maps of lower resolution: majorities, and no label lost as long as there is room."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_RESCUE_ROUNDS = 4


def coarse_labels(labels: Tensor, present: Tensor, level: int) -> Tensor:
    """The last of :func:`coarse_maps`; level 0: ``labels``."""
    return coarse_maps(labels, present, range(level, level + 1), occurring_labels(present))[-1]


def coarse_maps(
    labels: Tensor, present: Tensor, levels: range, occurring: Sequence[int] | None
) -> list[Tensor]:
    """For each level the majority label of cells of 2**level pixels a side, absent labels
    rescued: (B, h, w), dtype of ``labels``; for level 0 ``labels`` themselves.

    labels (B, H, W), below 0 for none; present (B, L), which of them each map holds; occurring:
    the labels that any of them may hold, None: all L, which takes as many planes. Without
    synchronisation.
    """
    ids = torch.arange(present.shape[1], device=labels.device)
    if occurring is not None:
        ids = torch.tensor(occurring, dtype=torch.long, device="cpu")
        ids = ids.to(labels.device, non_blocking=True)
    named = F.pad(ids, (0, 1), value=-1)  # -1 stays
    maps = [labels] if 0 in levels else []
    present = present[:, ids]
    for level, (counts, size) in enumerate(_counted(labels, ids, levels.stop - 1), 1):
        if level in levels:
            owner = _majority(counts, present, level)
            maps.append(named[owner].view(-1, *size).to(labels.dtype))
    return maps


def occurring_labels(present: Tensor) -> tuple[int, ...] | None:
    """The labels that any map of a batch holds, ascending, of present (B, L); None where finding
    out would wait for a GPU, or in a traced graph, which must serve any batch.
    """
    if present.is_cuda or torch.compiler.is_compiling():
        return None
    return tuple(present.any(0).nonzero().flatten().tolist())


def _counted(labels: Tensor, ids: Tensor, levels: int) -> Iterator[tuple[Tensor, tuple[int, int]]]:
    """Per level pixels of every label in every cell, (B, len(ids), cells), and (h, w)."""
    counts: Tensor | None = None
    for level in range(1, levels + 1):
        dtype = _least_dtype(4**level)
        if counts is None:
            at_hand = (x == ids[:, None, None] for x in _corners(labels[:, None], -1))
            corners = [x.view(dtype) for x in at_hand]  # of bool: nothing is copied
        else:
            corners = [x.to(dtype) for x in _corners(counts, 0)]
        counts = (corners[0] + corners[1]) + (corners[2] + corners[3])
        yield counts.flatten(2), (counts.shape[2], counts.shape[3])


def _least_dtype(largest: int) -> torch.dtype:
    """The least that holds numbers up to ``largest``: time here is memory traffic."""
    dtypes = (torch.int8, torch.int16, torch.int32, torch.int64)
    return next(dtype for dtype in dtypes if largest <= torch.iinfo(dtype).max)


def _corners(maps: Tensor, beyond: int) -> list[Tensor]:
    """Every other pixel of maps (B, C, H, W), four times; ``beyond``: what is outside."""
    height, width = maps.shape[2:]
    maps = F.pad(maps, (0, width % 2, 0, height % 2), value=beyond)
    return [maps[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]


def _majority(counts: Tensor, present: Tensor, level: int) -> Tensor:
    """The owner of each cell, a number of a label or -1: (B, n). counts (B, L, n)."""
    num_labels = counts.shape[1]
    if num_labels == 0:
        return counts.new_full((counts.shape[0], counts.shape[2]), -1, dtype=torch.long)
    # The largest of (pixels, -label): one integer settles ties the same everywhere.
    dtype = _least_dtype((4**level + 1) * num_labels)
    after = torch.arange(num_labels - 1, -1, -1, dtype=dtype, device=counts.device)
    best = (counts.to(dtype) * num_labels + after[:, None]).amax(1).long()
    owner = torch.where(best >= num_labels, num_labels - 1 - best % num_labels, -1)
    return _rescue(owner, counts, present)


def _rescue(owner: Tensor, counts: Tensor, present: Tensor) -> Tensor:
    """Give present labels without a cell their best one. owner (B, n), counts (B, L, n)."""
    batch, num_labels, cells = counts.shape
    claim: Tensor | None = None
    # On a GPU asking costs a synchronisation; a traced graph has no branches.
    may_ask = owner.device.type == "cpu" and not torch.compiler.is_compiling()
    for _ in range(_RESCUE_ROUNDS):
        owner_slot = torch.where(owner < 0, num_labels, owner)
        owned = owner.new_zeros(batch, num_labels + 1)
        owned = owned.scatter_add(1, owner_slot, torch.ones_like(owner))
        owned[:, num_labels] = cells + 1  # ignored cells may always be taken
        lost = present & (owned[:, :num_labels] == 0)
        if may_ask and not lost.any():
            break
        if claim is None:
            # Ranks a label's cells by its pixels there, then by position.
            before = torch.arange(cells - 1, -1, -1, dtype=torch.int32, device=owner.device)
            claim = torch.where(counts > 0, counts.int() * cells + before, -1)
        free = owned.gather(1, owner_slot) > 1
        best = claim.where(lost[:, :, None] & free[:, None], -1).amax(2).long()
        target = cells - 1 - best % cells
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
