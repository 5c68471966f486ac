# SPDX-License-Identifier: Apache-2.0
"""The engine with a task of another kind: a tensor becomes one picture; nothing is held out."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scam.checkpoints.training_state import load_training
from scam.checkpoints.weights import read_weights
from scam.errors import InputError
from scam.training import contention, engine
from scam.training.optimisation import Losses, Optimisation, adamw, warm_up
from scam.training.options import TrainOptions
from scam.training.precision import resolve_precision
from scam.training.run_folder import RunFolder
from scam.training.task import Export, Measured
from scam.training.trainer import Trainer

CPU = torch.device("cpu")
PICTURE = torch.linspace(-1, 1, 3 * 8 * 8).view(3, 8, 8)


class Canvas(nn.Module):
    """One picture, and one parameter that no loss reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels = nn.Parameter(torch.zeros(3, 8, 8))
        self.idle = nn.Parameter(torch.ones(2))

    def forward(self) -> Tensor:
        return self.pixels


class OnePicture:
    """Two optimisations with a scaler each; the judge steps twice, and every other step only."""

    def __init__(self, **options: Any) -> None:
        settings = {"batch_size": 1, "lr": 0.05, "warmup": 2, "workers": 0, "seed": 3}
        self.options = TrainOptions(**settings | options)
        self.precision = resolve_precision(self.options.amp, CPU)
        torch.manual_seed(self.options.seed)
        self.model = Canvas()
        self.judge = nn.Linear(8, 1)
        self.others = {"judge": self.judge}
        self.watched = ""
        self.scalers = {
            name: torch.amp.GradScaler("cpu", enabled=False) for name in ("scaler", "scaler_judge")
        }
        self.learning = self._optimisation(self.model, "scaler")
        self.judging = self._optimisation(self.judge, "scaler_judge", per_step=2)
        self.optimisations = {"optimizer": self.learning, "optimizer_judge": self.judging}

    def _optimisation(self, network: nn.Module, scaler: str, **more: int) -> Optimisation:
        optimizer = adamw(network, self.options.lr)
        return Optimisation(optimizer, self.precision, self.scalers[scaler], **more)

    def batches(self, done: int) -> Iterator[Tensor]:
        while True:
            yield PICTURE

    def step(self, batch: Tensor, step: int) -> Losses:
        generator = torch.Generator().manual_seed(self.options.seed * 1000 + step)
        wanted = batch + 0.1 * torch.randn(batch.shape, generator=generator)
        self.judge.requires_grad_(False)
        terms = {"error": (1.0, (self.model() - wanted).abs().mean())}
        self.learning.backward(terms | {"judged": (0.1, self.judge(self.model()).mean())})
        losses, losses["norm"] = self.learning.step(warm_up(step, self.options.warmup))
        if step % 2:
            self.judge.requires_grad_(True)
            for _ in range(2):
                gap = self.judge(batch).mean() - self.judge(self.model().detach()).mean()
                self.judging.backward({"gap": (1.0, gap.square())})
                losses |= self.judging.step()[0]
        return losses

    def begin(self) -> Measured:
        return Measured()

    def measure(self, network: Canvas) -> Measured:
        return Measured()

    def sheet(self, network: Canvas, step: int, path: Path) -> None:
        """None."""

    def export(self, network: Canvas, step: int, measured: Mapping[str, float]) -> Export:
        assert not measured
        assert network is not self.model
        return Export(network.state_dict(), {"step": step})

    def card(self, description: Mapping[str, Any]) -> str:
        return f"one image, {description['step']} steps\n"

    def expect_trainable(self, network: Canvas) -> None:
        """Any is."""


def run(out: Path, *, resume: bool = False, **options: Any) -> OnePicture:
    folder = RunFolder.resume(out, {}) if resume else RunFolder.start(out, {"any": 1})
    task = OnePicture(**{"save_every": 3, "log_every": 2, **options})
    engine.train(task, folder, resume=resume, say=lambda _: None)
    return task


def plain(state: Any) -> Any:
    """The same with lists for tensors, which compare by their numbers."""
    if isinstance(state, dict):
        return {key: plain(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [plain(value) for value in state]
    return state.tolist() if isinstance(state, Tensor) else state


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").open()]


def test_a_run_leaves_its_folder(tmp_path: Path) -> None:
    run(tmp_path / "run", steps=60, save_every=20)
    left = {str(path.relative_to(tmp_path / "run")) for path in (tmp_path / "run").rglob("*")}
    assert {"config.json", "README.md", "metrics.jsonl", "checkpoints/latest"} <= left
    assert not {path for path in left if path.startswith("samples")}
    assert (tmp_path / "run/README.md").read_text() == "one image, 60 steps\n"
    tensors, description = read_weights(tmp_path / "run/checkpoints/step_0000060")
    assert description == {"step": 60}
    assert (tensors["pixels"] - PICTURE).abs().mean() < 0.15
    assert [line["step"] for line in lines(tmp_path / "run")] == list(range(2, 61, 2))


def test_a_run_that_others_disturb_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(contention, "_SECONDS", 0.0)
    monkeypatch.setattr(contention, "_interruptions", iter((0, 10**6)).__next__)
    run(tmp_path / "run", steps=6)
    assert capsys.readouterr().err.count("with OMP_NUM_THREADS=1 in front") == 1


def test_resuming_equals_not_stopping(tmp_path: Path) -> None:
    run(tmp_path / "whole", steps=9)
    run(tmp_path / "broken", steps=6)
    run(tmp_path / "broken", steps=9, resume=True)
    whole, broken = (tmp_path / name / "checkpoints/step_0000009" for name in ("whole", "broken"))
    name = "model.safetensors"
    assert (whole / name).read_bytes() == (broken / name).read_bytes()
    assert plain(load_training(whole)) == plain(load_training(broken))
    assert lines(tmp_path / "whole") == lines(tmp_path / "broken")
    state = load_training(broken)["trainer"]
    assert state.keys() == {
        "model", "ema", "judge", "optimizer", "optimizer_judge", "scaler", "scaler_judge",
    }  # fmt: skip
    assert float(state["optimizer_judge"]["state"][0]["step"]) == 10
    with pytest.raises(
        InputError, match=r"^this run has already done 9 steps: give a larger steps"
    ):
        run(tmp_path / "broken", steps=9, resume=True)


def test_a_loss_of_some_steps_is_their_mean(tmp_path: Path) -> None:
    """Also where the step that is logged has none."""
    run(tmp_path / "each", steps=4, log_every=1, save_every=4)
    run(tmp_path / "four", steps=4, log_every=4, save_every=4)
    each, (four,) = lines(tmp_path / "each"), lines(tmp_path / "four")
    assert ["gap" in line for line in each] == [True, False, True, False]
    assert four["gap"] == pytest.approx((each[0]["gap"] + each[2]["gap"]) / 2)
    assert four["error"] == pytest.approx(sum(line["error"] for line in each) / 4)


def test_a_state_of_other_parts_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "run", steps=3)
    task = OnePicture(steps=9)
    trainer, step = Trainer(task), tmp_path / "run/checkpoints/step_0000003"
    state = load_training(step)["trainer"]
    for name in task.optimisations | task.others:
        rest = {key: value for key, value in state.items() if key != name}
        with pytest.raises(InputError, match=f"{name} is None, expected a dict"):
            trainer.expect_state(rest, 3)
    with pytest.raises(InputError, match=r"optimizer: parameter 0: step is 3\.0, expected 0 to 1"):
        trainer.expect_state(state, 1)
    trainer.expect_state(state, 3)  # the judge has stepped four times in three steps


def test_steps_that_are_not_finite_end_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OnePicture, "batches", lambda *_: iter([PICTURE * torch.inf] * 9))
    with pytest.raises(InputError, match="the gradients of 5 steps in a row were not finite"):
        run(tmp_path / "run", steps=9, save_every=9, log_every=1)
