# SPDX-License-Identifier: Apache-2.0
"""Label pyramids under the interpreter, run by test_triton_pyramid.py."""

import os
import random

import pytest
import torch
from interpreted_attention import _patch_once  # noqa: F401  (a fixture)
from torch import Tensor

from scam.nn.coarse_labels import coarse_maps
from scam.nn.pyramid import known_labels, present_labels
from scam.ops.backends import triton_pyramid
from scam.ops.problem import LABEL_DTYPES
from scam.ops.pyramid_library import label_pyramid

assert os.environ.get("TRITON_INTERPRET") == "1"


def drawn(seed: int, height: int, width: int, spread: int, noise: float) -> Tensor:
    """Labels (2, ``height``, ``width``) of blocks of 3 x 3 pixels, some of pixels of their own."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.randint(-2, spread, (2, 2 + height // 3, 2 + width // 3), generator=generator)
    blocks = places.repeat_interleave(3, 1).repeat_interleave(3, 2)[:, :height, :width]
    pixels = torch.randint(-2, spread, (2, height, width), generator=generator)
    return torch.where(torch.rand(2, height, width, generator=generator) < noise, pixels, blocks)


def check(labels: Tensor, num_labels: int, first: int, last: int) -> None:
    """What kernels make is what PyTorch makes, number by number."""
    maps, coarse, present = label_pyramid(labels, num_labels, first, last)
    known = known_labels(labels, num_labels)
    assert torch.equal(maps, known)
    assert torch.equal(present, present_labels(known, num_labels))
    expected = coarse_maps(known, present, range(first, last + 1), None)
    assert torch.equal(coarse, torch.cat([level.flatten(1) for level in expected], 1))


@pytest.mark.parametrize(
    ("size", "spread", "noise", "levels", "block"),
    [
        ((9, 14), 4, 0.1, (1, 2), 1024),
        ((4, 8), 8, 1.0, (1, 2), 1024),  # more labels than cells: not all are rescued
        ((5, 6), 4, 0.3, (1, 1), 16),  # several blocks
        ((8, 5), 5, 0.5, (3, 3), 16),  # cells of several blocks
    ],
)
def test_levels(
    size: tuple[int, int],
    spread: int,
    noise: float,
    levels: tuple[int, int],
    block: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("BLOCK", "RESCUED"):
        monkeypatch.setattr(triton_pyramid, name, block)
    check(drawn(0, *size, spread, noise), spread - 1, *levels)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_drawn_maps(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(seed)
    for name in ("BLOCK", "RESCUED"):
        monkeypatch.setattr(triton_pyramid, name, draw.choice((16, 64, 1024)))
    first = draw.randint(1, 3)
    spread, noise = draw.randint(2, 9), draw.choice((0.0, 0.1, 1.0))
    labels = drawn(seed, draw.randint(1, 17), draw.randint(1, 17), spread, noise)
    check(labels, spread - 1, first, draw.randint(first, 4))


@pytest.mark.parametrize("dtype", LABEL_DTYPES, ids=str)
def test_dtypes_and_strides(dtype: torch.dtype) -> None:
    labels = drawn(0, 6, 9, 4, 0.2).to(dtype)
    check(labels[:1, ::2, 1:].mT, 2, 1, 1)


def test_the_operator_is_what_its_schema_and_fake_say() -> None:
    utilities = ("test_schema", "test_faketensor")
    given = drawn(0, 5, 7, 3, 0.2), 2, 1, 2
    torch.library.opcheck(label_pyramid, given, test_utils=utilities)


def test_no_label_at_all() -> None:
    check(torch.full((1, 5, 4), -1), 3, 1, 2)
    check(torch.full((1, 5, 4), 2**40), 3, 1, 2)


def test_lower_labels_are_rescued_first_and_nobody_loses_the_last_cell() -> None:
    """Two lost labels in one cell of a common label, one in the only cell of a rare one."""
    labels = torch.zeros(1, 8, 8, dtype=torch.int32)
    labels[0, 0, :2] = torch.tensor([1, 2])
    labels[0, 4:, 4:] = 3
    labels[0, 5, 5] = 4
    check(labels, 5, 2, 2)
