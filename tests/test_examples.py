# SPDX-License-Identifier: Apache-2.0
"""examples/ runs, smaller than it stands there."""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from scam.data import Mannequins
from scam.models import Scam, ScamConfig

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PAGES = (EXAMPLES / "README.md").read_text()


def test_every_example_is_named() -> None:
    files = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".ipynb")}
    assert files == set(re.findall(r"\[(\w+\.(?:py|ipynb))\]", PAGES))
    for path in EXAMPLES.glob("*.py"):
        assert path.read_text().count("\n") < 120


def test_the_small_network_learns(capsys: pytest.CaptureFixture[str]) -> None:
    example = runpy.run_path(str(EXAMPLES / "label_unet.py"))
    net, losses = example["train"](10)
    assert losses[-1] < 0.9 * losses[0]
    example["measure"](net)
    assert "held out, with its own label map: 0." in capsys.readouterr().out


def test_own_photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [tmp_path / "work", "--pictures", 12, "--steps", 1]
    monkeypatch.setattr(sys, "argv", ["own_photographs.py", *map(str, words)])
    runpy.run_path(str(EXAMPLES / "own_photographs.py"), run_name="__main__")
    with Image.open(tmp_path / "work" / "transfer.png") as picture:
        assert picture.size == (64, 96)
    assert (tmp_path / "work" / "sheet.png").is_file()
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(EXAMPLES / "own_photographs.py"), run_name="__main__")
    assert left.value.code == 2


def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path) -> None:
    """Its cells are plain Python: no kernel is needed to run them."""
    people = Mannequins("val")
    size = {"width": 16, "levels": 4, "latents_per_label": 4, "token_dim": 8, "attention_dim": 8}
    model = Scam(ScamConfig(len(people.label_set), (48, 32), **size))
    model.about = {"label_names": list(people.label_set.names)}
    model.save_pretrained(tmp_path / "model")
    cells = json.loads((EXAMPLES / "first_steps.ipynb").read_text())["cells"]
    names: dict[str, object] = {}
    with torch.enable_grad():  # puts back what the notebook sets
        for cell in cells:
            if cell["cell_type"] == "code":
                assert (cell["outputs"], cell["execution_count"]) == ([], None)
                source = "".join(cell["source"])
                code = re.sub(
                    r'(?m)^MODEL = ".*?"', f"MODEL = {str(tmp_path / 'model')!r}", source
                )
                exec(compile(code, "first_steps.ipynb", "exec"), names)
    assert torch.is_grad_enabled()
