# SPDX-License-Identifier: Apache-2.0
import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import scam
from scam.checkpoints.step_folders import step_folder
from scam.checkpoints.training_state import load_training
from scam.checkpoints.weights import read_weights
from scam.data import save_label_png
from scam.errors import InputError, Interrupted, Stopped
from scam.models import Scam
from scam.models.checkpoint import load_checkpoint
from scam.synthesis import task
from scam.synthesis.job import Job
from scam.synthesis.task import SynthesisTask, run_job
from scam.training import outputs
from scam.training.trainer import Trainer

MakeJob = Callable[..., Job]


def lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def flat(state: object, prefix: str = "") -> dict[str, object]:
    if not isinstance(state, dict | list | tuple):
        return {prefix: state}
    entries = state.items() if isinstance(state, dict) else enumerate(state)
    return {k: v for key, value in entries for k, v in flat(value, f"{prefix}/{key}").items()}


def test_a_run_leaves_what_it_promises(tmp_path: Path, make_job: MakeJob) -> None:
    sheet = run_job(make_job(tmp_path / "run", sample_every=2, eval_every=2))
    run = tmp_path / "run"
    assert sheet == run / "samples" / "step_0000004.png"
    assert sorted(p.name for p in (run / "samples").iterdir()) == [
        "step_0000002.png",
        "step_0000004.png",
    ]
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == [
        "latest",
        "step_0000002",
        "step_0000004",
    ]
    found = lines(run / "metrics.jsonl")
    assert found[0].keys() == {"step", "psnr_mean_colours", "psnr_own_colours"}
    assert [e["step"] for e in found if "psnr" in e] == [2, 4]
    assert [e["step"] for e in found if "l1" in e] == [1, 2, 3, 4]


def test_the_last_sheet_shows_what_refined_latents_give(tmp_path: Path, make_job: MakeJob) -> None:
    """In a fifth of the run's steps: two columns that earlier sheets lack."""
    run_job(make_job(tmp_path / "run", steps=5, sample_every=3))
    samples = tmp_path / "run" / "samples"
    early, last = (Image.open(samples / f"step_000000{step}.png") for step in (3, 5))
    assert (last.width - early.width) * 2 == pytest.approx(early.width, rel=0.1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"accumulate": 2, "gan_from": 3, "warmup": 5},
        {"fidelity": "released"},
        {"lecam": 0.3, "diffaugment": "color,translation,cutout", "gan_from": 1},
        {"discriminator": "oasis", "labelmix": 10.0, "style_dropout": 0.2},
        {
            "discriminator": "patch",
            "feature_matching": 10.0,
            "fresh_fake": True,
            "decay_from": 0.3,
            "betas": (0.0, 0.9),
            "warmup": 0,
        },
    ],
)
def test_resuming_equals_not_stopping_bit_for_bit(
    tmp_path: Path, make_job: MakeJob, options: dict[str, object]
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run_job(make_job(whole, save_every=3, log_every=2, steps=6, **options))

    class KilledError(Exception):
        pass

    job = make_job(broken, save_every=3, log_every=2, steps=6, **options)
    seen = 0

    def fail_at_the_last(checkpoints: object, step: int, *rest: object) -> Path:
        nonlocal seen
        seen = step
        if step == 6:
            raise KilledError
        return original(checkpoints, step, *rest)

    original = outputs.save
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outputs, "save", fail_at_the_last)
        with pytest.raises(KilledError):
            run_job(job)
    assert seen == 6
    torch.rand(3)  # global random state must not matter
    job = make_job(broken, resume=True, save_every=3, log_every=2, steps=6, **options)
    run_job(job, resume=True)

    assert (whole / "metrics.jsonl").read_text() == (broken / "metrics.jsonl").read_text()
    last = [run / "checkpoints" / "step_0000006" for run in (whole, broken)]
    models = [read_weights(folder)[0] for folder in last]
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
    state, others = (flat(load_training(folder)["trainer"]) for folder in last)
    assert state.keys() == others.keys()
    for name, value in state.items():
        other = others[name]
        assert torch.equal(value, other) if isinstance(value, Tensor) else value == other, name


def test_the_saved_model_generates_as_the_averaged_one(tmp_path: Path, make_job: MakeJob) -> None:
    job = make_job(tmp_path / "run")
    run_job(job)
    model = scam.load(tmp_path / "run")
    item = job.held_out[0, 0]
    latents = model.encode(item["image"], item["labels"])
    assert torch.equal(
        model.generate(item["labels"], latents), model.generate(item["labels"], latents)
    )
    assert model.mean_known.sum() >= 8
    assert model.mean_tokens[0].abs().sum() > 0
    found = load_checkpoint(tmp_path / "run" / "checkpoints" / "step_0000004")
    assert found.label_names[:3] == ("background", "hair", "face")
    labels_of = found.model.labels_of
    assert labels_of("hair") == labels_of("1") == (1,)
    with pytest.raises(InputError, match="label 'tail': expected one of background, hair"):
        labels_of("tail")
    averaged = load_training(found.path)["trainer"]["ema"]["tensors"]["encoder.tokens"]
    assert torch.equal(model.encoder.tokens, averaged)


def spoil(monkeypatch: pytest.MonkeyPatch, spoilt: Callable[[int], bool]) -> None:
    """Pictures of some steps become NaN, and with them every gradient."""
    original = Trainer.step

    def step(self: Trainer, batch: tuple[Tensor, Tensor], step: int) -> dict[str, Tensor]:
        image, labels = batch
        return original(self, (image * (torch.nan if spoilt(step) else 1), labels), step)

    monkeypatch.setattr(Trainer, "step", step)


def test_a_step_without_finite_gradients_is_left_out_and_counted(
    tmp_path: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, lambda step: step == 2)
    run_job(make_job(tmp_path / "run"))
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()]
    losses = {line["step"]: line for line in lines if "l1" in line}
    assert losses[2]["l1"] is None
    assert [line.get("skipped") for line in losses.values()] == [None, 1, 1, 1]
    before, after = (
        load_training(tmp_path / "run/checkpoints" / name)["trainer"]
        for name in ("step_0000002", "step_0000004")
    )
    assert all(torch.isfinite(x).all() for x in after["model"].values())
    moments = before["optimizer"]["state"][0], after["optimizer"]["state"][0]
    assert [float(state["step"]) for state in moments] == [1, 3]
    run_job(make_job(tmp_path / "run", resume=True, steps=5), resume=True)
    last = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open() if "l1" in line]
    assert last[-1]["skipped"] == 1


def test_a_step_that_cannot_be_measured_is_saved_before_the_run_ends(
    tmp_path: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(*_: object) -> None:
        raise InputError("held_out.png: no such file")

    monkeypatch.setattr(SynthesisTask, "measure", measure)
    with pytest.raises(InputError, match="held_out"):
        run_job(make_job(tmp_path / "run", eval_every=2))
    assert load_training(tmp_path / "run/checkpoints/step_0000002")["step"] == 2


def test_too_many_in_a_row_end_the_run(
    tmp_path: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, lambda step: step > 3)
    with pytest.raises(InputError, match="step 8: the run has diverged: the gradients of 5"):
        run_job(make_job(tmp_path / "run", steps=20))
    state = load_training(tmp_path / "run/checkpoints/step_0000006")["trainer"]["model"]
    assert all(torch.isfinite(x).all() for x in state.values())


def sending(monkeypatch: pytest.MonkeyPatch, number: int, times: int = 1) -> None:
    """Let every run send its own process a signal at its third step."""
    original = Trainer.step

    def step(self: Trainer, batch: tuple[Tensor, Tensor], step: int) -> dict[str, Tensor]:
        for _ in range(times if step == 3 else 0):
            os.kill(os.getpid(), number)
            time.sleep(0.01)  # two pending signals would be one
        return original(self, batch, step)

    monkeypatch.setattr(Trainer, "step", step)


@pytest.mark.parametrize(
    ("number", "kind", "name", "status"),
    [(signal.SIGTERM, Stopped, "SIGTERM", 143), (signal.SIGINT, Interrupted, "Ctrl-C", 130)],
)
def test_a_signal_saves_and_leaves(
    tmp_path: Path,
    make_job: MakeJob,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    kind: type[Stopped],
    name: str,
    status: int,
) -> None:
    handlers = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)}
    sending(monkeypatch, number)
    said = rf"stopped by {name} after step 3, saved in .*; resume with resume=True out="
    with pytest.raises(kind, match=said) as caught:
        run_job(make_job(tmp_path / "run", steps=6))
    assert caught.value.status == status
    assert {one: signal.getsignal(one) for one in handlers} == handlers
    monkeypatch.undo()
    run_job(make_job(tmp_path / "run", steps=6, resume=True), resume=True)
    run_job(make_job(tmp_path / "whole", steps=6))
    ended, whole = (
        load_training(tmp_path / out / "checkpoints/step_0000006")["trainer"]["model"]
        for out in ("run", "whole")
    )
    assert all(torch.equal(ended[name], whole[name]) for name in whole)
    # Nothing was measured or generated on the way out.
    first, second = ((tmp_path / out / "metrics.jsonl").read_text() for out in ("run", "whole"))
    assert first == second


def test_a_second_ctrl_c_ends_at_once(
    tmp_path: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    sending(monkeypatch, signal.SIGINT, times=2)
    with pytest.raises(KeyboardInterrupt):
        run_job(make_job(tmp_path / "run", steps=6))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_initial_weights_do_not_depend_on_the_perceptual_loss(
    tmp_path: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is a network draws its weights before it loads others."""
    drawing = lambda *_, **__: nn.Linear(3, 3)  # noqa: E731
    found = []
    for number, build in enumerate((task.build_perceptual, drawing)):
        monkeypatch.setattr(task, "build_perceptual", build)
        built = SynthesisTask(make_job(tmp_path / str(number)))
        networks = built.model, built.discriminator
        found.append([x for network in networks for x in network.state_dict().values()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_the_card_names_what_was_changed(tmp_path: Path, make_job: MakeJob) -> None:
    options = {"lecam": 0.3, "gan_loss": "relativistic", "diffaugment": "color", "seed": 3}
    run_job(make_job(tmp_path / "run", steps=1, style_dropout=0.1, **options))
    card = (tmp_path / "run" / "README.md").read_text()
    for row in (
        "discriminator | scam", "lecam | 0.3", "gan loss | relativistic", "diffaugment | color",
        "seed | 3", "style dropout | 0.1",
    ):  # fmt: skip
        assert f"| {row} |" in card
    assert "gan from" not in card
    run_job(make_job(tmp_path / "without", steps=1, gan_from=1))
    card = (tmp_path / "without" / "README.md").read_text()
    assert "| discriminator | none |" in card
    assert "seed" not in card


def test_the_card_s_code_runs_on_the_run_folder(
    tmp_path: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(tmp_path / "this folder", steps=1)
    run_job(job)
    (code,) = re.findall(r"```python\n(.*?)```", job.folder.card.read_text(), flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    photo, labels = job.held_out.source.load(0, (64, 64))
    scam.save_picture(photo, "photograph.jpg")
    save_label_png("label_map.png", labels)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert isinstance(names["image"], Tensor)
    assert names["image"].shape == (1, 3, 32, 32)
    assert Path("generated.png").is_file()
    step = Scam.from_pretrained(step_folder(job.folder.checkpoints, 1))
    assert torch.equal(step.mean_tokens, scam.load(job.folder.path).mean_tokens)


def test_nothing_left_to_do_is_an_error(tmp_path: Path, make_job: MakeJob) -> None:
    run_job(make_job(tmp_path / "run"))
    with pytest.raises(
        InputError, match=r"^this run has already done 4 steps: give a larger steps"
    ):
        run_job(make_job(tmp_path / "run", resume=True), resume=True)


def test_a_checkpoint_of_another_configuration(tmp_path: Path, make_job: MakeJob) -> None:
    run_job(make_job(tmp_path / "run"))
    step = tmp_path / "run" / "checkpoints" / "step_0000004"
    config = json.loads((step / "config.json").read_text())
    (step / "manifest.json").unlink()  # as a folder of an earlier version
    for changes, message in (
        ({"model": {**config["model"], "token_dim": 32}}, "weights of another model"),
        ({"model": {**config["model"], "shape": 1}}, "'shape' is not one of"),
        ({"label_names": None}, "label_names=None: expected a list of names"),
    ):
        (step / "config.json").write_text(json.dumps({**config, **changes}))
        with pytest.raises(InputError, match=message):
            scam.load(step)


def test_a_full_disk_keeps_the_previous_checkpoint(
    tmp_path: Path, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = torch.save

    def full(state: dict[str, object], file: object) -> None:
        if state["step"] == 4:
            raise OSError(28, "No space left on device")
        original(state, file)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(InputError, match="No space left on device"):
        run_job(make_job(tmp_path / "run"))
    names = sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir())
    assert names == ["latest", "step_0000002"]
    assert scam.load(tmp_path / "run").config.size == (32, 32)
