# SPDX-License-Identifier: Apache-2.0
"""Turned, scaled, shifted and bent: image and label map alike, and smoothly."""

import numpy as np
import pytest
import torch
from numpy.random import Generator, default_rng

from scam.data import Mannequins
from scam.data.convert import from_uint8
from scam.data.warp import warp, warp_batch


class Still(Generator):
    """Draws the middle of every range."""

    def uniform(self, low, high, size=None):
        return np.full(() if size is None else size, (low + high) / 2)


@pytest.mark.parametrize("size", [(48, 32), (33, 50), (2, 2), (1, 7)])
def test_nothing_drawn_leaves_everything_in_place(size: tuple[int, int]) -> None:
    random = default_rng(0)
    image = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    labels = random.integers(-1, 9, size, dtype=np.int32)
    warped, moved = warp(image, labels, Still(np.random.PCG64(0)))
    assert np.abs(warped.astype(int) - image).max() <= 1
    assert np.array_equal(moved, labels)


def test_image_and_labels_move_alike() -> None:
    """The picture of a map, warped, is the picture of the warped map but for borders."""
    _, labels = Mannequins("train", 8).load(1, (96, 64))
    image = np.repeat((labels * 20).astype(np.uint8)[..., None], 3, 2)
    for seed in range(10):
        warped, moved = warp(image, labels, default_rng(seed))
        assert warped.shape == image.shape
        assert (warped.dtype, moved.dtype) == (np.uint8, labels.dtype)
        assert (np.abs(warped[..., 0].astype(int) - 20 * moved) <= 1).mean() > 0.8
        assert (moved != labels).mean() > 0.02


def test_no_label_is_made_up() -> None:
    labels = default_rng(0).choice(np.array([-1, 3, 300, 60000], np.int32), (40, 24))
    image = np.zeros((40, 24, 3), np.uint8)
    for kind in (np.int32, np.int64):
        _, moved = warp(image, labels.astype(kind), default_rng(1))
        assert set(np.unique(moved)) == {-1, 3, 300, 60000}


def test_places_do_not_tear() -> None:
    """A ramp stays one: neighbours are read near each other, and most stay inside."""
    height, width = 64, 96
    ramp = np.linspace(0, 255, width).astype(np.uint8)
    image = np.repeat(np.repeat(ramp[None], height, 0)[..., None], 3, 2)
    for seed in range(20):
        warped, _ = warp(image, np.zeros((height, width), np.int32), default_rng(seed))
        steps = np.diff(warped[..., 0].astype(int), axis=0)
        assert np.abs(steps).max() <= 6
        centre = warped[height // 2, width // 2, 0]
        assert 60 < centre < 195


def test_follows_the_random_numbers_alone() -> None:
    image, labels = Mannequins("train", 8).load(2, (48, 32))
    first = warp(image, labels, default_rng(5))
    strided = image[:, ::-1].copy()[:, ::-1], labels[:, ::-1].copy()[:, ::-1]
    for before, after in zip(first, warp(*strided, default_rng(5)), strict=True):
        assert np.array_equal(before, after)
    assert not np.array_equal(warp(image, labels, default_rng(6))[0], first[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_batch_is_warped_alike(dtype: torch.dtype) -> None:
    pairs = [Mannequins("train", 8).load(i, (96, 64)) for i in range(3)]
    image = torch.stack([from_uint8(each) for each, _ in pairs]).to(dtype)
    labels = torch.stack([torch.from_numpy(each) for _, each in pairs])
    warped, moved = warp_batch(image, labels, default_rng(3))
    assert (warped.dtype, moved.dtype) == (dtype, labels.dtype)
    for i, pair in enumerate(pairs):
        expected, expected_labels = warp(*pair, default_rng(3))
        assert torch.equal(moved[i], torch.from_numpy(expected_labels))
        # half a level of rounding, and that of the dtype
        off = 0.51 / 127.5 + torch.finfo(dtype).eps
        torch.testing.assert_close(warped[i].float(), from_uint8(expected), rtol=0, atol=off)
