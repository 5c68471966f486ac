# SPDX-License-Identifier: Apache-2.0
"""A second kind of model, registered in one line, goes through every command."""

import json
from pathlib import Path

import pytest
import torch
from toy_model import MeanColour

import scam
from scam import attention, evaluate, export, styles, train, transfer
from scam.checkpoints.weights import read_weights
from scam.errors import InputError
from scam.models import MODELS, Scam

SHAPE = ["--size", "32", "32", "--batch-size", "2", "--workers", "0", "--warmup", "2"]
STEPS = ["--gan-from", "2", "--save-every", "2", "--log-every", "1", "--sample-every", "2"]
HOST, GUEST = "mannequin_val_00010", "mannequin_val_00003"


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "mean-colour", MeanColour)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("toy") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "mean-colour", MeanColour)
        train.main(["--model", "mean-colour", "--steps", "2", "--out", str(out), *SHAPE, *STEPS])
        train.main(["--resume", "--out", str(out), "--steps", "4"])
    return out


def test_it_trains_with_its_own_loss_and_resumes_to_the_bit(run: Path, tmp_path: Path) -> None:
    config = json.loads((run / "config.json").read_text())
    assert config["model"]["kind"] == "mean-colour"
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert all("spread" in entry for entry in logged if "l1" in entry)
    assert "MEAN-COLOUR" in (run / "README.md").read_text()
    whole = tmp_path / "whole"
    train.main(["--model", "mean-colour", "--steps", "4", "--out", str(whole), *SHAPE, *STEPS])
    for step in (2, 4):
        folder = Path("checkpoints", f"step_{step:07d}")
        resumed, straight = (read_weights(x / folder)[0] for x in (run, whole))
        assert all(torch.equal(resumed[name], straight[name]) for name in straight)


def test_it_evaluates_transfers_keeps_styles_and_exports(run: Path, tmp_path: Path) -> None:
    some = ["--metrics", "psnr,detail,locality,cycle,maps", "--max-pictures", "3"]
    evaluate.main([str(run), *some, "--out", str(tmp_path / "evaluation"), "--workers", "0"])
    rows = json.loads((tmp_path / "evaluation" / "report.json").read_text())["rows"]
    assert {row["metric"] for row in rows} == {"psnr", "detail", "locality", "cycle", "maps"}
    styles.main(["add", str(run), "--picture", GUEST, "--name", "anna"])
    strip = tmp_path / "strip.png"
    words = ["--background", HOST, "--subject", GUEST, "--donor", "hair=lib:anna"]
    transfer.main([str(run), *words, "--interpolate", "3", "--out", str(strip)])
    assert strip.is_file()
    export.main([str(run), "--out", str(tmp_path / "exported")])
    assert (tmp_path / "exported" / "encoder.pt2").is_file()


def test_it_is_saved_and_opened_as_itself(run: Path, tmp_path: Path) -> None:
    model = scam.load(run)
    assert isinstance(model, MeanColour)
    model.save_pretrained(tmp_path / "saved")
    again = MeanColour.from_pretrained(tmp_path / "saved")
    assert all(
        torch.equal(x, y) for x, y in zip(model.parameters(), again.parameters(), strict=True)
    )
    with pytest.raises(InputError, match=r"holds a MeanColour, expected a Scam: scam.load opens"):
        Scam.from_pretrained(tmp_path / "saved")


def test_what_it_cannot_do_is_said_in_a_line(run: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=f"^{run}: a model of kind 'mean-colour': expected 'scam'"
    ):
        attention.main([str(run), "--list-layers"])
    with pytest.raises(SystemExit):
        train.main(["--model", "mean-colour", "--heads", "2", "--out", str(tmp_path / "x")])
    with pytest.raises(InputError, match=r"--model magic.*: expected one of scam, .*mean-colour"):
        train.main(["--model", "magic", "--out", str(tmp_path / "x")])
    with pytest.raises(InputError, match=r"--resume: .*model"):
        train.main(["--resume", "--model", "scam", "--out", str(run), "--steps", "6"])


def test_styles_without_an_image(run: Path) -> None:
    model = scam.load(run)
    labels, generator = torch.zeros(1, 32, 32, dtype=torch.int32), torch.Generator()
    assert not model.draws_styles
    with pytest.raises(InputError, match="'mean-colour' draws no styles: expected those of an"):
        model.random_styles(labels, generator)


def test_without_its_code_a_checkpoint_says_which_kind_it_is(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(MODELS, "mean-colour")
    with pytest.raises(InputError, match="kind is 'mean-colour', expected one of scam"):
        scam.load(run)
