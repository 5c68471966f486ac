# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from scam.data.grow import grow


def test_unknown_pixels_take_the_nearest_label() -> None:
    values = np.array([[1, 0, 0, 0, 2], [1, 0, 0, 0, 2], [1, 1, 0, 2, 2]], np.int32)
    unknown = values == 0
    grow(values, unknown)
    assert values.tolist() == [[1, 1, 1, 2, 2], [1, 1, 1, 2, 2], [1, 1, 1, 2, 2]]
    assert unknown.sum() == 7
    nothing = np.zeros((2, 2), np.int32)
    grow(nothing, np.ones((2, 2), bool))
    assert (nothing == 0).all()


def _grow_slowly(labels: np.ndarray, unknown: np.ndarray) -> None:
    """One pass over everything a round: a pixel takes what is above, else left, right, below."""
    while unknown.any() and not unknown.all():
        before, known = labels.copy(), ~unknown
        for y, x in np.argwhere(unknown):
            for to_y, to_x in ((y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x)):
                inside = 0 <= to_y < known.shape[0] and 0 <= to_x < known.shape[1]
                if inside and known[to_y, to_x]:
                    labels[y, x], unknown[y, x] = before[to_y, to_x], False
                    break


@pytest.mark.parametrize("share", [0.0, 0.1, 0.6, 0.95, 1.0])
def test_areas_grow_as_round_by_round(share: float) -> None:
    random = np.random.default_rng(int(100 * share))
    labels = random.integers(5, size=(13, 9)).astype(np.int32)
    unknown = random.random(labels.shape) < share
    expected = labels.copy()
    _grow_slowly(expected, unknown.copy())
    grow(labels, unknown)
    np.testing.assert_array_equal(labels, expected)


def test_a_pixel_is_met_once_however_far_it_is() -> None:
    labels = np.zeros((1500, 1500), np.int32)
    unknown = np.ones(labels.shape, bool)
    labels[0, 0], unknown[0, 0] = 7, False
    grow(labels, unknown)  # 3000 rounds: minutes if each looks at everything
    assert (labels == 7).all()
