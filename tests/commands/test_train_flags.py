# SPDX-License-Identifier: Apache-2.0
"""Every flag of ``python -m scam.train`` with another value than its default, in real steps."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from scam import train
from scam.errors import InputError
from scam.models import registry
from scam.models.config import ModelConfig
from scam.models.scam import ScamConfig
from scam.settings.fields import setting
from scam.synthesis.flags import chosen_config, train_parser
from scam.synthesis.options import CHOSEN, WITH_MUON
from scam.training.trainer import Trainer

Fast = Callable[..., list[str]]

# What every run of this file is given besides, by `fast` and `run`.
GIVEN = (
    "--data", "--out", "--device", "--workers", "--size", "--batch-size", "--steps", "--warmup",
    "--latents-per-label", "--background-latents", "--log-every", "--resume",
)  # fmt: skip
RUNS = {
    "shape": "--labels maps --ignore-label 10 --holdout 2 --fit crop --no-flip --preset ade20k "
    "--width 32 --size 64 64 --levels 5 --heads 2 --token-dim 16 --attention-dim 32 --no-pyramid "
    "--model scam --l1 5 --perceptual pyramid --perceptual-weight 2 --weight-decay 0 --ema 0.9 "
    "--seed 3 --amp --gradient-checkpointing --eval-every 1 --sample-every 1 --save-every 1 "
    "--sample-scale 2",
    "small-data": "--label-set lip20 --merge idesigner --no-self-attention --no-duplex "
    "--accumulate 2 --lr 1e-4 --lr-discriminator 1e-4 --max-grad-norm 0 --gan 0.5 --gan-from 1 "
    "--channels-last --diffaugment color,translation,cutout --lecam 0.3 --gan-loss relativistic "
    "--no-gradient-norm --r1 0.1 --r2 0.1 --style-dropout 0.5 --augment-perceptual color",
    "others": "--fidelity released --no-fused-sca --discriminator oasis --labelmix 10 "
    "--gan-from 0",
    "baseline": "--discriminator patch --feature-matching 10 --feature-matching-maps last "
    "--fresh-fake --betas 0 0.9 --decay-from 0.5 --gan-from 0",
    "bare": "--perceptual none --gan 0 --no-bounded --encoder-width 8 --optimizer muon "
    "--lr-muon 0.01 --recolour 1 --warp 1",
}
ELSEWHERE = {
    "--compile": "below",
    "--wandb": "tests/training/test_trackers.py",
    "--encoder": "tests/models/test_networks.py",
    "--perceptual-weights": "tests/synthesis/test_perceptual.py",
    "--vgg-slices": "tests/synthesis/test_perceptual.py",
    "--vgg-normalise": "tests/synthesis/test_perceptual.py",
}


def test_no_flag_is_forgotten() -> None:
    known = {
        option
        for action in train_parser("train", ScamConfig)._actions
        for option in action.option_strings[-1:]  # of --x and --no-x the one that is given here
        if action.dest != "help"
    }
    given = {word for flags in RUNS.values() for word in flags.split() if word.startswith("--")}
    positive = {word.replace("--no-", "--") for word in (*given, *GIVEN, *ELSEWHERE)}
    assert {word.replace("--no-", "--") for word in known} == positive


@pytest.mark.parametrize("name", RUNS)
def test_two_steps_and_a_third(name: str, photos: Path, tmp_path: Path, fast: Fast) -> None:
    """Losses are finite, and the run resumes with every setting it was started with."""
    flags = RUNS[name].split()
    if "--labels" in flags:
        (photos / "labels").rename(photos / "maps")
    if "--label-set" in flags:
        (photos / "labels.txt").unlink()
    out = tmp_path / "run"
    train.main(fast("--data", photos, "--out", out, "--device", "cpu", *flags))
    before = json.loads((out / "config.json").read_text())
    train.main(["--resume", "--out", str(out), "--steps", "3"])
    after = json.loads((out / "config.json").read_text())
    assert after.pop("training") == {**before.pop("training"), "steps": 3}
    assert after == before
    logged = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in logged if "l1" in entry] == [1, 2, 3]
    losses = torch.tensor([entry["l1"] for entry in logged if "l1" in entry])
    assert losses.isfinite().all()
    assert not any(entry.get("skipped") for entry in logged)


SIMPLE = ("--no-pyramid", "--no-self-attention", "--no-duplex", "--perceptual", "none")
"""Leaves out most layers: compiling takes its time."""


@pytest.mark.slow
def test_compiled_by_the_compiler_a_user_gets(photos: Path, tmp_path: Path, fast: Fast) -> None:
    """And resumed without; the losses are those of a run that was never compiled, but for
    rounding: at the paper's rate it has not grown in two steps."""
    torch._dynamo.reset()
    common = fast("--data", photos, *SIMPLE, "--gan", "0", "--lr", "1e-4")
    losses = []
    for name, flags in (("compiled", ["--compile"]), ("eager", [])):
        out = tmp_path / name
        train.main([*common, "--out", str(out), *flags])
        train.main(["--resume", "--out", str(out), "--steps", "3", "--no-compile"])
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        losses.append([entry["l1"] for entry in lines if "l1" in entry])
    assert len(losses[0]) == 3
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_missing_compiler_is_one_line_that_names_the_flag(
    photos: Path, tmp_path: Path, fast: Fast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What torch raises, in the place of a step of networks that would take long to trace."""
    torch._dynamo.reset()
    compiled = torch.compile(lambda x: x.sin() + 1)
    monkeypatch.setattr(Trainer, "step", lambda *_: compiled(torch.ones(7)))
    out = tmp_path / "run"
    # Not monkeypatch, which would delete the setting when it undoes its own.
    without = torch._inductor.config.patch({"cpp.cxx": (None, "/nonexistent")})
    words = r"^--compile: torch\.compile of .*C\+\+ compiler"
    with without, pytest.raises(InputError, match=words) as e:
        train.main(fast("--data", photos, "--out", out, "--compile", *SIMPLE))
    assert "\n" not in str(e.value)
    assert not out.exists()


@pytest.mark.parametrize(
    "error",
    [RuntimeError("of memory"), MemoryError(), OSError(28, os.strerror(28)), KeyboardInterrupt()],
    ids=repr,
)
@pytest.mark.parametrize("existed", [True, False])
def test_a_start_that_fails_leaves_nothing(
    error: BaseException,
    existed: bool,
    photos: Path,
    tmp_path: Path,
    fast: Fast,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Trainer, "step", fail)
    out = tmp_path / "run"
    if existed:
        out.mkdir()
    with pytest.raises(type(error)) as caught:
        train.main(fast("--data", photos, "--out", out, *SIMPLE))
    assert caught.value is error, "not taken for the compiler's, nor for bad input"
    assert out.exists() == existed
    assert not list(tmp_path.glob("run/*"))


@dataclass(frozen=True)
class ToyConfig(ModelConfig):
    kind: ClassVar[str] = "toy"
    blocks: int = setting(3, "of bricks", least=1)


def test_flags_are_those_of_the_kind_of_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the one that is asked for, else of the run to resume; early runs do not say."""
    monkeypatch.setitem(registry.MODELS, "toy", type("Toy", (), {"Config": ToyConfig}))  # type: ignore[arg-type]
    resume = ["--resume", "--out", str(tmp_path)]
    assert chosen_config("train", []) is chosen_config("train", resume) is ScamConfig
    assert chosen_config("train", ["--model", "toy"]) is ToyConfig
    for stored, config in (({"kind": "toy"}, ToyConfig), ({}, ScamConfig)):
        (tmp_path / "config.json").write_text(json.dumps({"model": stored}))
        assert chosen_config("train", resume) is config
        assert chosen_config("train", ["--out", str(tmp_path)]) is ScamConfig
    assert train_parser("train", ToyConfig).parse_args(["--blocks", "4"]).blocks == 4
    with pytest.raises(InputError, match=r"^--model brick: expected one of scam, .*, toy$"):
        train.main(["--model", "brick"])
    (tmp_path / "config.json").write_text('{"model": {"kind": "brick"}}')
    with pytest.raises(
        InputError, match=r"config\.json: kind is 'brick', expected one of scam, .*, toy$"
    ):
        chosen_config("train", resume)


def test_a_run_that_names_no_kind_is_the_first_one(
    photos: Path, tmp_path: Path, fast: Fast
) -> None:
    out = tmp_path / "run"
    train.main(fast("--data", photos, "--out", out, "--device", "cpu", *SIMPLE, "--gan", "0"))
    stored = json.loads((out / "config.json").read_text())
    assert stored["model"].pop("kind") == "scam"
    (out / "config.json").write_text(json.dumps(stored))
    train.main(["--resume", "--out", str(out), "--steps", "3", "--model", "scam"])
    assert (out / "checkpoints" / "step_0000003").is_dir()


@pytest.mark.parametrize("name", CHOSEN | WITH_MUON)
def test_help_tells_what_new_runs_take(name: str) -> None:
    """And not the defaults of the fields, which runs begun before these settings have."""
    text = " ".join(train_parser("x", ScamConfig).format_help().split())
    flag = f" --{name.replace('_', '-')} "
    value = (CHOSEN | WITH_MUON)[name]
    assert f"(default: {value})" in text.partition("options:")[2].partition(flag)[2][:220]
