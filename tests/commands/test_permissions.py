# SPDX-License-Identifier: Apache-2.0
"""What another user may not read or write is one line, before the work."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import scam
from scam import attention, evaluate, export, styles, train, transfer
from scam.commandline.command import run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that everybody may enter, as pytest's are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for below in folder.rglob("*"):
        if below.is_dir():
            below.chmod(0o755)
    shutil.rmtree(folder)


def as_nobody(command: Any, words: list[str]) -> tuple[int, str]:
    """Status and stderr of a command run by a user without rights."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        with os.fdopen(write, "w") as sys.stderr:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            try:
                run(lambda _: command.main(words), "prog")
            except SystemExit as end:
                status = end.code
            except BaseException as error:
                print(repr(error), file=sys.stderr)
                status = 99
        os._exit(status if isinstance(status, int) else 98)
    os.close(write)
    with os.fdopen(read) as file:
        said = file.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


FILES = "--subject p/images/p0.png --background p/images/p1.png"
CASES = {
    "a run below": (train, "--data p --out shut/a/b"),
    "a result below": (transfer, f"run {FILES} --out shut/a/o.png"),
    "a sheet below": (transfer, f"run {FILES} --out o.png --sheet shut/o.png"),
    "results below": (transfer, "run --subject p0 --background p --out shut/d"),
    "a drawing": (attention, "run --picture p0 --out shut/o.png"),
    "programs": (export, "run --out shut/e"),
    "an evaluation": (evaluate, "run --out shut/e"),
    "checkpoints": (transfer, f"shut_run {FILES} --out o.png"),
    "a run": (styles, "list shut/run"),
    "a library": (styles, "list run --library shut"),
    "a style": (transfer, "run --background p0 --donor hair=lib:a --library shut --out o.png"),
    "a new style": (styles, "add run --picture p0 --library shut"),
    "a resumed run": (train, "--resume --out shut/run"),
    "a step folder": (evaluate, "shut_step --out e"),
    "weights": (evaluate, "shut_weights --out e"),
    "weights of a step": (evaluate, "shut_weights/checkpoints/step_0000002 --out e"),
}


class Load:
    """``scam.load``, which raises InputError where Python would raise OSError."""

    @staticmethod
    def main(words: list[str]) -> None:
        try:
            scam.load(words[0])
        except OSError as error:
            raise AssertionError("expected InputError") from error


CASES |= {
    f"load {path}": (Load, path)
    for path in ("shut/run", "shut_run", "shut_step", "shut_step/checkpoints/step_0000002")
}


@pytest.mark.parametrize("case", CASES)
def test_one_line(
    case: str, trained: tuple[Path, Path], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, line = CASES[case]
    monkeypatch.chdir(place)
    if not (place / "p").exists():
        shutil.copytree(trained[0], "p")
        shutil.copytree(trained[1], "run")
        for name in ("shut_run", "shut_step", "shut_weights"):
            shutil.copytree(trained[1], name)
        config = (place / "run" / "config.json").read_text()
        (place / "run" / "config.json").write_text(config.replace(str(trained[0]), "p"))
        Path("shut_run/checkpoints").chmod(0)
        Path("shut_step/checkpoints/step_0000002").chmod(0)
        Path("shut_weights/checkpoints/step_0000002/model.safetensors").chmod(0)
        Path("shut").mkdir()
        Path("shut").chmod(0)
    status, said = as_nobody(command, line.split())
    assert status == 2, said
    assert said.count("\n") == 1
    assert "Permission denied" in said
