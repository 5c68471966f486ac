# SPDX-License-Identifier: Apache-2.0
"""Which place of the source is most like a place of the target, among those of its label."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from scam.semia.scales import Rows

_AT_ONCE = 1 << 23
"""Distances that are held in memory at a time."""
_GAIN = 1e-4
"""A place gives way to one that is nearer by this part at least: rounding decides nothing."""
_SETTLED = 1e-7
"""A squared distance that no 8-bit image shows: nothing better is looked for."""


def most_alike(
    queries: Rows,
    query_labels: Tensor,
    keys: Rows,
    key_labels: Tensor,
    match: Tensor,
    asking: Tensor | None = None,
) -> Tensor:
    """Compare with every place of the same label.

    query_labels (n,), key_labels (m,). match (n,): a place of the source for each, kept where none
    is nearer; those that are settled are not looked at. asking: (n,) bool, the others keep theirs.
    Returns (n,).
    """
    match = match.clone()
    everyone = torch.arange(len(query_labels), device=match.device)
    reached = torch.cat(
        [queries.distance(part, keys, match[part]) for part in everyone.split(1 << 15)]
    )
    if asking is not None:
        reached = torch.where(asking, reached, 0)
    for label in torch.unique(query_labels[reached > _SETTLED]).tolist():
        seeking = torch.nonzero((query_labels == label) & (reached > _SETTLED)).flatten()
        offered = torch.nonzero(key_labels == label).flatten()
        for part in seeking.split(max(1, _AT_ONCE // len(offered))):
            rows = queries.at(part)
            found = offered[_nearest(rows, keys, offered)]
            # The matrix product below rounds; what decides is computed like what is kept.
            distance = (rows - keys.at(found)).square().sum(1)
            match[part] = torch.where(distance < reached[part] * (1 - _GAIN), found, match[part])
    return match


def _nearest(rows: Tensor, keys: Rows, offered: Tensor) -> Tensor:
    """rows (n, D) -> the nearest of the offered keys (m,), as a number below m: (n,)."""
    least = rows.new_full((len(rows),), torch.inf)
    nearest = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
    for first in range(0, len(offered), 1 << 14):
        some = keys.at(offered[first : first + (1 << 14)])
        # |r - k|^2 without |r|^2, which is the same for all keys.
        distance = torch.addmm(some.square().sum(1), rows, some.T, alpha=-2)
        here, where = distance.min(1)
        nearest = torch.where(here < least, first + where, nearest)
        least = torch.minimum(here, least)
    return nearest


def propagated(
    queries: Rows,
    query_labels: Tensor,
    keys: Rows,
    key_labels: Tensor,
    match: Tensor,
    generator: torch.Generator,
    asking: Tensor | None = None,
) -> Tensor:
    """Compare with what neighbours found and with random places near one's own.

    PatchMatch (Barnes et al., SIGGRAPH 2009), all pixels at once: its cost grows with the pixels
    and not with their square. query_labels (h, w), key_labels (H, W), match (h, w): places of the
    source. asking: (h, w) bool, the others keep theirs. Returns (h, w).
    """
    found, wanted = match.flatten().clone(), query_labels.flatten()
    everyone = torch.arange(len(found), device=found.device)
    parts = everyone.split(1 << 15)
    reached = torch.cat([queries.distance(part, keys, found[part]) for part in parts])
    if asking is not None:
        reached = torch.where(asking.flatten(), reached, 0)
    for offers in _offers(query_labels.shape, key_labels.shape, generator):
        offer = offers(found.view(match.shape)).flatten()
        seeking = torch.nonzero(
            (offer >= 0)
            & (key_labels.flatten()[offer.clamp(min=0)] == wanted)
            & (reached > _SETTLED)
        ).flatten()
        for part in seeking.split(1 << 15):
            distance = queries.distance(part, keys, offer[part])
            better = distance < reached[part] * (1 - _GAIN)
            found[part] = torch.where(better, offer[part], found[part])
            reached[part] = torch.where(better, distance, reached[part])
    return found.view(match.shape)


def _offers(
    shape: torch.Size, source: torch.Size, generator: torch.Generator
) -> Iterator[Callable[[Tensor], Tensor]]:
    """Each makes of the places found so far, (h, w), one to compare for each pixel; -1: none."""
    width = source[1]

    def moved(found: Tensor, rows: int | Tensor, columns: int | Tensor) -> Tensor:
        row, column = found // width + rows, found % width + columns
        inside = (row >= 0) & (row < source[0]) & (column >= 0) & (column < width)
        return torch.where(inside, row * width + column, -1)

    def beside(found: Tensor, step: tuple[int, int]) -> Tensor:
        """What the neighbour a step away found, moved by that step."""
        return moved(torch.roll(found, step, (0, 1)), *step)

    def nearby(found: Tensor, reach: int) -> Tensor:
        """A random place within a reach, in pixels."""
        step = torch.randint(-reach, reach + 1, (2, *shape), generator=generator)
        rows, columns = step.to(found.device)
        return moved(found, rows, columns)

    for length in (8, 4, 2, 1):
        for step in ((0, length), (length, 0), (0, -length), (-length, 0)):
            yield partial(beside, step=step)
        yield partial(nearby, reach=4 * length)
