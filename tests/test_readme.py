# SPDX-License-Identifier: Apache-2.0
"""What README.md shows is run as it stands there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import scam
from scam import compare, evaluate, profile, train, transfer
from scam.data import Mannequins, save_label_png
from scam.data.commands import label
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


def commands() -> list[str]:
    """Lines of the README's shell blocks that begin with ``scam``."""
    lines = "".join(code("sh")).replace("\\\n", " ").splitlines()
    return [line.partition("#")[0].strip() for line in lines if line.startswith("scam ")]


LESS = {
    "scam train": "--steps 1 --batch-size 2 --warmup 0",
    "scam train --resume": "--steps 2",
    "scam evaluate": "--metrics psnr --max-pictures 2 --out measured",
    "scam profile": "--batch-size 1 --steps 1",
}
"""What makes a command short; the longest beginning counts."""
ELSEWHERE = {
    "scam studio": "tests/studio_page",
    "scam compare": "tests/commands/test_compare.py",
    "scam semia apply": "tests/semia/test_semia_commands.py",
}


def test_commands_in_their_order(tmp_path: Path) -> None:
    write_photographs(tmp_path / "photos", 10)
    for command in commands():
        if any(command.startswith(other) for other in ELSEWHERE):
            continue
        less = max((x for x in LESS if command.startswith(x)), key=len, default="")
        words = shlex.split(f"{command} {LESS.get(less, '')}")[1:]
        done = subprocess.run(
            [sys.executable, "-m", "scam", *words], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
    made = ["transfer.png", "transfer_sheet.png", "runs/photos/samples/step_0000002.png"]
    for file in [*made, "runs/lake/targets"]:
        assert (tmp_path / file).exists(), file


def write_photographs(folder: Path, count: int) -> None:
    """Drawn people as files, as the README says that photographs should be."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for index in range(count):
        image, labels = Mannequins("train").load(index, (96, 64))
        scam.save_picture(image, folder / "images" / f"{index}.jpg")
        save_label_png(folder / "labels" / f"{index}.png", labels)


def test_every_flag_exists(capsys: pytest.CaptureFixture[str]) -> None:
    known = ""
    every = (train, transfer, evaluate, profile, compare, semia_train, semia_apply, label)
    for command in every:
        with pytest.raises(SystemExit):
            command.main(["--help"])
        known += capsys.readouterr().out
    known += " --benchmark-only --no-build-isolation"  # pytest-benchmark's, pip's
    for flag in set(re.findall(r"--[a-z][a-z-]+", README)):
        assert re.search(rf"{flag}\b", known), flag


def test_every_picture_exists() -> None:
    for path in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / path).is_file(), path


def test_the_figures_can_be_made(after_make_train: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "docs" / "figures.py"), "runs/mannequins"]
    less = ["--size", "48", "64", "--refine", "1", "--out", str(tmp_path)]
    subprocess.run([*command, *less], check=True, cwd=after_make_train)
    made = {f"{name}.png" for name in ("mannequins", "attention", "paste", "semia")}
    assert {path.name for path in tmp_path.iterdir()} == made


def test_the_demo_can_be_made(after_make_train: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "docs" / "demo.py"), "runs/mannequins"]
    subprocess.run([*command, "--out", str(tmp_path / "demo")], check=True, cwd=after_make_train)
    card = (tmp_path / "demo" / "README.md").read_text()
    assert "scam.train --amp --fused-sca --steps 1 " in card
