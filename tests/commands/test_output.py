# SPDX-License-Identifier: Apache-2.0
"""Streams that are full, closed or of few characters cost a command no work."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import scam
from scam import evaluate, styles, train
from scam.commandline import command

Fast = Callable[..., list[str]]


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def leave(main: Callable[[list[str]], None], arguments: list[str]) -> object:
    with pytest.raises(SystemExit) as end:
        command.run(lambda _: main(arguments), "prog")
    return end.value.code


@pytest.mark.parametrize("stream", [Full(), None])
def test_training_saves_without_a_reader(
    stream: Full | None, photos: Path, tmp_path: Path, fast: Fast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    out = tmp_path / "run"
    assert leave(train.main, fast("--data", photos, "--out", out)) == 2
    assert (out / "checkpoints" / "step_0000002").is_dir()
    assert scam.load(out) is not None


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437"])
def test_an_evaluation_in_few_characters(
    encoding: str, trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    stream = io.TextIOWrapper(buffer, encoding=encoding, errors="strict")
    monkeypatch.setattr(sys, "stdout", stream)
    out = tmp_path / "\u2191 out"
    arguments = [str(trained[1]), "--out", str(out), "--metrics", "psnr", "--workers", "0"]
    assert leave(evaluate.main, arguments) == 0
    said = buffer.getvalue().decode(encoding)
    assert "dB ^" in said
    assert "sheet: " in said
    assert (out / "report.json").is_file()


def test_a_name_with_a_line_break_is_one_line(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = trained
    library = tmp_path / "a\nb\u2028c\x1b[2J"
    picture = str(data / "images" / "p0.png")
    styles.main(["add", str(run), "--picture", picture, "--library", str(library)])
    styles.main(["list", str(run), "--library", str(library)])
    said = capsys.readouterr().out
    assert said.count("\n") == 3
    assert r"a\nb\u2028c\x1b[2J/p0.safetensors" in said
    assert "\x1b" not in said
