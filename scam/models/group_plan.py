# SPDX-License-Identifier: Apache-2.0
"""How many channels GroupDNet has, and in how many groups: by the number of labels.

Labels begin in groups of their own, which merge from block to block.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, lcm, sqrt

PUBLISHED_LEVELS = 6
PUBLISHED_WIDTH = 64
_MOST_MERGED = 16
_LEAST_ENCODER = 4


@dataclass(frozen=True)
class NormPlan:
    """Channels between the two convolutions of the label map, and the groups of both."""

    hidden: int
    label_groups: int
    groups: int


@dataclass(frozen=True)
class BlockPlan:
    """A residual block: its channels, the groups of its convolutions, its norms."""

    entering: int
    leaving: int
    groups: int
    norm: NormPlan


@dataclass(frozen=True)
class GroupPlan:
    """blocks: coarse to fine. encoder: channels of a label behind its first convolution."""

    encoder: int
    blocks: tuple[BlockPlan, ...]


def published_plan(num_labels: int, width: int, levels: int) -> GroupPlan:
    """As GroupDNet's authors: theirs for 8, 35 and 151 labels, and alike for other numbers.

    Channels are theirs at a width of 64, else in proportion, rounded up to what the groups divide.
    """
    unlike = levels != PUBLISHED_LEVELS or num_labels not in _PUBLISHED
    shapes = _other(num_labels, levels) if unlike else _PUBLISHED[num_labels]
    scale = width / PUBLISHED_WIDTH

    def fitted(channels: int, *groups: int) -> int:
        multiple = lcm(*groups)
        return ceil(channels * scale / multiple) * multiple

    norms = [
        replace(norm, hidden=fitted(norm.hidden, norm.label_groups, norm.groups))
        for norm in map(shapes.norm, shapes.groups)
    ]
    # What divides the channels of the seed, and those of every block's input and output.
    divisors = [num_labels, *(lcm(g, n.groups) for g, n in zip(shapes.groups, norms, strict=True))]
    around = [*pairwise(divisors), (divisors[-1],)]
    channels = [fitted(c, *groups) for c, groups in zip(shapes.channels, around, strict=True)]
    encoder = max(_LEAST_ENCODER, int(shapes.encoder * scale))
    return GroupPlan(encoder, _blocks(channels, shapes.groups, norms))


def released_plan(num_labels: int, width: int, levels: int) -> GroupPlan:
    """As SCAM's copy, whose groups do not follow the labels.

    It rounds the width down to a multiple of L, and to 0 for more labels than that; here to L.
    """
    encoder = width // 2
    width = max(1, width // num_labels) * num_labels
    top = 1 << (levels - 2)
    groups = [top] * 3 + [top >> i for i in range(1, levels - 1)]
    channels = [top * num_labels, *(width * g for g in groups)]
    norms = [NormPlan(num_labels * g, num_labels, g) for g in groups]
    return GroupPlan(encoder, _blocks(channels, groups, norms))


@dataclass(frozen=True)
class _Shapes:
    """At a width of 64. channels: of the seed and of every block. norm: by a block's groups."""

    encoder: int
    channels: Sequence[int]
    groups: Sequence[int]
    norm: Callable[[int], NormPlan]


def _ade20k_norm(groups: int) -> NormPlan:
    labels = 151
    return NormPlan(labels * (groups if labels % groups else 2), labels, groups)


_PUBLISHED = {
    8: _Shapes(  # DeepFashion
        encoder=32,
        channels=[160 * i for i in (16, 16, 16, 16, 8, 4, 2, 1)],
        groups=(8, 8, 4, 4, 2, 2, 1),
        norm=lambda groups: NormPlan(128, groups, groups),
    ),
    # Cityscapes, without the map of instances' edges, which doubles the channels of the label map.
    35: _Shapes(
        encoder=10,
        channels=[280 * i for i in (16, 16, 16, 16, 8, 4, 2, 1)],
        groups=(35, 35, 20, 14, 10, 4, 1),
        norm=lambda groups: NormPlan(35 * groups, 35, 35),
    ),
    151: _Shapes(  # ADE20K
        encoder=4,
        channels=[151 * 16, 151 * 16, *(64 * i for i in (32, 16, 16, 8, 4, 2))],
        groups=(151, 16, 16, 8, 4, 2, 1),
        norm=_ade20k_norm,
    ),
}


def _other(num_labels: int, levels: int) -> _Shapes:
    """Groups L, L, about L / 2 twice, about L / 4 twice, and so on; 1 in the last block.

    Powers of two from L / 2 on keep common multiples small. Channels grow with the square root
    of the groups, so that a convolution has as many parameters as an ordinary one of 64 wide:
    that gives 128 for 8 labels, where the authors have 160, and 256 for 35, where they have 280.
    """
    merged = min(_MOST_MERGED, 1 << max(0, (num_labels // 2).bit_length() - 1))
    later = [max(1, merged >> (i // 2)) for i in range(levels - 2)]
    last = 32 * ceil(2 * sqrt(merged))
    top = last << (levels - 2)
    return _Shapes(
        encoder=256 // num_labels,
        channels=[top] * 4 + [top >> i for i in range(1, levels - 1)],
        groups=[num_labels, num_labels, *later, 1],
        norm=lambda groups: NormPlan(128, num_labels, groups),
    )


def _blocks(
    channels: Sequence[int], groups: Sequence[int], norms: Sequence[NormPlan]
) -> tuple[BlockPlan, ...]:
    around = pairwise(channels)
    return tuple(BlockPlan(*c, g, n) for c, g, n in zip(around, groups, norms, strict=True))
