# SPDX-License-Identifier: Apache-2.0
"""Arguments that every command reads the same way."""

import argparse
import os
import signal
from pathlib import Path

import pytest

from scam import evaluate, profile
from scam.commandline import command
from scam.commandline.command import Parser, expand_home
from scam.errors import InputError
from scam.settings import environment
from scam.storage.files import write_aside
from scam.storage.outputs import expect_outputs, expect_writable


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", ""], "^--out '': expected a value$"),
        (["--out="], "^--out '': expected a value$"),
        (["a", ""], "^'': expected a value$"),
        ([""], "^'': expected a value$"),
    ],
)
def test_nothing_is_no_value(words: list[str], message: str) -> None:
    parser = Parser("prog", "", "")
    parser.add_argument("--out")
    parser.add_argument("names", nargs="*")
    with pytest.raises(InputError, match=message):
        parser.parse_args(words)


def test_usage_of_many_flags_lists_what_is_required() -> None:
    parser = Parser("prog", "", "")
    parser.add_argument("checkpoint")
    parser.add_argument("--out", required=True)
    assert parser.format_usage() == "usage: prog [-h] --out OUT checkpoint\n"
    for number in range(12):
        parser.add_argument(f"--flag-{number}")
    assert parser.format_usage() == "usage: prog --out OUT [flags] checkpoint\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rezume"], "unrecognized arguments: --rezume; did you mean --resume? (see"),
        (
            ["--resum"],
            "unrecognized arguments: --resum; did you mean --resume? (see",
        ),  # no short forms
        (["--no-resumee"], "unrecognized arguments: --no-resumee; did you mean --no-resume? (see"),
        (["--owt=a"], "unrecognized arguments: --owt; did you mean --out? (see"),
        (["--magic", "3"], "unrecognized arguments: --magic (see"),
        (
            ["--parser", "a:b"],
            "unrecognized arguments: --parser; python -m scam.data label PHOTOS --parser "
            "MODULE:FUNCTION makes label maps (see",
        ),
    ],
)
def test_mistyped_flags(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They are named even where an argument that is needed is missing."""
    parser = Parser("prog", "", "")
    parser.add_argument("--out", required=True)
    parser.add_argument("--resume", action=argparse.BooleanOptionalAction)
    with pytest.raises(SystemExit):
        parser.parse_args(words)
    assert capsys.readouterr().err == f"prog: error: {said} --help)\n"
    assert parser.parse_args(["--out=x", "--resume"]).resume


def test_a_folder_without_its_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser("prog", "", "")
    parser.add_argument("--data")
    for word, mend in ((str(tmp_path), f"; did you mean --data {tmp_path}?"), ("photos", "")):
        with pytest.raises(SystemExit):
            parser.parse_args([word])
        said = f"unrecognized arguments: {word}{mend}"
        assert capsys.readouterr().err == f"prog: error: {said} (see --help)\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--fit", "sqash"],
            "--fit sqash: expected one of squash, crop; did you mean squash?",
        ),
        (["--fit", "x"], "--fit x: expected one of squash, crop"),
        (["Chek"], "Chek: expected one of check, prepare; did you mean check?"),
    ],
)
def test_mistyped_choices(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Alike on every Python: argparse's own words differ."""
    parser = Parser("prog", "", "")
    parser.add_argument("--fit", choices=("squash", "crop"))
    parser.add_argument("command", choices={"check": 1, "prepare": 2})
    with pytest.raises(SystemExit):
        parser.parse_args(words)
    assert capsys.readouterr().err == f"prog: error: {said} (see --help)\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--steps", "1e3"], "--steps 1e3: expected an integer"),
        (["--size", "96", "x"], "--size x: expected an integer"),
        (["--lr", "fast"], "--lr fast: expected a number"),
        (["x"], "x: expected an integer"),
    ],
)
def test_what_is_no_number(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = Parser("prog", "", "")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--size", type=int, nargs=2)
    parser.add_argument("--lr", type=float)
    parser.add_argument("count", type=int, nargs="?")
    with pytest.raises(SystemExit) as end:
        parser.parse_args(words)
    assert end.value.code == 2
    assert capsys.readouterr().err == f"prog: error: {said} (see --help)\n"


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        ("~", "/home/me"),
        ("~/a", "/home/me/a"),
        ("--out=~/a", "--out=/home/me/a"),
        ("hair=~/a.png:0.7", "hair=/home/me/a.png:0.7"),
        ("~/a.png,~/b.png", "/home/me/a.png,/home/me/b.png"),
        ("~nobody-of-that-name/a", "~nobody-of-that-name/a"),
        ("~backup.png", "~backup.png"),
        ("a~", "a~"),
        ("a/~/b", "a/~/b"),
    ],
)
def test_home(word: str, expanded: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert expand_home(word) == expanded


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        (command, [flag, number])
        for command, names in ((evaluate, ("--seed", "--batch-size", "--max-pictures")),
                               (profile, ("--steps", "--batch-size", "--depth")))
        for flag in names
        for number in ("-1", str(2**31), str(2**63), "9" * 5000, "nan", "1e400")
    ],
)  # fmt: skip
def test_numbers_out_of_range(
    command: object, flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["nowhere", *flags] if command is evaluate else flags
    with pytest.raises(SystemExit) as end:
        command.run(lambda _: command.main(words), "prog")  # type: ignore[attr-defined]
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert len(said) < 2000
    assert flags[0] in said


@pytest.mark.parametrize(("name", "value"), [("SCAM_CPU_ISA", "sse\n"), ("SCAM_CHECK", "yes")])
def test_variables_are_checked_before_work(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    for variable in (environment.check, environment.cpu_isa):
        variable.cache_clear()
    done: list[object] = []
    try:
        with pytest.raises(SystemExit) as end:
            command.run(done.append, "prog")
    finally:
        for variable in (environment.check, environment.cpu_isa):
            variable.cache_clear()
    assert end.value.code == 2
    assert not done
    said = capsys.readouterr().err
    assert said.startswith(f"prog: error: environment variable {name}=")
    assert said.count("\n") == 1


def test_an_os_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        command.run(lambda _: os.listdir("/no/such\nfolder"), "prog")  # type: ignore[arg-type]
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said == "prog: error: /no/such\\nfolder: No such file or directory\n"


def test_the_longest_names_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 251 + ".png")
    expect_writable(path)
    with write_aside(path) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole"
    for name, reason in (("é" * 128, "its name has 256 bytes"), ("a\0b", "holds a NUL")):
        with pytest.raises(InputError, match=reason):
            expect_writable(tmp_path / name)
        with pytest.raises(InputError), write_aside(tmp_path / "new" / name):
            pass
        assert os.listdir(tmp_path) == [path.name]


def test_devices_and_pipes_are_no_files(tmp_path: Path) -> None:
    pipe, device = tmp_path / "pipe.png", tmp_path / "device.png"
    os.mkfifo(pipe)
    device.symlink_to("/dev/full")
    for path in (pipe, device):
        with pytest.raises(InputError, match="is a device or pipe, expected a file"):
            expect_outputs([("out", path, path)], overwrite=True)


def test_an_instruction_set_that_the_cpu_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        environment, "cpu_flags", lambda: frozenset({"sse2", "avx2", "fma", "avx512f"})
    )
    try:
        for isa, lacks in (("plain", None), ("avx2", None), ("avx512", "avx512bw, avx512dq")):
            monkeypatch.setenv("SCAM_CPU_ISA", isa)
            environment.cpu_isa.cache_clear()
            if lacks is None:
                assert environment.cpu_isa() == isa
            else:
                with pytest.raises(InputError, match=f"'avx512': this CPU lacks {lacks}"):
                    environment.expect_valid()
    finally:
        environment.cpu_isa.cache_clear()


def test_a_variable_behind_a_path_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/proc/no")
    with pytest.raises(SystemExit):
        command.run(lambda _: os.makedirs("/proc/no"), "prog")
    said = capsys.readouterr().err
    assert (
        said
        == "prog: error: /proc/no: No such file or directory (from $TORCHINDUCTOR_CACHE_DIR)\n"
    )


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_nothing_half_written(
    number: int, status: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(_: object) -> None:
        with write_aside(tmp_path / "new" / "a") as file:
            file.write(b"half")
            try:
                signal.raise_signal(number)
            except Exception as error:  # as libraries do
                raise AssertionError from error

    # Whoever started the tests may have had them ignore one: a shell does so in the background.
    handlers = {signal.SIGTERM: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {which: signal.signal(which, handler) for which, handler in handlers.items()}
    try:
        with pytest.raises(SystemExit) as end:
            command.run(main, "prog")
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)
    assert end.value.code == status
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())
