# SPDX-License-Identifier: Apache-2.0
"""Who belongs to which side of a split, by content and by name."""

from pathlib import Path

import pytest

from scam.data.mannequins import Mannequins
from scam.data.split import SPLIT, Side, Split, digests_of, read_split, write_split
from scam.data.split import _digest as digest
from scam.errors import InputError

SPLIT_OF_FIVE = Split(
    training=(("a", "1"), ("b", "2"), ("both", "5")),
    held_out=(("c", "3"), ("both", "6")),
    training_gone=(("d", "4"),),
)


@pytest.mark.parametrize(
    ("name", "content", "side"),
    [
        ("a", "1", "training"),
        ("c", "3", "held_out"),
        ("d", "4", "training"),
        ("x", "1", "training"),
        ("x", "3", "held_out"),
        ("x", "4", "training"),
        ("a", "3", "held_out"),
        ("c", "2", "training"),
        ("a", "9", "training"),
        ("c", "9", "held_out"),
        ("c", "", "held_out"),
        ("both", "6", "held_out"),
        ("both", "5", "training"),
        ("both", "9", None),
        ("x", "9", None),
        ("x", "", None),
    ],
)
def test_sides(name: str, content: str, side: Side | None) -> None:
    assert SPLIT_OF_FIVE.side(name, content) == side
    if content == "9":
        assert SPLIT_OF_FIVE.side(name, content, by_name=False) is None


def test_a_content_on_both_sides() -> None:
    """Its name decides; a new name cannot be trusted."""
    twice = Split(training=(("a", "1"),), held_out=(("b", "1"),))
    assert twice.side("a", "1") == "training"
    assert twice.side("b", "1") == "held_out"
    assert twice.side("x", "1") == "training"


def test_a_split_continues() -> None:
    later = SPLIT_OF_FIVE.continued({"a": "7", "new": "8", "c": "3"}, {"both": "6"})
    assert later.training == (("a", "7"), ("new", "8"), ("c", "3"))
    assert set(later.training_gone) == {("a", "1"), ("b", "2"), ("both", "5"), ("d", "4")}
    assert later.held_out_gone == ()
    assert later.side("z", "1") == "training"
    assert later.side("c", "3") == "training"


def test_files(tmp_path: Path) -> None:
    odd = Split((("a b", "0" * 16), ("\udcf1", "")), (("ü\n", "f" * 16),))
    write_split(tmp_path, odd)
    found = read_split(tmp_path, odd.digest)
    assert found is not None
    assert found.digest == odd.digest
    assert set(found.training) == set(odd.training)
    assert found.held_out == odd.held_out
    assert read_split(tmp_path, None) is None
    assert read_split(tmp_path / "none", odd.digest) is None
    for content in (
        '{"training": 3}',
        '{"colours": []}',
        '{"training": [3], "held_out": []}',
        "[",
    ):
        (tmp_path / SPLIT).write_text(content)
        with pytest.raises(InputError, match=r"split\.json is damaged"):
            read_split(tmp_path, odd.digest)


def test_digests_change_with_size_beginning_and_end(tmp_path: Path) -> None:
    path, found = tmp_path / "file", set()
    for content in (b"", b"a", b"a" * 9000, b"a" * 9001, b"b" + b"a" * 8999, b"a" * 8999 + b"b"):
        path.write_bytes(content)
        found.add(digest(path))
    assert len(found) == 6
    assert digest(tmp_path / "none") == ""
    assert digests_of(Mannequins("val", 1)) == {"mannequin_val_00000": ""}
