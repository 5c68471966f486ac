# SPDX-License-Identifier: Apache-2.0
"""What version 0.1.0 wrote before models had kinds still opens.

``fixtures/run_0.1.0.tar.xz`` is a run folder as its code left it (settings, metrics, a checkpoint
with training state, a style), with tensors tiled from few values, so that it packs small.
"""

import json
import tarfile
from pathlib import Path

import pytest
import torch

import scam
from scam import evaluate, styles, train
from scam.editing import load_style
from scam.models import Scam

ARCHIVE = Path(__file__).parents[1] / "fixtures" / "run_0.1.0.tar.xz"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "oldrun"


def test_a_checkpoint_generates_what_it_did(old: Path) -> None:
    assert "kind" not in json.loads((old / "config.json").read_text())["model"]
    model = scam.load(old)
    assert isinstance(model, Scam)
    height, width = model.config.size
    image = torch.linspace(-1, 1, 3 * height * width).view(1, 3, height, width)
    labels = torch.arange(height * width).view(1, height, width) // 64 % model.config.num_labels
    with torch.no_grad():
        made = model.generate(labels.int(), model.encode(image, labels.int()))
    expected = json.loads((old / "expected.json").read_text())
    torch.testing.assert_close(made.mean().item(), expected["mean"], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(made.std().item(), expected["std"], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(
        made[0, :, 0, 0], torch.tensor(expected["corner"]), rtol=1e-2, atol=1e-3
    )


def test_a_style_is_of_the_same_model(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    style = load_style(old / "styles" / "anna.safetensors", scam.load(old))
    assert style.source == "a gradient"
    styles.main(["list", str(old)])
    assert "of another model" not in capsys.readouterr().out


def test_its_run_is_resumed_and_its_last_weights_measured(old: Path, tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "evaluation")]
    few = ["--metrics", "psnr", "--max-pictures", "2", "--workers", "0"]
    evaluate.main([str(old), "--last-weights", *few, *out])
    train.main(["--resume", "--out", str(old), "--steps", "7"])
    assert (old / "checkpoints" / "step_0000007" / "training.pt").is_file()
    stored = json.loads((old / "checkpoints" / "step_0000007" / "config.json").read_text())
    assert stored["model"]["kind"] == "scam"
