# SPDX-License-Identifier: Apache-2.0
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from scam.nn.coarse_labels import coarse_labels
from scam.nn.pyramid import LabelPyramid, labels_in, one_hot, present_labels, pyramid_sizes


def cell_counts(labels: Tensor, level: int) -> dict[tuple[int, int], Counter[int]]:
    """Pixels per label in every cell, ignored ones left out, one pixel at a time."""
    cells: dict[tuple[int, int], Counter[int]] = {}
    for y, row in enumerate(labels.tolist()):
        for x, label in enumerate(row):
            cell = cells.setdefault((y >> level, x >> level), Counter())
            if label >= 0:
                cell[label] += 1
    return cells


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((256, 170), [(256, 170), (128, 85), (64, 43), (32, 22), (16, 11), (8, 6), (4, 3)]),
        ((96, 64), [(96, 64), (48, 32), (24, 16), (12, 8), (6, 4), (3, 2), (2, 1)]),
    ],
)
def test_sizes_halve_rounding_up(size: tuple[int, int], expected: list[tuple[int, int]]) -> None:
    assert pyramid_sizes(*size, 6) == expected


@given(st.integers(1, 13), st.integers(1, 13), st.integers(1, 3), st.integers(0, 10_000))
def test_cells_take_the_majority_and_ties_the_lower_label(
    height: int, width: int, level: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(-1, 3, (1, height, width), generator=generator)
    pyramid = LabelPyramid.build(labels, 3, level)
    found = pyramid.maps[level][0]
    present = set(labels[labels >= 0].tolist())
    plain = {}
    for cell, counts in cell_counts(labels[0], level).items():
        plain[cell] = min(counts, key=lambda label: (-counts[label], label)) if counts else -1
    if set(plain.values()) >= present:
        assert {c: int(found[c]) for c in plain} == plain
    for cell, counts in cell_counts(labels[0], level).items():
        assert int(found[cell]) in counts or not counts
    assert set(plain.values()) - {-1} <= set(found.flatten().tolist())


def test_a_small_region_keeps_a_cell_at_every_level() -> None:
    labels = torch.zeros(1, 64, 48, dtype=torch.int32)
    labels[0, 10, 10] = 1
    labels[0, 40:42, 20:22] = 2
    pyramid = LabelPyramid.build(labels, 3, 4)
    for found in pyramid.maps:
        assert set(found.unique().tolist()) == {0, 1, 2}
    assert int(pyramid.maps[4][0, 0, 0]) == 1
    assert pyramid.maps[4].dtype == torch.int32


def test_cells_of_a_quarter_of_a_million_pixels_are_counted_right() -> None:
    """More than 8 and 16 bits hold; the lost label has one pixel in its cell."""
    labels = torch.zeros(1, 512, 1024, dtype=torch.int32)
    labels[0, 300, 777] = 2
    labels[0, :, 400:] = torch.where(labels[0, :, 400:] == 2, 2, 1)
    for level, found in enumerate(LabelPyramid.build(labels, 3, 9).maps[:9]):
        assert int(found[0, 300 >> level, 777 >> level]) == 2
        assert int((found == 2).sum()) == 1
        assert int(found[0, 0, -1]) == 1
    assert LabelPyramid.build(labels, 3, 9).maps[9].tolist() == [[[0, 1]]]


def test_labels_that_cannot_occur_cost_nothing_and_change_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = 3 * torch.randint(-1, 4, (2, 20, 13), generator=generator)
    known = LabelPyramid.build(labels, 40, 4, (0, 3, 6, 9))
    unknown = LabelPyramid.build(labels, 40, 4, tuple(range(40)))
    assert all(map(torch.equal, known.maps, unknown.maps))


def test_coarse_labels_are_a_level_of_the_pyramid() -> None:
    labels = torch.randint(-1, 6, (2, 21, 14), generator=torch.Generator().manual_seed(0)).int()
    for level, expected in enumerate(LabelPyramid.build(labels, 9, 4).maps):
        assert torch.equal(coarse_labels(labels, present_labels(labels, 9), level), expected)


def test_several_lost_labels_in_one_cell_do_not_erase_each_other() -> None:
    labels = torch.zeros(1, 8, 8, dtype=torch.int64)
    labels[0, 0, :4] = torch.tensor([1, 2, 3, 4])
    found = LabelPyramid.build(labels, 5, 1).maps[1]
    # Cells (0, 0) and (0, 1) can hold two of the four; the lower labels get them.
    assert found[0, 0].tolist() == [1, 3, 0, 0]


def test_the_last_cell_of_a_label_is_never_taken() -> None:
    labels = torch.tensor([[[0, 0, 0, 1]]])
    assert LabelPyramid.build(labels, 2, 2).maps[2].tolist() == [[[0]]]


def test_values_outside_the_labels_are_ignored() -> None:
    labels = torch.tensor([[[7, -3], [1, 1]], [[7, 7], [7, 7]]], dtype=torch.int16)
    pyramid = LabelPyramid.build(labels, 2, 1)
    assert pyramid.maps[0].tolist() == [[[-1, -1], [1, 1]], [[-1, -1], [-1, -1]]]
    assert pyramid.maps[1].tolist() == [[[1]], [[-1]]]
    assert pyramid.present.tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_labels_that_occur(dtype: torch.dtype) -> None:
    maps = torch.tensor([[[7, 2, 2], [200, 5, 0]]]).to(dtype)
    assert labels_in(maps, 8) == (0, 2, 5, 7)
    assert labels_in(maps, 3) == (0, 2)
    assert labels_in(torch.full((1, 2, 2), -1), 3) == ()


def test_unsigned_maps_have_room_for_no_label() -> None:
    labels = torch.tensor([[[255, 0], [0, 0]]], dtype=torch.uint8)
    assert LabelPyramid.build(labels, 2, 1).maps[0].tolist() == [[[-1, 0], [0, 0]]]
    assert LabelPyramid.nearest(labels, 2, [(1, 1)]).maps[0].tolist() == [[[-1]]]


def test_released_maps_take_the_top_left_pixel() -> None:
    labels = torch.arange(30).view(1, 5, 6)
    pyramid = LabelPyramid.nearest(labels, 30, [(5, 6), (3, 3), (2, 4)])
    wanted = [
        torch.nn.functional.interpolate(labels[:, None].float(), size=size, mode="nearest")
        for size in ((5, 6), (3, 3), (2, 4))
    ]
    for found, expected in zip(pyramid.maps, wanted, strict=True):
        assert torch.equal(found, expected[:, 0].long())


def test_one_hot_leaves_ignored_pixels_empty() -> None:
    labels = torch.tensor([[[0, 2, -1]]], dtype=torch.int32)
    assert one_hot(labels, 3)[0, :, 0].int().tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
