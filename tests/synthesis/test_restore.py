# SPDX-License-Identifier: Apache-2.0
"""Resuming from files that are damaged, or well-formed and wrong."""

import json
import math
import pkgutil
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import scam
from scam.checkpoints.training_state import TRAINING, load_training
from scam.checkpoints.weights import CONFIG, MANIFEST, MODEL, verify
from scam.errors import InputError
from scam.synthesis.job import Job
from scam.synthesis.task import SynthesisTask, run_job
from scam.training.divergence import Watch
from scam.training.engine import restore
from scam.training.trainer import Trainer

MakeJob = Callable[..., Job]
OPTIONS = {"lecam": 0.3, "gan_from": 1, "perceptual": "none"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, make_module_job: MakeJob) -> Path:
    """A run of four steps with checkpoints of the second and the fourth."""
    out = tmp_path_factory.mktemp("finished") / "run"
    run_job(make_module_job(out, **OPTIONS), say=lambda _: None)
    return out


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def resume(run: Path, make_job: MakeJob, **changes: object) -> None:
    job = make_job(run, resume=True, **{**OPTIONS, "steps": 5, **changes})
    run_job(job, resume=True, say=lambda _: None)


def verify_all(step: Path) -> None:
    for name in (MODEL, CONFIG, TRAINING):
        verify(step / name)


def take_up(
    state: dict[str, Any], step: Path, job: Job, task: SynthesisTask, trainer: Trainer
) -> None:
    restore(state, step, trainer, Watch(job.folder))
    task.expect_trainable(task.model)


def flip(path: Path, share: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(share * (len(content) - 1))] ^= 0x10
    path.write_bytes(content)


def test_a_folder_of_an_earlier_version_has_no_manifest_and_resumes(
    run: Path, make_job: MakeJob
) -> None:
    for manifest in run.glob(f"checkpoints/*/{MANIFEST}"):
        manifest.unlink()
    assert scam.load(run).config.size == (32, 32)
    resume(run, make_job)
    assert (run / "checkpoints" / "step_0000005" / MANIFEST).is_file()


@pytest.mark.parametrize("name", [MODEL, CONFIG, TRAINING, MANIFEST])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.8, 0.999])
def test_a_flipped_bit_is_found_and_the_older_checkpoint_offered(
    run: Path, make_job: MakeJob, name: str, share: float
) -> None:
    step = run / "checkpoints" / "step_0000004"
    flip(step / name, share)
    older = run / "checkpoints" / "step_0000002"
    if name in (MODEL, CONFIG):
        with pytest.raises(InputError, match=rf"{name} is damaged.*; {older} is whole$"):
            scam.load(run)
        assert scam.load(older).config.size == (32, 32)
    if name == TRAINING:
        with pytest.raises(InputError, match=rf"^{step / name} is damaged") as caught:
            resume(run, make_job)
        offered = re.search(
            r"; remove that step \(rm -r (\S+)\) to resume from step_0000002$", str(caught.value)
        )
        assert offered is not None
        if share == 0.5:  # what is offered works
            shutil.rmtree(offered[1])
            resume(run, make_job)
            assert (run / "checkpoints/latest").read_text() == "step_0000005\n"
    if name == MANIFEST:
        with pytest.raises(InputError, match=f"{MANIFEST}|{MODEL}|{CONFIG}"):
            verify_all(step)


def test_nothing_is_offered_where_nothing_is_whole(run: Path, make_job: MakeJob) -> None:
    for file in run.glob(f"checkpoints/*/{TRAINING}"):
        flip(file, 0.5)
    with pytest.raises(InputError, match=r"its digest is not the one in manifest\.json$"):
        resume(run, make_job)


def first_moments(state: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = state["trainer"]["optimizer"]["state"][0]
    return found


def group(state: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = state["trainer"]["optimizer"]["param_groups"][0]
    return found


def spoilt(tensor: torch.Tensor, value: float) -> torch.Tensor:
    tensor = tensor.clone()
    tensor.view(-1)[0] = value
    return tensor


WRONG: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "moments of another shape": (
        lambda s: first_moments(s).update(exp_avg=torch.zeros(3)),
        r"optimizer: parameter 0 of another model \(exp_avg has shape \(3,\)",
    ),
    "moments of another dtype": (
        lambda s: first_moments(s).update(exp_avg=first_moments(s)["exp_avg"].double()),
        "exp_avg is torch.float64, expected torch.float32",
    ),
    "a missing moment": (
        lambda s: first_moments(s).pop("exp_avg_sq"),
        "exp_avg_sq is missing",
    ),
    "a parameter without": (
        lambda s: s["trainer"]["optimizer"]["state"].pop(0),
        "optimizer: parameter 0 has no moments",
    ),
    "a number for a moment": (
        lambda s: first_moments(s).update(exp_avg=1.0),
        "exp_avg is 1.0, expected a tensor",
    ),
    "nan in a moment": (
        lambda s: first_moments(s).update(exp_avg=spoilt(first_moments(s)["exp_avg"], math.nan)),
        "exp_avg: 1 of .* values are not finite",
    ),
    "a negative square": (
        lambda s: first_moments(s).update(exp_avg_sq=spoilt(first_moments(s)["exp_avg_sq"], -1.0)),
        "exp_avg_sq is negative",
    ),
    "steps of a moment": (
        lambda s: first_moments(s).update(step=torch.tensor(-5.0)),
        r"step is -5\.0, expected 0 to 4",
    ),
    "infinite steps": (
        lambda s: first_moments(s).update(step=torch.tensor(math.inf)),
        "step: 1 of 1 values are not finite",
    ),
    "betas of None": (lambda s: group(s).update(betas=None), "betas is None, expected"),
    "betas of text": (lambda s: group(s).update(betas=["a", "b"]), "betas is"),
    "eps of nan": (lambda s: group(s).update(eps=math.nan), "eps is nan, expected 1e-08"),
    "other parameters": (lambda s: group(s).update(params=[0]), "it has other parameters"),
    "no groups": (
        lambda s: s["trainer"]["optimizer"].update(param_groups=[]),
        r"param_groups is \[\]",
    ),
    "another step": (lambda s: s.update(step=3), "step is 3, expected that of step_0000004"),
    "a negative step": (lambda s: s.update(step=-5), "step is -5, expected 0 or more"),
    "an infinite step": (lambda s: s.update(step=math.inf), "step is inf, expected 0 or more"),
    "a true step": (lambda s: s.update(step=True), "step is True, expected 0 or more"),
    "no trainer": (lambda s: s.pop("trainer"), "trainer is None, expected a dict"),
    "a list of tensors": (
        lambda s: s["trainer"].update(model=[]),
        r"model is \[\], expected a dict",
    ),
    "no average": (lambda s: s["trainer"]["ema"].update(tensors={}), "ema of another model"),
    "a count of None": (lambda s: s["trainer"]["ema"].update(t=None), "t is None"),
    "nan weights": (
        lambda s: s["trainer"]["model"].update(
            {"encoder.tokens": s["trainer"]["model"]["encoder.tokens"] * math.nan}
        ),
        r"model: encoder\.tokens: \d+ of \d+ values are not finite",
    ),
    "huge weights": (
        lambda s: [x.fill_(3e38) for x in s["trainer"]["model"].values() if x.dim() > 1],
        "a training image's (difference|gradient) is",
    ),
    "skips": (lambda s: s["watch"].update(total="many"), "total is 'many', expected 0 to 4"),
    "a scale": (lambda s: s["trainer"].update(scaler={"scale": math.nan}), "'scale' is nan"),
    "lecam": (lambda s: s["trainer"].update(adversary={}), "adversary of another model"),
}


@pytest.fixture(scope="module")
def built(finished: Path, make_module_job: MakeJob) -> tuple[Job, SynthesisTask, Trainer]:
    job = make_module_job(finished, resume=True, **OPTIONS)
    task = SynthesisTask(job)
    return job, task, Trainer(task)


@pytest.mark.parametrize(("spoil", "words"), WRONG.values(), ids=WRONG)
def test_state_that_is_well_formed_and_wrong_is_refused_before_it_is_taken_up(
    finished: Path,
    built: tuple[Job, SynthesisTask, Trainer],
    spoil: Callable[[dict[str, Any]], object],
    words: str,
) -> None:
    step = finished / "checkpoints" / "step_0000004"
    state = load_training(step)
    spoil(state)
    with pytest.raises(InputError, match=words):
        take_up(state, step, *built)


def test_a_run_that_diverges_keeps_a_checkpoint_that_trains(run: Path, make_job: MakeJob) -> None:
    shutil.rmtree(run / "checkpoints" / "step_0000004")
    with pytest.raises(InputError, match=r"the run has diverged: .*; resume from step_0000002"):
        resume(run, make_job, lr=1e5, warmup=0, steps=20, save_every=1)
    assert sorted(x.name for x in run.glob("checkpoints/step_*")) == ["step_0000002"]
    resume(run, make_job, lr=1e-5, steps=4)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    assert [line["step"] for line in lines if "l1" in line] == [1, 2, 3, 4]
    assert all(line["l1"] is not None for line in lines if "l1" in line)


@pytest.mark.parametrize("part", ["model", "discriminator", "ema", "optimizer"])
def test_nothing_infinite_is_saved(finished: Path, make_module_job: MakeJob, part: str) -> None:
    job = make_module_job(finished, resume=True, **OPTIONS)
    trainer = Trainer(SynthesisTask(job))
    step = finished / "checkpoints" / "step_0000004"
    restore(load_training(step), step, trainer, Watch(job.folder))
    trainer.expect_finite()
    state = trainer.state_dict()
    tensors = {
        "model": lambda: state["model"],
        "discriminator": lambda: state["discriminator"],
        "ema": lambda: state["ema"]["tensors"],
        "optimizer": lambda: state["optimizer"]["state"][0],
    }[part]()
    next(x for x in reversed(tensors.values()) if x.is_floating_point()).view(-1)[0] = math.inf
    with pytest.raises(InputError, match=f"^{part}: .*: 1 of .* values are not finite"):
        trainer.expect_finite()


@pytest.mark.parametrize(
    "during", ["scam.training.trainer.Trainer.step", "scam.synthesis.task.reconstruction_psnr"]
)
@pytest.mark.parametrize("what", ["removed", "renamed", "replaced"])
def test_a_run_folder_that_goes_away_ends_the_run_and_nothing_is_written(
    tmp_path: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, what: str, during: str
) -> None:
    out = tmp_path / "run"
    original = pkgutil.resolve_name(during)

    def spoilt(*arguments: Any) -> Any:
        if what == "removed":
            shutil.rmtree(out)
        else:
            out.rename(tmp_path / "elsewhere")
        if what == "replaced":
            out.mkdir()
            (out / CONFIG).write_text("{}")
        return original(*arguments)

    monkeypatch.setattr(during, spoilt)
    job = make_job(out, gan=0.0, perceptual="none", eval_every=1, save_every=1)
    with pytest.raises(InputError, match="was removed, renamed or replaced"):
        run_job(job, say=lambda _: None)
    left = [str(path.relative_to(out)) for path in out.rglob("*")]
    assert left == ([CONFIG] if what == "replaced" else [])
    assert (tmp_path / "elsewhere").exists() == (what != "removed")
