# SPDX-License-Identifier: Apache-2.0
"""The model that comes with the package: what ``demo`` means, and that it has learned."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import scam
from scam import attention, styles, transfer
from scam.checkpoints.weights import read_weights
from scam.data import LABEL_SETS, Mannequins, PairDataset
from scam.errors import InputError
from scam.metrics import Psnr
from scam.models import SynthesisModel
from scam.models.checkpoint import load_checkpoint
from scam.synthesis.previews import learn_colours

SUBJECT, BACKGROUND = "mannequin_val_00003", "mannequin_val_00007"


@pytest.fixture(scope="module")
def demo() -> SynthesisModel:
    return scam.load("demo")


def test_it_is_small_and_says_what_it_is(demo: SynthesisModel) -> None:
    folder = load_checkpoint("demo").path
    assert sum(path.stat().st_size for path in folder.iterdir()) < 8 << 20
    assert demo.label_names == [*LABEL_SETS["mannequins"].names]
    assert demo.about["trained"]["data"] == "mannequins"
    card = (folder / "README.md").read_text()
    for words in (
        "license: apache-2.0",
        "scam.data.Mannequins",
        "python -m scam.train",
        "float16",
    ):
        assert words in card
    assert str(Path.home()) not in card + (folder / "config.json").read_text()


def test_half_precision_is_read_as_single(demo: SynthesisModel) -> None:
    stored, _ = read_weights(load_checkpoint("demo").path)
    assert {x.dtype for x in stored.values()} == {torch.float16, torch.bool}
    assert {x.dtype for x in demo.state_dict().values()} == {torch.float32, torch.bool}
    assert all(torch.equal(x, stored[name].to(x)) for name, x in demo.state_dict().items())


@torch.no_grad()
def test_it_beats_flat_colours(demo: SynthesisModel) -> None:
    size = demo.config.size
    held_out = PairDataset(Mannequins("val", 6), size)
    floors = learn_colours(PairDataset(Mannequins("train", 32), size))
    image, labels = map(torch.stack, zip(*map(held_out.pair, range(6)), strict=True))
    found, floor = Psnr(), Psnr()
    found.update(demo.generate(labels, demo.encode(image, labels)), image)
    floor.update(floors.in_mean_colours(labels), image)
    assert found.pooled > floor.pooled + 2


def test_commands_know_its_pictures_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    both = ["--subject", SUBJECT, "--background", BACKGROUND]
    transfer.main(["demo", *both, "--out", "transfer.png", "--sheet", "sheet.png"])
    attention.main(["demo", "--picture", SUBJECT, "--out", "attention.png"])
    styles.main(["add", "demo", "--picture", SUBJECT, "--library", "kept"])
    assert {"transfer.png", "sheet.png", "attention.png", "kept"} == {
        path.name for path in tmp_path.iterdir()
    }
    assert Image.open("transfer.png").size == (64, 96)
    with pytest.raises(InputError, match=r"is in no run folder, .*: expected --library DIR"):
        styles.main(["add", "demo", "--picture", SUBJECT])


def test_the_transfer_of_the_command_is_python_s(
    demo: SynthesisModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    both = ["--subject", SUBJECT, "--background", BACKGROUND]
    transfer.main(["demo", *both, "--out", "command.png", "--device", "cpu"])
    people, size = Mannequins("val"), demo.config.size
    anna, street = (demo.open_picture(*people.load(index, size)) for index in (3, 7))
    with pytest.raises(InputError, match=r"^labels: none given; expected"):
        demo.open_picture("anna.jpg")
    with torch.no_grad():
        scam.save_picture(demo.transfer(subject=anna, background=street), "python.png")
    command, python = (np.asarray(Image.open(f"{x}.png")) for x in ("command", "python"))
    assert np.abs(command.astype(int) - python).max() <= 1


def test_a_folder_of_that_name_is_meant_with_a_dot(
    demo: SynthesisModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()  # of whatever
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = load_checkpoint("demo").path
    changed = scam.load("demo")
    changed.mean_tokens += 1
    changed.save_pretrained("demo")
    for own in ("./demo", Path("demo"), tmp_path / "demo"):
        assert torch.equal(scam.load(own).mean_tokens, demo.mean_tokens + 1)
    with pytest.warns(UserWarning, match="demo is the model of this package; yours .* ./demo"):
        assert load_checkpoint("demo").path == ours


def test_a_device_that_is_not_here_is_named_as_it_was_given() -> None:
    with pytest.raises(InputError, match=r"^device='cuda:99': cannot be used here \("):
        scam.load("demo", device="cuda:99")
