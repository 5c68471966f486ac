# SPDX-License-Identifier: Apache-2.0
"""What a step folder's training state must hold before a run takes it up."""

import math
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scam.checkpoints.step_folders import TRAINING
from scam.checkpoints.weights import expect_finite, expect_tensors
from scam.data.dataset import in_order
from scam.errors import InputError, quoted
from scam.synthesis.job import Job
from scam.training.trainer import Trainer
from scam.training.watch import SkipWatch

_FREE = ("params", "lr")  # the numbers of parameters, and what each step sets anew


def restore(state: dict[str, Any], step_folder: Path, trainer: Trainer, watch: SkipWatch) -> int:
    """Take up what :func:`scam.training.checkpoint.load_training` read; returns its step.

    Raises:
        InputError: it is not the state of these networks and optimisers at this folder's step, or
            not finite. Then nothing was changed.
    """
    path = step_folder / TRAINING
    step = _integer(state, "step", path)
    if step != int(step_folder.name.removeprefix("step_")):
        raise InputError(f"{path}: step is {step}, expected that of {step_folder.name}")
    parts = _dict(state, "trainer", path)
    _expect_trainer(parts, trainer, step, path)
    counts = _dict(state, "watch", path)
    skipped = {name: _integer(counts, name, path, most=step) for name in ("total", "in_a_row")}
    trainer.load_state_dict(parts)
    watch.load_state_dict(skipped)
    return step


def expect_finite_state(trainer: Trainer) -> None:
    """InputError if a weight, an average or a moment is not finite."""
    state = trainer.state_dict()
    for name in ("model", "discriminator"):
        for key, tensor in state[name].items():
            expect_finite(tensor, f"{name}: {key}")
    for key, tensor in state["ema"]["tensors"].items():
        expect_finite(tensor, f"ema: {key}")
    for name in ("optimizer", "optimizer_d"):
        for number, moments in state[name]["state"].items():
            for key, tensor in moments.items():
                expect_finite(tensor, f"{name}: {key} of parameter {number}")


def expect_trainable(job: Job, trainer: Trainer) -> None:
    """InputError unless a training picture goes through the networks and back in finite numbers.

    Weights can be finite and too large for any step to follow.
    """
    model = trainer.model
    image, labels = (x.to(trainer.device) for x in next(in_order(job.train, 1, [0])))
    was_training = model.training
    model.eval()
    # Compiling for a batch of one would not pay.
    eager = torch.compiler.set_stance("force_eager") if job.options.compile else nullcontext()
    try:
        with eager, torch.enable_grad():
            loss = (model(image, model.pyramid(labels)) - image).abs().mean()
            loss.backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
    finally:
        model.zero_grad(set_to_none=True)
        model.train(was_training)
    for value, what in ((loss.detach(), "difference"), (norm, "gradient")):
        # Without any gradient every pixel is as black or white as can be.
        if not 0 < float(value) < math.inf:
            raise InputError(f"a training picture's {what} is {value.item()}")


def _expect_trainer(parts: Mapping[str, Any], trainer: Trainer, step: int, path: Path) -> None:
    own = trainer.state_dict()
    for name in ("model", "discriminator"):
        expect_tensors(_dict(parts, name, path), own[name], f"{path}: {name}")
    ema = _dict(parts, "ema", path)
    expect_tensors(ema.get("tensors"), own["ema"]["tensors"], f"{path}: ema")
    _integer(ema, "t", path)
    # A parameter that no loss reaches has no moments, and has never moved.
    still = {
        number
        for number, (name, _) in enumerate(trainer.model.named_parameters())
        if torch.equal(parts["model"][name], ema["tensors"][name].to(parts["model"][name].dtype))
    }
    for name, optimizer, may_lack in (
        ("optimizer", trainer.optimizer, still),
        ("optimizer_d", trainer.optimizer_d, set[int]()),
    ):
        found = _dict(parts, name, path)
        _expect_optimizer(found, optimizer, step, may_lack, f"{path}: {name}")
    _expect_scaler(_dict(parts, "scaler", path), f"{path}: scaler")
    adversary = parts.get("adversary", {})
    expect_tensors(adversary, own["adversary"], f"{path}: adversary")


def _expect_optimizer(
    found: Mapping[str, Any],
    optimizer: torch.optim.Optimizer,
    step: int,
    may_lack: set[int],
    what: str,
) -> None:
    own = optimizer.state_dict()
    groups, moments = found.get("param_groups"), found.get("state")
    if not isinstance(groups, list) or len(groups) != len(own["param_groups"]):
        raise InputError(f"{what}: param_groups is {quoted(groups):.40}, expected one group")
    for group, ours in zip(groups, own["param_groups"], strict=True):
        if not isinstance(group, dict) or group.get("params") != ours["params"]:
            raise InputError(f"{what} of another model (it has other parameters)")
        for name, value in ours.items():
            if name not in _FREE and name in group and not _same(group[name], value):
                raise InputError(f"{what}: {name} is {quoted(group[name])}, expected {value}")
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if not isinstance(moments, dict) or moments.keys() - set(range(len(parameters))):
        raise InputError(f"{what}: of another model (it has moments of other parameters)")
    for number, parameter in enumerate(parameters):
        if not moments:  # not a step yet
            return
        if number in moments:
            _expect_moments(moments[number], parameter, step, f"{what}: parameter {number}")
        elif number not in may_lack:
            raise InputError(f"{what}: parameter {number} has no moments")


def _expect_moments(moments: Any, parameter: Tensor, step: int, what: str) -> None:
    steps = torch.zeros((), dtype=torch.float32)
    like = {"step": steps, "exp_avg": parameter, "exp_avg_sq": parameter}
    expect_tensors(moments, like, what)
    if not 0 <= float(moments["step"]) <= step:
        raise InputError(f"{what}: step is {float(moments['step'])}, expected 0 to {step}")
    if bool((moments["exp_avg_sq"] < 0).any()):
        raise InputError(f"{what}: exp_avg_sq is negative, expected squares")


def _expect_scaler(found: Mapping[str, Any], what: str) -> None:
    for name, value in found.items():
        whole = isinstance(value, int | float) and not isinstance(value, bool)
        if not whole or not 0 <= value < float("inf"):
            raise InputError(f"{what}: {quoted(name)} is {quoted(value)}, expected a number")


def _same(found: Any, own: Any) -> bool:
    """Equal in type too: 1 is not True."""
    if isinstance(own, tuple | list):
        return isinstance(found, tuple | list) and list(found) == list(own)
    return type(found) is type(own) and bool(found == own)


def _dict(state: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    if not isinstance(state.get(name), dict):
        raise InputError(f"{path}: {name} is {quoted(state.get(name)):.40}, expected a dict")
    found: dict[str, Any] = state[name]
    return found


def _integer(state: Mapping[str, Any], name: str, path: Path, most: int | None = None) -> int:
    value = state.get(name)
    if type(value) is not int or value < 0 or (most is not None and value > most):
        expected = "0 or more" if most is None else f"0 to {most}"
        raise InputError(f"{path}: {name} is {quoted(value):.40}, expected {expected}")
    return value
