# SPDX-License-Identifier: Apache-2.0
"""Training from Python is training by the command."""

import re
from pathlib import Path

import pytest
import torch

import scam
from scam.errors import InputError
from scam.synthesis import train
from scam.train import main

SETTINGS = {
    "size": (32, 32), "batch_size": 2, "latents_per_label": 2, "background_latents": 2,
    "workers": 0, "warmup": 0, "recolour": 0.0, "flip": False,
}  # fmt: skip
FLAGS = (
    "--size 32 32 --batch-size 2 --latents-per-label 2 --background-latents 2 "
    "--workers 0 --warmup 0 --recolour 0 --no-flip --steps 2"
)


def test_it_trains_and_resumes_as_the_command_does(photos: Path, tmp_path: Path) -> None:
    run = train(**SETTINGS, data=photos, steps=2, out=tmp_path / "python")
    assert run == tmp_path / "python"
    main([*FLAGS.split(), "--data", str(photos), "--out", str(tmp_path / "command")])
    learnt, wanted = (scam.load(tmp_path / name).state_dict() for name in ("python", "command"))
    assert all(torch.equal(learnt[name], wanted[name]) for name in wanted)
    assert train(out=run, resume=True, steps=3, device=torch.device("cpu")) == run
    assert (run / "checkpoints" / "step_0000003").is_dir()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stepz": 3}, "stepz: expected a setting of training a model of kind 'scam'; did you "),
        ({"num_labels": 3}, "num_labels: expected a setting of training"),
        ({"steps": 0}, "steps=0: expected at least 1"),
        ({"steps": "100"}, "steps='100': expected an integer"),
        ({"width": "16"}, "width='16': expected an integer"),
        ({"merge": {"a": [1]}}, "merge: label 0 is in no group, expected each of the 11 labels"),
        ({"merge": 3}, "merge=3: expected text or values by name"),
        ({"data": Path("photos")}, "data='photos': expected mannequins or a folder"),
        ({"kind": "spad"}, "kind='spad': expected one of scam, spade"),
        ({"device": "gpu"}, "device='gpu': expected cpu, cuda"),
        ({"resume": True}, "resume=True: name the run to resume with out"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_named_as_in_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=re.escape(message)):
        train(**settings)
    assert list(tmp_path.iterdir()) == []
