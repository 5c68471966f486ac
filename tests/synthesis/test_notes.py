# SPDX-License-Identifier: Apache-2.0
"""What a run says where its numbers or pictures are not what they seem."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scam.data import FolderPairs, Mannequins, PairDataset, save_label_png
from scam.data.fit import Fit
from scam.data.split import Split
from scam.metrics import ColourFloors
from scam.synthesis.notes import at_end, at_start, of_labels
from scam.synthesis.options import SynthesisOptions
from scam.synthesis.previews import learn_colours

MANY = PairDataset(Mannequins("val", 12), (24, 16))


def options(**changes: int) -> SynthesisOptions:
    return SynthesisOptions(**{"gan": 0.0, "steps": 200, "warmup": 30, **changes})


def folder(path: Path, fit: Fit, *shapes: tuple[int, int]) -> PairDataset:
    for name in ("images", "labels"):
        (path / name).mkdir(parents=True)
    for index, shape in enumerate(shapes):
        labels = np.zeros(shape, np.int32)
        labels[: shape[0] // 2] = index % 3
        Image.fromarray(np.zeros((*shape, 3), np.uint8)).save(path / f"images/p{index}.png")
        save_label_png(path / f"labels/p{index}.png", labels)
    return PairDataset(FolderPairs(path, fit=fit, num_labels=5), (30, 20))


def test_a_run_as_it_should_be_says_nothing() -> None:
    assert list(at_start(options(), MANY, MANY)) == []
    assert list(of_labels(MANY, learn_colours(MANY))) == []


def test_few_held_out_pictures() -> None:
    (line,) = at_start(options(), MANY, PairDataset(Mannequins("val", 3), (24, 16)))
    assert line.startswith("3 held-out images: with fewer than 10 the PSNR is noisy")
    _, line = at_start(options(), MANY, PairDataset(Mannequins("val", 1), (24, 16)))
    assert line.startswith("scam.evaluate needs 2 held-out images: start a run with holdout 2")


def test_a_long_warm_up() -> None:
    (line,) = at_start(options(warmup=51), MANY, MANY)
    assert line.startswith("learning rates rise over 51 steps, more than a quarter of ")
    assert line.endswith(": give more steps, or warmup 50")
    assert list(at_start(options(warmup=50), MANY, MANY)) == []


def test_photographs_that_are_not_read(tmp_path: Path) -> None:
    data = folder(tmp_path, "squash", (30, 20))
    (tmp_path / "images" / "photo.tiff").touch()
    first, *_ = at_start(options(), data, data)
    assert first == "left out: 1 .tiff file (images are .png, .jpg, .jpeg, .webp)"
    (tmp_path / "labels" / "photo.png").touch()  # without its image, as a warning says
    assert not any("tiff" in line for line in at_start(options(), data, data))


@pytest.mark.parametrize(
    ("fit", "words"),
    [
        ("squash", "2 of 4 images are squashed: height / width from 0.50 .. 3.00 to 1.50"),
        ("crop", "2 of 4 images are cropped from height / width 0.50 .. 3.00 to 1.50: 67%"),
        ("pad", "2 of 4 images are padded from height / width 0.50 .. 3.00 to 1.50: 67%"),
    ],
)
def test_other_proportions(tmp_path: Path, fit: Fit, words: str) -> None:
    train = folder(tmp_path / "train", fit, (30, 20), (20, 40))
    held_out = folder(tmp_path / "val", fit, (60, 20), (31, 21))
    lines = list(at_start(options(), train, held_out))
    assert lines[-1].startswith(words)


def test_a_held_out_picture_that_is_trained_on() -> None:
    split = Split((("a", "1"), ("b", "2")), (("c", "3"), ("d", "2"), ("e", "")))
    (line,) = at_start(options(), MANY, MANY, split)
    assert line.startswith("1 held-out image (d) is among the training images too")


def test_labels_that_never_occur(tmp_path: Path) -> None:
    train = folder(tmp_path, "squash", (30, 20), (30, 20))
    (line,) = of_labels(train, learn_colours(train))
    assert line.startswith("3 of 5 labels occur in none of the 2 training images at 30x20 (height")
    assert line.endswith(" and cannot be learnt: label_2, label_3, label_4")
    floors = ColourFloors(11)
    floors.learn(torch.zeros(2, 3, 1, 10), torch.arange(10).expand(2, 1, 10))
    (line,) = of_labels(MANY, floors)
    assert line.startswith("1 of 11 labels occurs in none of the 2 training images at 24x16 ")
    floors = ColourFloors(3)
    floors.learn(torch.zeros(1, 3, 1, 2), torch.tensor([[[0, 2]]]))
    assert floors.unknown == [1]


def test_below_flat_colours_at_the_end() -> None:
    floors = {"step": 0, "psnr_mean_colours": 12.0, "psnr_own_colours": 15.0}
    assert list(at_end([floors, {"step": 2, "psnr": 15.0}])) == []
    assert list(at_end([{"step": 2, "psnr": 1.0}])) == []
    (line,) = at_end([floors, {"step": 1, "psnr": 20.0}, {"step": 2, "psnr": 14.0}, {"step": 2}])
    assert line.startswith("held-out PSNR 14.00 dB is worse than the 15.00 dB of flat colours, ")
    (line,) = at_end([floors, {"step": 2, "psnr": 11.0}])
    assert "the 12.00 dB of flat colours, each label's mean over the training images" in line
    assert "more steps" in line
