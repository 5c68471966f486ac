# SPDX-License-Identifier: Apache-2.0
import os
from pathlib import Path

import pytest

from scam.data.names import named_labels, names_text, read_label_names, read_names
from scam.errors import InputError


@pytest.mark.parametrize(
    "text",
    [
        "# id name\n1 left arm\n\n0  back ground\r\n2 right arm\n255 void\n",
        "0\tback ground\n1\tleft arm\n2\tright arm\n",
        "0: back ground\r1: left arm\r2: right arm",
        "0,back ground\n1, left arm\n2 ,right arm\n",
        'id,name\n0,"back ground"\n1,left arm\n2,right arm\n',
        "Index;Label\n0;back ground\n1;left arm\n2;right arm\n",
        "idx\tname\n0\t back ground\n1\tleft arm\n2\tright arm\n",
        " 02 = right arm\n 01 = left arm\n 00 = back ground\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_spellings_of_one_table(tmp_path: Path, text: str, encoding: str) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes(text.encode(encoding))
    labels = read_label_names(file, ignore_label=255)
    assert labels.names == ("back ground", "left arm", "right arm")
    assert labels.swaps == ((1, 2),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 a\nb 1\n", r", line 2: found 'b 1', expected 'id name'"),
        ("sky\n", r", line 1: found 'sky', expected 'id name', such as '0 background'"),
        ("0\n", r", line 1: found '0', expected 'id name'"),
        ("-1 plate\n", r", line 1: found '-1 plate', expected 'id name'"),
        ("1.0 a\n", r", line 1: found '1\.0 a'"),
        ("0 a\n0 b\n", r", line 2: id 0 is given twice, for 'b' and for 'a' in line 1"),
        ("0 a\n1 a\n", r", line 2: names two labels 'a', 1 and 0"),
        ("0 a\n70000 b\n", r", line 2: id 70000, expected 0 \.\. 65535"),
        ("9" * 5000 + " a", r", line 1: id 9{40}, expected"),
        ("0,sky,3\n", r", line 1: found '0,sky,3', expected 'id name', .* in two columns"),
        ("0 a\n2 b\n", r": id 1 is missing while 2 is there; expected 0, 1, 2, .* --dense"),
        ("0 a\x07b\n", r", line 1: the name 'a\\x07b' holds the character '\\x07'"),
        ("0 a\u2028b\n", r", line 1: .* holds the character '\\u2028'"),
        ('0 ""\n', r", line 1: found an empty name"),
        ("name id\n0 a\n", r", line 1: found 'name id'"),
        ("\n# nothing\n", r": holds no labels, expected lines 'id name'"),
        ("", r": holds no labels, expected"),
        ("255 void", r": names 255 alone, which is ignored"),
        (b"0 a\n1 \xfc\n", r", line 2: the byte 0xfc is not UTF-8 text, expected a file saved"),
        (b"\xff\xfe0", r", line 1: the byte 0x30 is not UTF-16 text"),
    ],
)
def test_bad_files_are_named_with_line_and_value(
    tmp_path: Path, text: str | bytes, message: str
) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=f"labels.txt{message}") as caught:
        read_label_names(file, ignore_label=255)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500 + 3 * len(str(file))


@pytest.mark.parametrize(
    ("text", "ignore", "names"),
    [
        ("0 void\n1 a\n2 b\n", 0, ("void", "a", "b")),
        ("1 a\n2 b\n", 0, ("label_0", "a", "b")),
        ("0 a\n1 b\n2 void\n", 2, ("a", "b")),
        ("0 a\n1 b\n", 255, ("a", "b")),
    ],
)
def test_the_ignored_value_may_have_a_name(tmp_path: Path, text, ignore, names) -> None:
    (tmp_path / "labels.txt").write_text(text)
    assert read_label_names(tmp_path / "labels.txt", ignore).names == names


def test_gaps_are_known_to_whoever_asks_for_them(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("13 hair\n0 rest\n")
    assert read_names(tmp_path / "labels.txt") == {0: "rest", 13: "hair"}
    assert names_text({13: "hair", 0: "rest"}) == "0 rest\n13 hair\n"


def test_a_label_set_takes_the_place_of_the_file(tmp_path: Path, recwarn) -> None:
    (tmp_path / "labels.txt").write_text("0 background\n1 hair\n255 void\n")
    assert named_labels(tmp_path, "labels", "lip20", 255).names[1] == "hat"
    said = str(recwarn.pop(UserWarning).message)
    assert said.endswith("labels.txt is not used, it names 1 hair: hat in lip20")
    (tmp_path / "labels.txt").write_text("1 hat\n255 void\n")
    assert named_labels(tmp_path, "labels", "lip20", 255).names[2] == "hair"
    assert not recwarn


def test_anything_called_labels_txt_counts(tmp_path: Path) -> None:
    """Taken for absent it would leave the labels without names, in silence."""
    (tmp_path / "labels").mkdir()
    assert named_labels(tmp_path, "labels", None, None) is None
    file = tmp_path / "labels.txt"
    file.mkdir()
    with pytest.raises(InputError, match=r"labels\.txt: is a folder, expected a file"):
        named_labels(tmp_path, "labels", None, None)
    file.rmdir()
    file.symlink_to("nowhere")
    with pytest.raises(
        InputError, match=r"labels\.txt: cannot be read \(a link to nowhere, which is not there"
    ):
        named_labels(tmp_path, "labels", None, None)


def test_a_long_file_takes_no_time_each_line(tmp_path: Path) -> None:
    lines = [f"{i % 65536} name {i}" for i in range(100_000)]
    (tmp_path / "labels.txt").write_text("\n".join(lines[:65536]))
    assert len(read_label_names(tmp_path / "labels.txt")) == 65536
    (tmp_path / "labels.txt").write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"line 65537: id 0 is given twice"):
        read_label_names(tmp_path / "labels.txt")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
def test_what_would_keep_its_reader_waiting_is_refused(tmp_path: Path, make) -> None:
    make(tmp_path / "labels.txt")
    with pytest.raises(InputError, match=r"labels\.txt: is a (pipe|device), expected a file"):
        named_labels(tmp_path, "labels", None, None)


def test_a_file_that_is_too_long_for_a_text_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "labels.txt").open("wb") as file:
        file.truncate(1 << 33)
    with pytest.raises(InputError, match="is longer than 67108864 bytes, expected a text file"):
        read_names(tmp_path / "labels.txt")
