# SPDX-License-Identifier: Apache-2.0
"""What README.md shows is run as it stands there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from scam import compare, evaluate, profile, train, transfer
from scam.semia.commands import apply as semia_apply
from scam.semia.commands import train as semia_train

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def code(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture(scope="module")
def after_make_train(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the main command has run, for one step."""
    folder = tmp_path_factory.mktemp("readme")
    train.main(["--steps", "1", "--batch-size", "2", "--out", str(folder / "runs" / "mannequins")])
    return folder


@pytest.mark.parametrize("block", code("python"))
def test_python(block: str, after_make_train: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(after_make_train)
    names: dict[str, object] = {}
    exec(compile(block, "README.md", "exec"), names)


def test_transfer_command(after_make_train: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(after_make_train)
    command = next(block for block in code("sh") if "scam.transfer" in block)
    transfer.main(shlex.split(command.replace("\\\n", " "))[3:])
    assert Path("transfer.png").is_file()
    assert Path("transfer_sheet.png").is_file()


def test_every_flag_exists(capsys: pytest.CaptureFixture[str]) -> None:
    known = ""
    for command in (train, transfer, evaluate, profile, compare, semia_train, semia_apply):
        with pytest.raises(SystemExit):
            command.main(["--help"])
        known += capsys.readouterr().out
    known += " --benchmark-only --no-build-isolation"  # pytest-benchmark's, pip's
    for flag in set(re.findall(r"--[a-z][a-z-]+", README)):
        assert re.search(rf"{flag}\b", known), flag


def test_an_example_comes_early_and_every_picture_exists() -> None:
    assert "```python" in "\n".join(README.splitlines()[:30])
    for path in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / path).is_file(), path


def test_the_figures_can_be_made(after_make_train: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "docs" / "figures.py"), "runs/mannequins"]
    size = ["--size", "48", "64", "--out", str(tmp_path)]
    subprocess.run([*command, *size], check=True, cwd=after_make_train)
    made = {f"{name}.png" for name in ("mannequins", "attention", "paste", "semia")}
    assert {path.name for path in tmp_path.iterdir()} == made
