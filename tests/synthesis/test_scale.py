# SPDX-License-Identifier: Apache-2.0
"""Ways to run a step that change how it is computed, and hardly what."""

import copy
from collections.abc import Callable
from functools import partialmethod
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from scam.checkpoints.training_state import load_training
from scam.data import Mannequins, PairDataset, batches
from scam.models import Scam, ScamConfig
from scam.nn.narrow_conv import NarrowConv2d
from scam.synthesis.job import Job
from scam.synthesis.task import run_job
from scam.training.randomness import picture_generators
from scam.training.trainer import Trainer

MakeTrainer = Callable[..., Trainer]
MakeJob = Callable[..., Job]
CPU = torch.device("cpu")
PAPER = {"lr": 1e-4, "lr_discriminator": 4e-4}


def batch(step: int, size: tuple[int, int] = (32, 32)) -> tuple[Tensor, Tensor]:
    dataset = PairDataset(Mannequins("train", 8), size)
    found = next(batches(dataset, 2, seed=0, start_step=step))
    return found["image"], found["labels"]


def run(trainer: Trainer, steps: int) -> list[dict[str, float]]:
    found = [trainer.step(batch(step), step) for step in range(1, steps + 1)]
    return [{name: float(x) for name, x in losses.items()} for losses in found]


def weights(trainer: Trainer) -> list[Tensor]:
    return [*trainer.learner.model.parameters(), *trainer.learner.discriminator.parameters()]


def close(one: list[dict[str, float]], other: list[dict[str, float]], bound: float) -> None:
    """Relative, or absolute below 1: adversarial losses pass through 0."""
    for step, (a, b) in enumerate(zip(one, other, strict=True), 1):
        assert a.keys() == b.keys()
        for name in a:
            assert abs(a[name] - b[name]) <= bound * max(1.0, abs(a[name])), (step, name)


@pytest.mark.parametrize("fused", [True, False])
def test_gradient_checkpointing_gives_the_same_bits(
    make_trainer: MakeTrainer, fused: bool
) -> None:
    plain, twice = (
        make_trainer(fused_sca=fused, gradient_checkpointing=on) for on in (False, True)
    )
    assert run(plain, 3) == run(twice, 3)
    assert all(torch.equal(a, b) for a, b in zip(weights(plain), weights(twice), strict=True))


@pytest.mark.parametrize("fidelity", ["default", "released"])
def test_gradient_checkpointing_keeps_a_quarter_at_most(fidelity: str) -> None:
    config = ScamConfig(
        11, (64, 64), width=16, levels=4, latents_per_label=2, background_latents=4,
        token_dim=16, attention_dim=16, fidelity=fidelity,
    )  # fmt: skip
    model = Scam(config)
    image, labels = batch(0, (64, 64))
    kept = []
    for on in (False, True):
        model.configure(gradient_checkpointing=on)
        storages: dict[int, int] = {}

        def note(x: Tensor, storages: dict[int, int] = storages) -> Tensor:
            if not isinstance(x, nn.Parameter):
                storages[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        noise = picture_generators(0, 1, range(2), "noise", CPU)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
            generated = model(image, model.prepare(labels), noise)
        kept.append(sum(storages.values()))
        generated.sum().backward()
    assert kept[1] < kept[0] / 4


def test_channels_last_reaches_every_map(
    make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses as without, to 1e-4 over three steps (measured: 8e-7)."""
    plain, last = (make_trainer(**PAPER, channels_last=on) for on in (False, True))
    kernels = [p for p in weights(last) if p.dim() == 4]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)
    formats = []
    convs = (m for m in last.learner.model.modules() if isinstance(m, nn.Conv2d))
    for conv in (m for m in convs if not isinstance(m, NarrowConv2d)):  # colours: as pictures
        conv.register_forward_hook(
            lambda _, __, out: formats.append(out.is_contiguous(memory_format=torch.channels_last))
        )
    close(run(plain, 3), run(last, 3), 1e-4)
    assert formats
    assert all(formats)


def test_channels_last_resumes_to_the_bit(tmp_path: Path, make_job: MakeJob) -> None:
    """Adam's moments must come back with the strides of the weights."""
    options = {"channels_last": True, "save_every": 1}
    run_job(make_job(tmp_path / "whole", steps=3, **options))
    run_job(make_job(tmp_path / "broken", steps=2, **options))
    run_job(make_job(tmp_path / "broken", steps=3, resume=True, **options), resume=True)
    whole, broken = (
        load_training(tmp_path / name / "checkpoints/step_0000003")["trainer"]["model"]
        for name in ("whole", "broken")
    )
    assert all(torch.equal(whole[name], broken[name]) for name in whole)


def test_moments_of_another_layout_are_resumed(make_trainer: MakeTrainer) -> None:
    """Earlier versions stored those of default networks with their channels outermost."""
    whole, resumed = (make_trainer(**PAPER) for _ in range(2))
    run(whole, 2)
    state = copy.deepcopy(whole.state_dict())
    for moments in state["optimizer"]["state"].values():
        moments |= {name: moment.contiguous() for name, moment in moments.items()}
    resumed.load_state_dict(state)
    for trainer in (whole, resumed):
        trainer.step(batch(3), 3)
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(resumed), strict=True))


SIMPLE = {"pyramid": False, "self_attention": False, "duplex": False}
"""Leaves out most layers: compiling takes its time."""


@pytest.fixture
def compiler(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which back end ``nn.Module.compile`` uses."""
    name: str = request.param
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend=name))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    return name


def check_compiled(
    make_trainer: MakeTrainer, small: ScamConfig, changes: dict[str, object], **options: object
) -> None:
    """The losses of eager training, and no recompilation when labels come and go."""
    config = ScamConfig.from_dict({**small.as_dict(), **changes})
    eager, compiled = (
        make_trainer(config, **PAPER, **options, compile=on) for on in (False, True)
    )
    names = eager.learner.model.state_dict().keys()
    assert compiled.learner.model.state_dict().keys() == names
    close(run(eager, 3), run(compiled, 3), 1e-4)
    counted = torch._dynamo.utils.counters
    assert counted["stats"]["unique_graphs"] == 2, "one encoder, one generator"
    assert not counted["graph_break"]


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ["aot_eager"], indirect=True)
@pytest.mark.parametrize(
    ("changes", "options"),
    [
        (SIMPLE, {}),
        pytest.param(
            SIMPLE,
            {"gradient_checkpointing": True, "channels_last": True},
            marks=pytest.mark.exhaustive,
        ),
        ({**SIMPLE, "fidelity": "released"}, {}),
        pytest.param(SIMPLE, {"fused_sca": False}, marks=pytest.mark.exhaustive),
    ],
)
def test_networks_are_traced_whole_and_once(
    compiler: str,
    make_trainer: MakeTrainer,
    small: ScamConfig,
    changes: dict[str, object],
    options: dict[str, object],
) -> None:
    """Everything that the default compiler does but the minutes of code generation."""
    check_compiled(make_trainer, small, changes, gan=0.0, **options)


@pytest.mark.exhaustive
@pytest.mark.parametrize("compiler", ["inductor"], indirect=True)
@pytest.mark.parametrize(
    ("changes", "options"),
    [
        (SIMPLE, {}),
        (SIMPLE, {"gradient_checkpointing": True}),
        (SIMPLE, {"channels_last": True}),
        ({}, {}),
        ({"fidelity": "released"}, {}),
    ],
)
def test_compiled_training_gives_the_same_losses(
    compiler: str,
    make_trainer: MakeTrainer,
    small: ScamConfig,
    changes: dict[str, object],
    options: dict[str, object],
) -> None:
    check_compiled(make_trainer, small, changes, **options)
