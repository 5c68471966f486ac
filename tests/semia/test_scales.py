# SPDX-License-Identifier: Apache-2.0
import pytest
import torch

from scam.semia.scales import (
    at_scale,
    resized_image,
    resized_labels,
    sizes,
    spread,
    surroundings,
)


def test_sizes_rise_to_the_whole() -> None:
    found = sizes((60, 100), 16, 0.5)
    assert found == [(30, 50), (60, 100)]
    assert sizes((10, 100), 16, 0.5) == [(10, 100)]


def test_of_the_same_size_nothing_is_touched() -> None:
    image, labels = torch.rand(3, 5, 6), torch.randint(4, (5, 6))
    assert resized_image(image, (5, 6)) is image
    assert resized_labels(labels, (5, 6), 4) is labels


def test_the_label_that_covers_most() -> None:
    labels = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 1], [2, 2, 2, 2], [2, 0, 2, 2]])
    assert resized_labels(labels, (2, 2), 3).tolist() == [[0, 1], [2, 2]]
    assert resized_labels(labels, (8, 8), 3)[::2, ::2].equal(labels)


@pytest.mark.parametrize("seed", range(5))
def test_labels_that_vanish_keep_a_pixel_of_their_own(seed: int) -> None:
    """Also where several vanish in one place."""
    labels = torch.zeros(24, 30, dtype=torch.int64)
    generator = torch.Generator().manual_seed(seed)
    row, column = torch.randint(20, (2,), generator=generator).tolist()
    labels[row : row + 2, column : column + 2] = torch.tensor([[1, 2], [3, 4]])
    small = resized_labels(labels, (16, 20), 5)
    assert small.unique().tolist() == [0, 1, 2, 3, 4]
    assert (small > 0).sum() == 4


@pytest.mark.parametrize(("own", "working"), [((35, 333), (17, 160)), ((394, 700), (72, 128))])
def test_a_map_of_the_source_s_size_gets_the_working_size(
    own: tuple[int, int], working: tuple[int, int]
) -> None:
    labels = torch.randint(3, own)
    assert at_scale(labels, working, own, 3).shape == working
    small = torch.randint(3, working)
    assert at_scale(small, working, own, 3) is small
    wide = torch.randint(3, (own[0], 2 * own[1]))
    assert at_scale(wide, working, own, 3).shape == (working[0], 2 * working[1])


def test_surroundings_are_shares() -> None:
    labels = torch.randint(3, (9, 14))
    found = surroundings(labels, 3, (1.0, 2.0)).view(2, 3, 9, 14)
    torch.testing.assert_close(found.sum(1), torch.full((2, 9, 14), 0.5**0.5))
    alone = surroundings(torch.ones_like(labels), 3, (2.0,))
    torch.testing.assert_close(alone, spread(torch.ones_like(labels), 3))
    assert surroundings(labels, 3, ()).shape == (0, 9, 14)
