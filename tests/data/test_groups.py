# SPDX-License-Identifier: Apache-2.0
import re
from pathlib import Path

import pytest

from scam.data import groups as module
from scam.data.groups import Groups, groups_of, plain
from scam.data.labels import LABEL_SETS

GROUPED = [name for name in LABEL_SETS if name != "body"]


@pytest.mark.parametrize("name", GROUPED)
def test_every_label_but_the_background_is_in_a_group(name: str) -> None:
    labels = LABEL_SETS[name]
    found = groups_of(labels.names)
    held = {label for members in found.members.values() for label in members}
    assert held == {*range(1, len(labels))}
    assert len(found.related) == len(labels)
    for label, others in enumerate(found.related):
        assert label not in others
        assert found.related[0] == ()
        assert {*others} <= held


@pytest.mark.parametrize("name", GROUPED)
def test_a_name_is_a_group_s_or_a_label_s(name: str) -> None:
    """Unless the group is that label."""
    names = LABEL_SETS[name].names
    for group, members in groups_of(names).members.items():
        assert group not in names or members == (names.index(group),)


@pytest.mark.parametrize("table", [module._GROUPS, module._RELATED])
def test_the_tables_name_labels(table: dict[str, dict[str, str]]) -> None:
    for name, lists in table.items():
        for words in lists.values():
            assert {*words.split()} <= {*LABEL_SETS[name].names}
    for name, lists in module._RELATED.items():
        assert lists.keys() <= {*LABEL_SETS[name].names}


def related(names: tuple[str, ...], label: str) -> list[str]:
    found = groups_of(names).related[[plain(name) for name in names].index(label)]
    return [names[other] for other in found]


def test_garments_and_skin_of_people() -> None:
    names = LABEL_SETS["lip20"].names
    assert related(names, "dress")[:2] == ["upper_clothes", "jumpsuits"]
    assert related(names, "left_leg") == ["right_leg", "left_arm", "right_arm", "face"]
    assert related(names, "face") == []
    clothes = groups_of(names).find("Clothes")
    assert clothes is not None
    assert [names[label] for label in clothes[:3]] == ["upper_clothes", "coat", "dress"]


def test_another_numbering_has_the_same_groups() -> None:
    one, two = (LABEL_SETS[name].names for name in ("celebamask19", "face_parsing19"))
    for label in one:
        assert related(one, label) == related(two, label)


def test_names_of_a_folder_are_recognised_however_they_are_spelled() -> None:
    names = ("Background", "Upper-clothes", "Left arm", "Right-arm", "Hair")
    assert related(names, "left_arm") == ["Right-arm"]
    assert groups_of(names).members["arms"] == (2, 3)
    assert "feet" not in groups_of(names).members
    assert groups_of(names).of(1) == "clothes"
    assert groups_of(names).of(0) is None


@pytest.mark.parametrize(
    "names", [("background", "hair", "antlers"), ("label_0", "label_1"), ("hair", "Hair")]
)
def test_names_of_no_set_have_no_groups(names: tuple[str, ...]) -> None:
    assert groups_of(names) == Groups({}, ((),) * len(names))


@pytest.mark.parametrize("name", GROUPED)
def test_the_page_lists_them(name: str) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text()
    items = [" ".join(item.split()) for item in re.split(r"\n(?:- |\n)", page)]
    groups = ", ".join(groups_of(LABEL_SETS[name].names).members)
    assert any(f"`{name}`" in item and item.endswith(f": {groups}") for item in items)
