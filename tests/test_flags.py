# SPDX-License-Identifier: Apache-2.0
"""Flags from a dataclass of settings, their help, and what was typed sorted back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from scam.commandline.command import Parser, in_flags
from scam.commandline.flags import add_flags, given
from scam.errors import InputError, spelled
from scam.settings.fields import Checked, like, setting


@dataclass(frozen=True)
class Oven(Checked):
    title: ClassVar[str] = "oven"
    heading: ClassVar[str] = "heat"

    degrees: int = setting(180, "of the air", least=30, most=300)
    minutes: float = setting(0.5, metavar="M", default_help="default: half of one")
    fan: bool = setting(True, "air moves")
    mode: Literal["top", "bottom"] = setting("top", "where it comes from")
    tray: tuple[int, int] = setting((3, 4), "its size", metavar=("H", "W"), heading="room")
    cakes: tuple[str, ...] = setting(("plain",), "on it", metavar="NAME,...", heading="room")
    guests: tuple[str, ...] = setting((), "who eat", metavar="WHO", heading="room")
    recipe: str | Path | None = setting(None, "to follow", metavar="FILE", heading="room")
    log: Path | None = setting(None, "where it is written", heading="room")
    serial: int = setting(7, flag=False)


@dataclass(frozen=True)
class Kitchen(Checked):
    degrees_inside: int | None = like(Oven, "degrees", default=None, help="of the room")


def parser() -> Parser:
    made = Parser("bake", "Bake.", "  bake")
    add_flags(made, Oven, {"bread": {"degrees": 220, "tray": (1, 2)}})
    add_flags(made, Kitchen)
    return made


def test_what_is_typed_becomes_settings_and_nothing_else_is_given() -> None:
    typed = (
        "--degrees 200 --minutes 1.5 --no-fan --mode bottom --tray 1 2 --cakes a,b --guests x y "
        "--recipe r.txt --log l.txt --degrees-inside 40"
    )
    values = vars(parser().parse_args(typed.split()))
    oven = Oven(**given(values, Oven))
    assert oven == Oven(
        200, 1.5, False, "bottom", (1, 2), ("a", "b"), ("x", "y"), "r.txt", Path("l.txt")
    )
    assert given(values, Kitchen) == {"degrees_inside": 40}
    assert given(vars(parser().parse_args([])), Oven) == {}


def test_help_tells_defaults_and_what_presets_make_of_them() -> None:
    text = " ".join(parser().format_help().split())
    for words in (
        "heat: --degrees DEGREES of the air (bread: 220, others: 180)",
        "--minutes M default: half of one",
        "--fan, --no-fan air moves (default: on)",
        "--mode {top,bottom} where it comes from (default: top)",
        "room: --tray H W its size (bread: 1 2, others: 3 4)",
        "--cakes NAME,... on it (default: plain)",
        "--recipe FILE to follow",
        "options: -h, --help show this help message and exit --degrees-inside DEGREES_INSIDE of",
    ):
        assert words in text
    assert "serial" not in text


@in_flags
def bake(argv: Sequence[str] | None) -> None:
    Oven(**given(vars(parser().parse_args(argv)), Oven))


def test_a_command_names_flags_and_python_arguments() -> None:
    for typed, flags in (
        ("--degrees 10", "--degrees 10: expected at least 30 and at most 300"),
        ("--mode low", "--mode low: expected top or bottom"),
    ):
        with pytest.raises(InputError) as caught:
            bake(typed.split())
        assert str(caught.value) == flags
    with pytest.raises(InputError, match=r"^mode='low': expected top or bottom$"):
        Oven(mode="low")  # type: ignore[arg-type]
    with pytest.raises(SystemExit):
        bake(["--tray", "1", "x"])


def test_what_is_stored_keeps_the_names_of_fields() -> None:
    assert Oven.from_dict(Oven(tray=(5, 6)).as_dict()) == Oven(tray=(5, 6))
    assert Oven().as_dict()["tray"] == [3, 4]
    with pytest.raises(InputError, match=r"^oven: fan='yes': expected true or false$") as caught:
        Oven.from_dict({"fan": "yes"})
    assert (caught.value.argument, caught.value.value) == ("fan", "yes")
    with pytest.raises(InputError, match=r"^oven: 'hob' is not one of degrees, minutes"):
        Oven.from_dict({"hob": 1})


def test_a_mention_is_never_taken_from_a_value() -> None:
    error = InputError("{one}: expected {two}, or another {:one}", one="{two}", two=2)
    assert str(error) == "one='{two}': expected two=2, or another one"
    assert str(error.within("place")) == f"place: {error}"
    error.spell(lambda name, value: f"<{name} {value}>")
    assert str(error) == "<one {two}>: expected <two 2>, or another <one NAMED>"


def test_what_is_said_names_arguments_as_the_reader_types_them() -> None:
    def main(argv: Sequence[str] | None) -> None:
        parser = Parser("prog", "", "")
        parser.add_argument("--low", dest="degrees")
        parser.parse_args(argv)
        said.append(spelled("{degrees}, or another {:degrees}", degrees=20))

    said: list[str] = []
    main([])
    in_flags(main)([])
    main([])
    python = "degrees=20, or another degrees"
    assert said == [python, "--low 20, or another --low", python]
