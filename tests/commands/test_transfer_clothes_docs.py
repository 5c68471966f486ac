# SPDX-License-Identifier: Apache-2.0
"""What docs/transfer_clothes.md shows is run, with fewer and smaller pictures and steps."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from scam import train, transfer
from scam.data.__main__ import main as data

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "transfer_clothes.md").read_text()
COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "scam.data": data,
    "scam.train": train.main,
    "scam.transfer": transfer.main,
}
SMALLER = ["--size", "32", "32", "--batch-size", "2", "--steps", "2", "--workers", "0"]


def code(language: str) -> str:
    return "\n".join(re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL))


def test_the_tutorial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert '"train", 200' in code("python")
    exec(compile(code("python").replace("200", "12"), "transfer_clothes.md", "exec"), {})
    lines = code("sh").replace("\\\n", " ").splitlines()
    commands = [shlex.split(line)[2:] for line in lines if line]
    assert {words[0] for words in commands} == COMMANDS.keys()
    for name, *words in commands:
        COMMANDS[name]([*words, *(SMALLER if name == "scam.train" else [])])
    assert Path("clothes_sheet.png").is_file()
    assert Image.open("pasted.png").size == Image.open("people/images/p7.jpg").size
    assert len(list(Path("dressed").glob("*.png"))) == 12
    told = capsys.readouterr().out
    assert "dressed: 12 images" in told
    assert re.search(r"^  --donor clothes,skin=p2: .* in \d+", told, flags=re.MULTILINE)
