# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scam.data.labels import (
    LABEL_SETS,
    LabelSet,
    Merge,
    find_label_set,
    other_labels,
    read_merge,
)
from scam.errors import InputError

FACE = [1, 2, 4, 13]


def test_how_labels_differ() -> None:
    many = [f"label_{index}" for index in range(13)]
    words = "has 13 labels (label_0, label_1, label_2 and 10 more), this model has 2 (sky, sea)"
    assert other_labels(many, ("sky", "sea")) == words
    also = "; label 7 is label_7 in the data, hat in the model"
    assert other_labels(many, [*many[:7], "hat"]).endswith(also)


@pytest.mark.parametrize(
    ("name", "count", "spot"),
    [
        ("lip20", 20, {0: "background", 1: "hat", 13: "face", 14: "left_arm", 19: "right_shoe"}),
        ("celebamask19", 19, {1: "skin", 3: "eye_g", 12: "l_lip", 13: "hair", 18: "cloth"}),
        ("face_parsing19", 19, {1: "skin", 2: "l_brow", 10: "nose", 17: "hair", 18: "hat"}),
        ("idesigner", 3, {0: "background", 1: "face", 2: "body"}),
        ("ade20k", 151, {0: "other", 1: "wall", 13: "person", 57: "pool_table", 150: "flag"}),
        ("mannequins", 11, {0: "background", 1: "hair", 10: "right_shoe"}),
    ],
)
def test_named_sets(name: str, count: int, spot: dict[int, str]) -> None:
    labels = find_label_set(name)
    assert len(labels) == count == len(set(labels.names))
    assert {index: labels.names[index] for index in spot} == spot


def test_unknown_set_lists_the_known() -> None:
    with pytest.raises(InputError, match=r"label_set='lip': expected one of lip20"):
        find_label_set("lip")


@pytest.mark.parametrize(
    ("name", "swaps"),
    [
        ("lip20", ((14, 15), (16, 17), (18, 19))),
        # l_lip is the lower lip, ear_r an ear ring, neck_l a necklace: no pairs.
        ("celebamask19", ((4, 5), (6, 7), (8, 9))),
        ("face_parsing19", ((2, 3), (4, 5), (7, 8))),
        ("idesigner", ()),
        ("ade20k", ()),
        ("mannequins", ((5, 6), (7, 8), (9, 10))),
    ],
)
def test_swaps_of_named_sets(name: str, swaps: tuple[tuple[int, int], ...]) -> None:
    labels = LABEL_SETS[name]
    assert labels.swaps == swaps
    table = labels.flip_table()
    assert (table[table] == np.arange(len(labels))).all()
    for left, right in swaps:
        assert table[left] == right


@pytest.mark.parametrize(
    ("names", "swaps"),
    [((), ()), (("a", "a"), ()), (("a", "b"), ((0, 2),)), (("a", "b", "c"), ((0, 1), (1, 2)))],
)
def test_bad_label_sets_are_refused(names: tuple[str, ...], swaps: tuple) -> None:
    with pytest.raises(ValueError, match="label set 'x'"):
        LabelSet("x", names, swaps)


def test_idesigner_merge_of_all_twenty_labels() -> None:
    merge = read_merge("idesigner", 20)
    table = merge.table()
    names = LABEL_SETS["lip20"].names
    assert merge.label_set.names == ("background", "face", "body")
    assert [names[i] for i in FACE] == ["hat", "hair", "sunglasses", "face"]
    for old in range(20):
        assert table[old] == (0 if old == 0 else 1 if old in FACE else 2), names[old]


def test_body_merge() -> None:
    assert read_merge("body", 5).table().tolist() == [0, 1, 1, 1, 1]


def test_merge_file_keeps_its_order(tmp_path) -> None:
    file = tmp_path / "merge.json"
    file.write_text(json.dumps({"thing": [2, 0], "left arm": [1], "right arm": [3]}))
    merge = read_merge(str(file))
    assert merge.num_source == 4
    assert merge.label_set.names == ("thing", "left arm", "right arm")
    assert merge.label_set.swaps == ((1, 2),)
    assert merge.table().tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize(
    ("text", "count", "message"),
    [
        ('{"a": [0, 1], "b": [3]}', None, "label 2 is in no group"),
        ('{"a": [0, 1], "b": [2]}', 4, "label 3 is in no group"),
        ('{"a": [0, 1], "b": [1]}', None, "label 1 is in 'a' and in 'b'"),
        ('{"a": [0, 0]}', None, "label 0 is in 'a' and in 'a'"),
        ('{"a": [0], "b": [1, 7]}', 2, "'b' holds label 7, expected 0 .. 1"),
        ('{"a": [-1, 0]}', None, "'a' holds label -1"),
        ('{"a": [0], "a": [1]}', None, "'a' is there twice"),
        ('{"a": 0}', None, "'a' is 0"),
        ('{"a": [true]}', None, r"'a' is \[True\]"),
        ("[[0], [1]]", None, r"is \[\[0\], \[1\]\]; expected"),
        ("{}", None, "holds no groups"),
        ("7", None, "is 7; expected"),
        ("[]", None, r"is \[\]; expected"),
        ('{"a": [0, NaN]}', None, "NaN is not a finite number"),
        ('{"a": [0, 1e999]}', None, "1e999 is not a finite number"),
        ('{"a": [0]', None, r"not JSON \(Expecting .*; expected"),
        ("[" * 100_000, None, "nested too deeply; expected"),
        (
            '{"a": [0, 1000000000000]}',
            None,
            r"'a' holds label 1000000000000, exp.* 0 \.\. 65535",
        ),
        ('{"a": [' + "[0]," * 900 + "1]}", None, r"'a' is \[\[0\],.{55}; expected"),
        ('{"a\\nb": [0]}', None, r"the name 'a\\nb' holds the character '\\n'"),
        ('{"\\ud800": [0]}', None, r"holds the character '\\ud800'"),
        ('{"": [0]}', None, "found an empty name"),
    ],
)
def test_bad_merge_files(tmp_path, text: str, count: int | None, message: str) -> None:
    file = tmp_path / "merge.json"
    file.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_merge(str(file), count)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_merge_files_of_other_editors(tmp_path, encoding: str) -> None:
    (tmp_path / "merge.json").write_text('{"tête": [0],\t"b": [1]}', encoding=encoding)
    assert read_merge(str(tmp_path / "merge.json")).label_set.names == ("tête", "b")


def test_merge_files_that_are_no_text(tmp_path) -> None:
    with pytest.raises(InputError, match=r"^merge=.*: is a folder, expected a file"):
        read_merge(str(tmp_path))
    (tmp_path / "merge.json").write_bytes(b'{"a":\n"\xfc"}')
    with pytest.raises(InputError, match=r"merge\.json, line 2: the byte 0xfc is not UTF-8 text"):
        read_merge(str(tmp_path / "merge.json"))


def test_a_merge_whose_names_hold_one_side_twice(tmp_path) -> None:
    (tmp_path / "merge.json").write_text('{"left arm": [0], "Left_Arm": [1], "right arm": [2]}')
    assert read_merge(str(tmp_path / "merge.json")).label_set.swaps == ()


@pytest.mark.parametrize(
    ("spec", "count", "message"),
    [
        ("idesigner", 59, "20 labels of LIP, found 59"),
        ("body", 1, "2 labels or more, found 1"),
        ("nowhere.json", None, "'nowhere.json': is not a file, expected one or idesigner or body"),
    ],
)
def test_merges_that_do_not_fit(spec: str, count: int | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_merge(spec, count)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.randoms())
def test_any_partition_merges_as_written(owners: list[int], shuffle) -> None:
    groups = [[old for old, owner in enumerate(owners) if owner == new] for new in range(6)]
    for group in groups:
        shuffle.shuffle(group)
    labels = LabelSet.numbered("x", 6)
    merge = Merge(labels, tuple(map(tuple, groups)), len(owners))
    assert merge.table().tolist() == owners
    # Doubling or dropping any one id is refused by its number.
    old, owner = shuffle.choice(list(enumerate(owners)))
    twice = [group + [old] * (new == (owner + 1) % 6) for new, group in enumerate(groups)]
    once_less = [[i for i in group if i != old] for group in groups]
    for bad, message in (
        (twice, f"label {old} is in 'label_"),
        (once_less, f"label {old} is in no"),
    ):
        with pytest.raises(InputError, match=message):
            Merge(labels, tuple(map(tuple, bad)), len(owners))


def test_merge_checks_itself() -> None:
    with pytest.raises(InputError, match="label 1 is in no group"):
        Merge(LabelSet("x", ("a",)), ((0,),), 2)
