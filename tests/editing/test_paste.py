# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from scam.editing import paste_back, touched_pixels


def test_touched_is_where_either_map_holds_the_subject() -> None:
    before = np.array([[0, 0, 1, 1, -1, 4]])
    after = np.array([[0, 2, 0, 3, -1, 0]])
    assert touched_pixels(before, after, [0]).tolist() == [[False, True, True, True, False, True]]
    assert touched_pixels(before, after, [0, 4]).tolist()[0][-1] is False


@pytest.mark.parametrize("feather", [0, 1, 5])
def test_blend_runs_out_linearly_and_then_stops(feather: int) -> None:
    photo = np.zeros((1, 20, 3), np.uint8)
    painted = np.full_like(photo, 240)
    touched = np.zeros((1, 20), bool)
    touched[0, :4] = True
    row = paste_back(photo, painted, touched, feather)[0, :, 0]
    ramp = [round(240 * (1 - i / (feather + 1))) for i in range(1, feather + 1)]
    assert row.tolist() == [240] * 4 + ramp + [0] * (16 - feather)


def test_far_pixels_are_the_photograph_itself() -> None:
    generator = np.random.default_rng(0)
    photo, painted = (generator.integers(0, 256, (30, 30, 3), dtype=np.uint8) for _ in range(2))
    touched = np.zeros((30, 30), bool)
    touched[10:15, 12:20] = True
    result = paste_back(photo, painted, touched, 3)
    near = np.zeros_like(touched)
    near[7:18, 9:23] = True
    assert np.array_equal(result[~near], photo[~near])
    assert np.array_equal(result[touched], painted[touched])
