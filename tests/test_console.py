# SPDX-License-Identifier: Apache-2.0
"""A command goes on whatever becomes of stdout and stderr, and its status tells."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import pytest
from tqdm import tqdm

from scam.commandline import command
from scam.commandline.console import Degrading, say
from scam.commandline.start import open_descriptors
from scam.errors import InputError
from scam.training.log import Progress

WORDS = "2.5 \N{UPWARDS ARROW} Zo\xeb \U0001f600 \udcff"


def status_of(main: object) -> int:
    def called(argv: Sequence[str] | None) -> None:
        assert callable(main)
        main()

    with pytest.raises(SystemExit) as end:
        command.run(called, "prog")
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("ascii", r"2.5 ^ Zo\xeb \U0001f600 \udcff"),
        ("latin-1", "2.5 ^ Zo\xeb \\U0001f600 \\udcff"),
        ("cp1252", "2.5 ^ Zo\xeb \\U0001f600 \\udcff"),
        ("cp437", "2.5 ^ Zo\xeb \\U0001f600 \\udcff"),
        ("utf-8", "2.5 \N{UPWARDS ARROW} Zo\xeb \U0001f600 \\udcff"),
        ("utf-16", "2.5 \N{UPWARDS ARROW} Zo\xeb \U0001f600 \\udcff"),
    ],
)
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_every_encoding(
    name: str, encoding: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding=encoding, errors="strict", newline="\n")
    monkeypatch.setattr(sys, name, stream)
    assert status_of(lambda: print(WORDS, file=getattr(sys, name))) == 0
    assert buffer.getvalue().decode(encoding) == f"{told}\n"


def test_stdout_gets_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(lambda: say("a\x1b[2Jb\nc", "d\u2028e")) == 0
    assert capsys.readouterr().out == "a\\x1b[2Jb\\nc\nd\\u2028e\n"
    assert status_of(lambda: print("a\x1b[2J\nb\u202e")) == 0
    assert capsys.readouterr().out == "a\\x1b[2J\nb\\u202e\n"


class Failing(io.StringIO):
    """Fails as a full disk or a pipe that nobody reads does, at ``write`` or later."""

    def __init__(self, error: Exception, at: str) -> None:
        super().__init__()
        self.error, self.at = error, at

    def write(self, text: str) -> int:
        if self.at == "write":
            raise self.error
        return len(text)

    def flush(self) -> None:
        raise self.error


ERRORS = {
    "full": (OSError(28, "No space left on device"), 2),
    "terminal gone": (OSError(5, "Input/output error"), 2),
    "nobody reads": (BrokenPipeError(32, "Broken pipe"), 141),
    "closed": (ValueError("I/O operation on closed file."), 2),
}


@pytest.mark.parametrize("at", ["write", "flush"])
@pytest.mark.parametrize("kind", ERRORS)
def test_work_goes_on_and_the_status_tells(
    kind: str, at: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error, status = ERRORS[kind]
    done = []

    def work() -> None:
        for number in range(3):
            print("line", number, flush=True)
            done.append(number)

    monkeypatch.setattr(sys, "stdout", Failing(error, at))
    assert status_of(work) == status
    assert done == [0, 1, 2]
    said = capsys.readouterr().err
    assert ("prog: error: stdout: cannot be written" in said) == (status == 2)


@pytest.mark.parametrize("at", ["write", "flush"])
@pytest.mark.parametrize("kind", ERRORS)
def test_progress_goes_on_without_a_reader(
    kind: str, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work() -> None:
        with Progress(2, interval=0.0) as progress, tqdm(total=2) as bar:
            for step in (1, 2):
                progress.update(step, {"l1": 1.0})
                progress.say("words")
                bar.update()

    monkeypatch.setattr(sys, "stderr", Failing(ERRORS[kind][0], at))
    assert status_of(work) == 0


def test_errors_without_a_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise InputError("--out: no")

    for stream in (None, Failing(ERRORS["full"][0], "write")):
        monkeypatch.setattr(sys, "stderr", stream)
        assert status_of(fail) == 2


def test_a_stdout_that_was_closed_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert status_of(lambda: None) == 0  # had nothing to say
    assert status_of(lambda: print("result")) == 2
    assert capsys.readouterr().err == "prog: error: stdout: cannot be written: is closed\n"


@pytest.fixture
def closed_stderr() -> Iterator[None]:
    kept = os.dup(2)
    os.close(2)
    yield
    os.dup2(kept, 2)
    os.close(kept)


@pytest.mark.usefixtures("closed_stderr")
def test_no_file_becomes_stderr(tmp_path: Path) -> None:
    open_descriptors()
    with (tmp_path / "weights").open("wb") as file:
        assert file.fileno() > 2


@pytest.mark.parametrize(
    ("redirections", "status"),
    [(">/dev/full", 2), (">&-", 2), (">&- 2>&-", 2), ("2>/dev/full >/dev/null", 0),
     ("2>&- >/dev/null", 0), ("| true", 141), (">/dev/null", 0)],
)  # fmt: skip
def test_a_whole_command(redirections: str, status: int) -> None:
    command = f"set -o pipefail; {sys.executable} -m scam.data --help {redirections}"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert result.returncode == status
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr


def test_a_stream_is_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    stream: TextIO = sys.stdout
    degrading = Degrading(stream)
    assert degrading.encoding == stream.encoding
    assert not degrading.isatty()
    with suppress(io.UnsupportedOperation):
        assert degrading.fileno() == stream.fileno()
