# SPDX-License-Identifier: Apache-2.0
"""An error is one line that any terminal shows, whatever the user gave."""

import pickle

import pytest

from scam.commandline.command import Parser
from scam.errors import InputError, did_you_mean, leading, one_line, percent, shown

UNPRINTABLE = {
    "a\nb": r"a\nb",
    "a\r\nb\tc\x00": r"a\r\nb\tc\x00",
    "\x1b[2Jgone\x7f": r"\x1b[2Jgone\x7f",
    "a\x85b\u2028c\u2029d\x0be\x0cf\x1cg": r"a\x85b\u2028c\u2029d\x0be\x0cf\x1cg",
    "gnp.\u202exe": r"gnp.\u202exe",
    "\udcff\ud800": r"\udcff\ud800",
    "C:\\new": "C:\\new",
    "Zoë 写真 \N{GRINNING FACE}": "Zoë 写真 \N{GRINNING FACE}",
}


@pytest.mark.parametrize(("given", "told"), UNPRINTABLE.items())
def test_messages_are_one_printable_line(given: str, told: str) -> None:
    error = InputError(f"--out {given}: expected another")
    assert str(error) == f"--out {told}: expected another"
    assert str(error).isprintable()
    assert str(InputError(f"x: {error}")) == f"x: {error}"  # told again, escaped once
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("given", ["9" * 5000, "n" * 10_000, "a b " * 5000, "\0" * 10_000])
def test_long_values_lose_their_middle(given: str) -> None:
    told = str(InputError(f"--name {given}: expected a shorter one"))
    assert len(told) < 4100
    assert told.startswith("--name ")
    assert told.endswith(": expected a shorter one")
    assert "characters" in told
    assert one_line(told) == told


def test_a_long_path_stays_whole() -> None:
    path = "/".join(["folder"] * 60)
    assert one_line(path) == path


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (10**4000, str(10**4000)),
        (10**5000, "a number of 5001 digits or so"),
        (-(10**5000), "a number of 5001 digits or so"),
        ([10**5000], "a list that cannot be written"),
    ],
    ids=["written", "too long", "negative", "in a list"],
)
def test_numbers_that_python_does_not_write(value: object, told: str) -> None:
    assert shown(value) == told


def test_a_value_that_both_name_is_said_once() -> None:
    with pytest.raises(InputError, match=r"^out='a\\nb': is a folder$"), leading("out", "a\nb"):
        raise InputError("a\nb: is a folder")


def test_braces_in_names_are_letters() -> None:
    assert str(InputError("a_{:d}/{out}/{}.png: is gone")) == "a_{:d}/{out}/{}.png: is gone"
    found = InputError("{out}/{:d}: is a folder, not {:data}").led_by("out", "a").within("{out}")
    assert str(found) == "{out}: out='a': {out}/{:d}: is a folder, not data"
    assert str(found.led_by("data", "b")) == str(found)


@pytest.mark.parametrize("given", UNPRINTABLE)
def test_arguments_too(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        Parser("scam", "", "").parse_args([given])
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert told.endswith("\n")
    assert told.rstrip("\n").isprintable()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("uper-clothes", "; did you mean upper_clothes?"),
        ("Hair", "; did you mean hair?"),
        ("tail", ""),
        ("", ""),
        (None, ""),
        ("u" * 10_000, ""),
    ],
)
def test_the_nearest_name(given: object, said: str) -> None:
    assert did_you_mean(given, iter(["background", "hair", "upper_clothes", "coat"])) == said


def test_percentages_have_no_exponent() -> None:
    shares = [percent(part, 10_000_000) for part in (0, 1, 31_000, 994_000, 9_960_000, 10_000_000)]
    assert shares == ["0 %", "under 0.001 %", "0.31 %", "9.9 %", "100 %", "100 %"]
