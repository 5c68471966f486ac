# SPDX-License-Identifier: Apache-2.0
"""Every kind of model but SCAM goes through the commands."""

import json
from pathlib import Path

import pytest
import torch

import scam
from scam import evaluate, export, styles, train, transfer
from scam.checkpoints.weights import read_weights
from scam.errors import InputError
from scam.models import MODELS

ALIKE = ("clade", "sean-clade")  # parts of the others, put together
KINDS = [
    pytest.param(kind, marks=[pytest.mark.exhaustive] if kind in ALIKE else [])
    for kind in MODELS
    if kind != "scam"
]
SHAPE = ["--size", "32", "32", "--width", "4", "--levels", "3"]
STEPS = ["--gan-from", "2", "--save-every", "2", "--log-every", "1", "--sample-every", "2"]
REST = ["--batch-size", "2", "--workers", "0", "--warmup", "2"]
HOST, GUEST = "mannequin_val_00010", "mannequin_val_00003"


@pytest.fixture(scope="module", params=KINDS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps, then two more after a resume."""
    out = tmp_path_factory.mktemp("baseline") / request.param
    words = ["--model", request.param, "--steps", "2", "--out", str(out)]
    train.main([*words, *SHAPE, *STEPS, *REST])
    train.main(["--resume", "--out", str(out), "--steps", "4"])
    return out


def test_it_resumes_to_the_bit(run: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    words = ["--model", run.name, "--steps", "4", "--out", str(whole)]
    train.main([*words, *SHAPE, *STEPS, *REST])
    for step in (2, 4):
        folder = Path("checkpoints", f"step_{step:07d}")
        resumed, straight = (read_weights(x / folder)[0] for x in (run, whole))
        assert all(torch.equal(resumed[name], straight[name]) for name in straight)


def test_it_evaluates_transfers_and_exports(run: Path, tmp_path: Path) -> None:
    some = ["--metrics", "psnr,detail,locality,cycle,maps", "--max-pictures", "3"]
    report = tmp_path / "evaluation"
    evaluate.main([str(run), *some, "--out", str(report), "--workers", "0"])
    found = json.loads((report / "report.json").read_text())
    measured = {row["metric"] for row in found["rows"] if row["value"] is not None}
    per_label = scam.load(run).styles_per_label
    assert measured >= {"psnr", "detail", "maps"}
    assert ("locality" in measured) == ("cycle" in measured) == per_label
    if not per_label:
        assert "cannot: the model has one style for the whole image" in json.dumps(found)
    styles.main(["add", str(run), "--picture", GUEST, "--name", "anna"])
    strip = tmp_path / "strip.png"
    words = ["--background", HOST, "--subject", GUEST, "--interpolate", "3"]
    transfer.main([str(run), *words, "--out", str(strip)])
    assert strip.is_file()
    out = tmp_path / "exported"
    if scam.load(run).needs_noise:
        with pytest.raises(InputError, match="noise"):
            export.main([str(run), "--out", str(out)])
    else:
        export.main([str(run), "--out", str(out)])
        assert (out / "encoder.pt2").is_file()


def test_it_is_saved_and_opened_as_itself(run: Path, tmp_path: Path) -> None:
    model = scam.load(run)
    assert model.config.kind == run.name
    model.save_pretrained(tmp_path / "saved")
    again = scam.load(tmp_path / "saved")
    assert type(again) is type(model)
    kept = again.state_dict()
    assert all(torch.equal(x, kept[name]) for name, x in model.state_dict().items())
    assert run.name.upper() in (tmp_path / "saved" / "README.md").read_text()


def test_what_it_cannot_do_is_refused(tmp_path: Path) -> None:
    words = ["--model", "clade", "--out", str(tmp_path / "run"), *SHAPE, "--steps", "2"]
    with pytest.raises(InputError, match=r"--gradient-checkpointing: .*'clade'"):
        train.main([*words, "--gradient-checkpointing"])
    assert not (tmp_path / "run").exists()
