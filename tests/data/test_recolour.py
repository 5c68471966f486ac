# SPDX-License-Identifier: Apache-2.0
"""Other colours for each label: which pixels change, how, and what stays."""

import numpy as np
import pytest

from scam.data import Mannequins
from scam.data.recolour import recolour

SIZE = 48, 32


def drawn(index: int = 0) -> tuple[np.ndarray, np.ndarray]:
    return Mannequins("train", 8).load(index, SIZE)


def test_background_and_pixels_without_a_label_keep_their_colours() -> None:
    image, labels = drawn()
    labels[:8] = -1
    changed = recolour(image, labels, np.random.default_rng(0))
    assert changed.shape == image.shape
    assert changed.dtype == np.uint8
    assert np.array_equal(changed[labels <= 0], image[labels <= 0])
    for label in np.unique(labels[labels > 0]):
        assert not np.array_equal(changed[labels == label], image[labels == label])


def test_a_map_of_background_changes_nothing() -> None:
    image, labels = drawn()
    for value in (0, -1):
        found = recolour(image, np.full_like(labels, value), np.random.default_rng(0))
        assert np.array_equal(found, image)


def test_each_label_changes_by_an_affine_map_of_its_own() -> None:
    """Solved for where nothing was clipped: it explains every pixel, to rounding."""
    random = np.random.default_rng(1)
    image = random.integers(96, 160, (40, 40, 3), dtype=np.uint8)
    labels = np.repeat(np.array([[1, 5]], np.int32), 20, 1).repeat(40, 0)
    solved = {}
    for seed in range(20):
        changed = recolour(image, labels, np.random.default_rng(seed))
        for label in (1, 5):
            before, after = (x[labels == label].astype(float) for x in (image, changed))
            if after.min() > 0 and after.max() < 255:
                known = np.c_[before, np.ones(len(before))]
                solved[seed, label] = np.linalg.lstsq(known, after, rcond=None)[0]
                assert np.abs(known @ solved[seed, label] - after).max() < 0.7
    assert len(solved) > 10
    assert len({tuple(found[3].round(2)) for found in solved.values()}) == len(solved)
    for found in solved.values():
        linear = found[:3].T
        gain = np.cbrt(np.linalg.det(linear))
        assert 0.45 < gain < 1.55
        np.testing.assert_allclose(linear @ linear.T, gain**2 * np.eye(3), atol=0.1)
        np.testing.assert_allclose(linear @ np.ones(3), gain * np.ones(3), atol=0.1)


def test_mean_colours_go_everywhere() -> None:
    image, labels = np.full((4, 4, 3), 30, np.uint8), np.ones((4, 4), np.int32)
    random = np.random.default_rng(2)
    found = np.stack([recolour(image, labels, random)[0, 0] for _ in range(200)])
    assert (found.min(0) < 20).all()
    assert (found.max(0) > 235).all()
    np.testing.assert_allclose(found.mean(0), 127.5, atol=20)


@pytest.mark.parametrize("kind", [np.int16, np.int32])
def test_follows_the_random_numbers_alone(kind: type) -> None:
    image, labels = drawn(3)
    first = recolour(image, labels, np.random.default_rng(5))
    strided = np.ascontiguousarray(image[:, ::-1])[:, ::-1]
    assert np.array_equal(recolour(strided, labels.astype(kind), np.random.default_rng(5)), first)
    assert not np.array_equal(recolour(image, labels, np.random.default_rng(6)), first)
