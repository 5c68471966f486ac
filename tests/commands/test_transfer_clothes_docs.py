# SPDX-License-Identifier: Apache-2.0
"""What docs/transfer_clothes.md shows is run, with fewer and smaller pictures and steps."""

import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scam import train, transfer
from scam.data import find_label_set
from scam.data.__main__ import main as data

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "transfer_clothes.md").read_text()
COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "data": data,
    "train": train.main,
    "transfer": transfer.main,
}
SMALLER = ["--size", "32", "32", "--batch-size", "2", "--steps", "2", "--workers", "0"]
NAMES = {
    "Background": "background", "Hat": "hat", "Hair": "hair", "Sunglasses": "sunglasses",
    "Upper-clothes": "upper_clothes", "Skirt": "skirt", "Pants": "pants", "Dress": "dress",
    "Belt": "upper_clothes", "Left-shoe": "left_shoe", "Right-shoe": "right_shoe", "Face": "face",
    "Left-leg": "left_leg", "Right-leg": "right_leg", "Left-arm": "left_arm",
    "Right-arm": "right_arm", "Bag": "background", "Scarf": "scarf",
}  # fmt: skip
"""What the published weights call their labels, and LIP's label for each."""
TOY = "def label_map(photo):\n    return photo[..., 0] // 32\n"


def code(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_tutorial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    figures = next(text for text in code("python") if '"train", 200' in text)
    exec(compile(figures.replace("200", "12"), "transfer_clothes.md", "exec"), {})
    (tmp_path / "clothes_parser.py").write_text(
        "def label_map(photo):\n    return photo[..., 0] // 32\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    lines = "".join(code("sh")).replace("\\\n", " ").splitlines()
    commands = [shlex.split(line)[1:] for line in lines if line]
    assert {words[0] for words in commands} == COMMANDS.keys()
    for name, *words in commands:
        COMMANDS[name]([*words, *(SMALLER if name == "train" else [])])
    assert Path("clothes_sheet.png").is_file()
    assert Image.open("pasted.png").size == Image.open("people/images/p7.jpg").size
    assert len(list(Path("dressed").glob("*.png"))) == 12
    told = capsys.readouterr().out
    assert "dressed: 12 images" in told
    assert re.search(r"^  --donor clothes,skin=p2 \(.*\): .* in \d+", told, flags=re.MULTILINE)


def test_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real package, with random weights and the names of those that it would download."""
    transformers = pytest.importorskip("transformers")
    network = transformers.SegformerForSemanticSegmentation
    made = network(transformers.SegformerConfig(id2label=dict(enumerate(NAMES))))
    monkeypatch.setattr(network, "from_pretrained", lambda _: made)
    processor = transformers.SegformerImageProcessor
    monkeypatch.setattr(processor, "from_pretrained", lambda _: processor())
    found: dict[str, Any] = {}
    text = next(text for text in code("python") if "transformers" in text)
    exec(compile(text, "transfer_clothes.md", "exec"), found)
    lip = find_label_set("lip20").names
    assert [lip[label] for label in found["to_lip"]] == list(NAMES.values())
    photo = np.random.default_rng(0).integers(0, 256, (60, 41, 3)).astype(np.uint8)
    labels = found["label_map"](photo)
    assert labels.shape == (60, 41)
    assert {lip[label] for label in np.unique(labels)} <= {*NAMES.values()}
