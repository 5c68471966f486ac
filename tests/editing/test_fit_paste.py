# SPDX-License-Identifier: Apache-2.0
"""Edits of photographs whose proportions are not the model's."""

from pathlib import Path

import numpy as np
import pytest
import torch

from scam.data.fit import Fit
from scam.editing.edit import Edited, Settings, edit
from scam.editing.encoded import encode
from scam.editing.pictures import Picture, label_tensor
from scam.models import Scam, ScamConfig
from scam.models.checkpoint import Checkpoint

CONFIG = ScamConfig(2, (64, 32), width=16, levels=4, latents_per_label=2, background_latents=2,
                    token_dim=8, attention_dim=8)  # fmt: skip
SHAPE = (64, 96)
WINDOW = slice(32, 64)  # columns that a crop keeps


@pytest.fixture(scope="module")
def model() -> Scam:
    torch.manual_seed(0)
    return Scam(CONFIG).eval()


def picture(seed: int, left: int, right: int, shape: tuple[int, int] = SHAPE) -> Picture:
    """Label 1 in the columns from ``left`` to ``right``."""
    photo = np.random.default_rng(seed).integers(0, 256, (*shape, 3)).astype(np.uint8)
    labels = np.zeros(shape, np.int32)
    labels[:, left:right] = 1
    return Picture(photo, labels, f"p{seed}")


def pasted(model: Scam, fit: Fit, host: Picture, pose: Picture | None = None) -> Edited:
    known = Checkpoint(Path("x"), model, fit)
    subject = picture(2, 30, 60)
    codes = [encode(x, known) for x in (host, subject)]
    labels = (pose or host).labels
    return edit(known, Settings(feather=0), (host, codes[0]), codes[1], [], labels)


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_only_the_person_changes_and_where_it_stands(model: Scam, fit: Fit) -> None:
    host = picture(1, 40, 56)
    edited = pasted(model, fit, host)
    assert edited.pixels.shape == (*SHAPE, 3)
    changed = (edited.pixels != host.photo).any(-1)
    assert not changed[host.labels == 0].any()
    assert changed[host.labels == 1].mean() > 0.9
    assert edited.notes == ()


def test_beyond_a_crop_nothing_changes_and_a_note_says_so(model: Scam) -> None:
    host = picture(1, 24, 56)
    edited = pasted(model, "crop", host)
    changed = (edited.pixels != host.photo).any(0).any(-1)
    assert changed[32:56].all()
    assert not changed[:32].any()
    assert "25 % of the pixels to edit: outside the part that the model sees" in edited.notes[0]


def test_a_pose_of_other_proportions_lands_in_the_window(model: Scam) -> None:
    host, pose = picture(1, 0, 0), picture(3, 0, 32, (64, 32))
    changed = (pasted(model, "crop", host, pose).pixels != host.photo).any(0).any(-1)
    assert changed[WINDOW].all()
    assert not changed[:32].any()
    assert not changed[64:].any()


def test_a_pose_that_reaches_into_the_padding_is_cut_off_with_a_note(model: Scam) -> None:
    host, pose = picture(1, 0, 0), picture(3, 8, 24, (64, 32))
    edited = pasted(model, "pad", host, pose)
    changed = (edited.pixels != host.photo).any(-1)
    assert changed[:, 28:68].any(0).all()
    assert not changed[:, :20].any()
    assert edited.notes[-1].startswith("67 % of the subject: in the padding")


def test_the_model_sees_what_training_saw(model: Scam) -> None:
    host = picture(1, 40, 56)
    known = Checkpoint(Path("x"), model, "crop")
    labels = label_tensor(host.labels, known.frame, torch.device("cpu"))
    assert labels[0, 0].tolist() == host.labels[0, WINDOW].tolist()
