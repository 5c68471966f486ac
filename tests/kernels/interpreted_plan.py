# SPDX-License-Identifier: Apache-2.0
"""Sorting and planning kernels under the interpreter, run by test_triton_plan.py."""

import os
import random
from typing import Any

import pytest
import torch
from interpreted_attention import _patch_once  # noqa: F401  (a fixture)
from torch import Tensor

from scam.ops import sorting, tiles
from scam.ops.backends import triton_plan
from scam.ops.backends.triton_plan import TileTables
from scam.ops.problem import LABEL_DTYPES
from scam.ops.sorting import Side

assert os.environ.get("TRITON_INTERPRET") == "1"

ALL_DTYPES: Any = [(d, d) for d in LABEL_DTYPES] + [(torch.uint8, torch.int64)]
NONE = (None, None)


def drawn(seed: int, dtype: torch.dtype, items: int, spread: int) -> Tensor:
    """Labels (2, ``items``), some ignored, and the largest there is."""
    generator = torch.Generator().manual_seed(seed)
    lowest = -2 if dtype.is_signed else 0
    labels = torch.randint(lowest, spread, (2, items), generator=generator).to(dtype)
    labels[0, 0] = torch.iinfo(dtype).max
    return labels


def check(wide: Side, narrow: Side, tile: int = 4, budget: tuple[int, int] = (9, 7)) -> None:
    """What kernels make is what PyTorch makes, number by number."""
    made = TileTables(triton_plan.sort_sides(wide, narrow), tile)
    expected = sorting.sort_sides(wide, narrow)
    for name, numbers in vars(expected).items():
        assert torch.equal(getattr(made.sides, name), numbers), name
    assert torch.equal(made.tiles, tiles.cut(expected, tile))
    parts, expected_parts = made.split(*budget), tiles.split(expected, tile, *budget)
    assert torch.equal(parts.pieces, expected_parts.pieces)
    assert torch.equal(parts.spans, expected_parts.spans)
    assert parts.rows == expected_parts.rows


@pytest.mark.parametrize("dtypes", ALL_DTYPES, ids=lambda both: f"{both[0]} {both[1]}")
@pytest.mark.parametrize("sizes", [(90, 20), (9, 33)], ids=str)
def test_labels(dtypes: tuple[torch.dtype, torch.dtype], sizes: tuple[int, int]) -> None:
    wide, narrow = (drawn(n, dtype, n, 12) for dtype, n in zip(dtypes, sizes, strict=True))
    check((wide, NONE), (narrow, NONE))
    check((wide[:1].expand(2, -1), NONE), (narrow.mT.contiguous().mT, NONE))


@pytest.mark.parametrize("dtype", LABEL_DTYPES, ids=str)
def test_laid_out(dtype: torch.dtype) -> None:
    labels = drawn(0, dtype, 90, 12)
    for given, count in ((labels, 7), (labels[:, ::2], 1), (labels[:0], 5)):
        made = triton_plan.lay_out(given, count)
        expected = sorting.lay_out(given, count)
        assert all(torch.equal(a, b) for a, b in zip(made, expected, strict=True))


@pytest.mark.parametrize("seed", range(6))
def test_layouts(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of both sides or of one; of equally many labels or not."""
    draw = random.Random(seed)
    monkeypatch.setattr(triton_plan, "LABELS", draw.choice((4, 256)))
    monkeypatch.setattr(triton_plan, "SHARES", draw.choice((1, 3)))
    sides: list[Side] = []
    for place, items in enumerate((90, 20)):
        labels = drawn(seed + place, torch.int32, items, 7)
        count = draw.choice((1, 5, 37))
        given = sorting.sort_labels(labels, count) if seed % 3 != place else NONE
        sides.append((labels, given))
    budget = draw.choice((1, 9, 1000)), draw.choice((0, 7, 1000))
    check(sides[0], sides[1], draw.choice((1, 4, 16)), budget)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int16])
def test_many_blocks_and_small_steps(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, small in {"MANY_BLOCKS": 2, "NUMBERS": 256, "RANKED": 4, "COMPARED": 8}.items():
        monkeypatch.setattr(triton_plan, name, small)
    check((drawn(0, dtype, 100, 40), NONE), (drawn(1, dtype, 50, 40), NONE))


def test_more_groups_than_the_kernels_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_plan, "MOST_GROUPS", 8)
    wide, narrow = (drawn(n, torch.int64, n, 12) for n in (40, 9))
    check((wide, NONE), (narrow, NONE))
    check((wide, NONE), (narrow, sorting.sort_labels(narrow, 9)))
