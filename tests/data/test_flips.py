# SPDX-License-Identifier: Apache-2.0
import pytest

from scam.data.flips import left_right_pairs, unpaired
from scam.data.labels import LABEL_SETS, LabelSet


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["Right-Arm", "left", "Left Arm", "arm left", "arm right", "l_x", "leftover"], "20 34"),
        (["left_arm", "right_arm"], "01"),
        (["LEFT-ARM", "right arm"], "01"),
        (["arm (left)", "Arm (Right)"], "01"),
        (["arm (left)", "arm_right"], "01"),
        (["leftArm", "rightArm"], "01"),
        (["rightarm", "leftarm"], "10"),
        (["l_arm", "r_arm"], "01"),
        (["arm_r", "Arm L"], "10"),
        (["arm.l", "arm.r", "l arm", "r arm"], "01 23"),
        (["left 1", "right 1", "right 2"], "01"),
        (["left", "right"], "01"),
        # Every letter counts, in any script; compatibility forms and case do not.
        (["left_手", "right_手", "left_脚", "right_脚"], "01 23"),
        (["left_手", "right_脚"], ""),
        (["left_हाथ", "right_हथ"], ""),
        (["left_✋", "right_🦶"], ""),
        (["left_Straße", "right_STRASSE"], "01"),
        (["left caf\u00e9", "right cafe\u0301"], "01"),
        (["ｌｅｆｔ ａｒｍ", "right arm"], "01"),  # noqa: RUF001  # what is meant
        (["left_手", "left_脚", "right_手"], "02"),
        # Two labels of one name, or of both sides, have no partner that is surely theirs.
        (["left_arm", "Left Arm", "right_arm"], ""),
        (["left_arm", "right_arm", "Right Arm"], ""),
        (["left_right_arm", "right_left_arm"], ""),
        (["left of right", "right of right", "left of left"], "21"),
        # No sides at all.
        (["bright", "bleft", "copyright", "copyleft", "cleft", "cright"], ""),
        (["left_arm", "r_arm", "arm_r", "l", "r"], ""),
        (["linke Hand", "rechte Hand"], ""),
        (["", "_", "left", "l"], ""),
        (["l_l", "r_r", "l_r"], ""),
        (["1", "2", "3"], ""),
        ([], ""),
    ],
)
def test_names_that_differ_in_their_side_alone(names: list[str], pairs: str) -> None:
    expected = {(int(left), int(right)) for left, right in pairs.split()}
    assert set(left_right_pairs(names)) == expected
    if len(set(names)) == len(names) > 0:
        assert set(LabelSet.of("x", names).swaps) == expected


@pytest.mark.parametrize(
    ("names", "alone"),
    [
        (["left_arm", "right_arm", "l_lip", "leftover", "bright"], ()),
        (["left_手", "left_脚", "right_手"], (1,)),
        (["left_arm", "Left Arm", "right_arm"], (0, 1, 2)),
        (["left_right_arm", "sky"], (0,)),
    ],
)
def test_sides_without_a_partner_are_known(names: list[str], alone: tuple[int, ...]) -> None:
    assert unpaired(names) == alone


def test_named_sets_leave_no_side_alone() -> None:
    assert [unpaired(labels.names) for labels in LABEL_SETS.values()] == [()] * len(LABEL_SETS)


def test_a_hundred_thousand_names_take_no_time_each() -> None:
    names = [f"{side} part {index}" for index in range(30_000) for side in ("left", "right")]
    assert LabelSet.of("many", names).swaps[-1] == (59_998, 59_999)
