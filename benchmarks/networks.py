# SPDX-License-Identifier: Apache-2.0
"""Whole networks and training steps, fused and dense; peak memory in processes of their own."""

import gc
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.cases import NetworkCase
from benchmarks.gate import Results, first_line
from benchmarks.machine import ROOT
from benchmarks.timing import Call
from scam.models import Scam, ScamConfig
from scam.nn.pyramid import labels_in
from scam.profiling import build_step, draw_batch
from scam.training.precision import resolve_precision
from scam.training.trainer import Trainer

CUDA_BATCH = 8
DENSE = "--no-fused-sca"
RELEASED = "released networks, --no-fused-sca"
_SMALL: dict[str, Any] = {"size": (64, 64), "width": 16, "levels": 4}
_PATIENCE_S = 1200


def batch_of(case: NetworkCase, device: torch.device) -> int:
    """Pictures a step: the case's on a CPU, at least 8 on a GPU."""
    return max(case.batch, CUDA_BATCH) if device.type == "cuda" else case.batch


def networks_call(
    config: ScamConfig, fused: bool, batch: int, device: torch.device, dtype: torch.dtype | None
) -> Callable[[], tuple[Tensor, ...]]:
    """Label pyramid, encoder, generator, and the gradients of all parameters."""
    torch.manual_seed(0)
    model = Scam(config, fused=fused).to(device)
    if dtype is not None:
        model = model.to(dtype)
    image, labels = draw_batch(config, batch, device)
    image = image.to(dtype or image.dtype)
    occurring, labels = labels_in(labels, config.num_labels), labels.to(device)
    precision = resolve_precision(device.type == "cuda", device)
    parameters = list(model.parameters())

    def run() -> tuple[Tensor, ...]:
        with precision.autocast(device):
            generated = model(image, model.prepare(labels, occurring, values=False))
            loss = (generated - image).abs().mean()
        grads = torch.autograd.grad(loss, parameters, materialize_grads=True)
        return generated.detach(), *grads

    return run


def check_networks(case: NetworkCase, device: torch.device) -> dict[str, float]:
    """Fused against dense in fp64, on the preset's labels with smaller maps and fewer channels.

    Raises:
        AssertionError: images or gradients that differ by more than fp32 explains.
    """
    config = replace(ScamConfig.preset(case.preset), **_SMALL)

    def results(fused: bool, dtype: torch.dtype) -> Results:
        generated, *grads = networks_call(config, fused, 2, torch.device("cpu"), dtype)()
        flat = torch.cat([g.flatten() for g in grads])
        return {"image": generated.double(), "grad_parameters": flat.double()}

    exact, found = results(False, torch.float64), results(True, torch.float32)
    errors = {
        name: float((found[name] - exact[name]).norm() / exact[name].norm()) for name in exact
    }
    for name, bound in (("image", 1e-4), ("grad_parameters", 1e-2)):
        assert errors[name] < bound, f"{name}: relative error {errors[name]:.2e}, bound {bound}"
    return errors


def step_call(case: NetworkCase, fused: bool, device: torch.device) -> Call:
    """One training step: every loss, both optimisers (AdamW, as published), the average."""
    config = ScamConfig.preset(case.preset)
    trainer = Trainer(
        build_step(config, device, fused=fused, amp=device.type == "cuda", optimizer="adamw")
    )
    image, labels = draw_batch(config, batch_of(case, device), device)
    steps = iter(range(1, 1 << 30))
    return lambda: trainer.step((image, labels), next(steps))


def check_steps(case: NetworkCase, device: torch.device) -> dict[str, float]:
    """Losses of the first steps, fused against dense, on smaller maps; at most 1e-3 apart."""
    config = replace(ScamConfig.preset(case.preset), **_SMALL)
    image, labels = draw_batch(config, 2, device)
    worst = 0.0
    trainers = [
        Trainer(build_step(config, device, fused=fused, optimizer="adamw"))
        for fused in (True, False)
    ]
    for step in (1, 2):
        ours, dense = (trainer.step((image, labels), step) for trainer in trainers)
        for name in ours:
            scale = max(1.0, abs(float(dense[name])))
            worst = max(worst, abs(float(ours[name] - dense[name])) / scale)
    assert worst < 1e-3, f"losses of fused and dense steps differ by {worst:.2e}"
    return {"losses": worst}


def peak_memory(case: NetworkCase, fused: bool, device: torch.device) -> dict[str, Any]:
    """Peak bytes of training steps above the built trainer, from a process of their own."""
    command = [
        sys.executable, "-m", "benchmarks.memory", case.preset, str(batch_of(case, device)),
        "fused" if fused else "dense", device.type,
    ]  # fmt: skip
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()  # the other process needs what this one keeps for later
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=_PATIENCE_S
        )
    except subprocess.TimeoutExpired as error:
        return {"refused": first_line(error)}
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"ended with {done.returncode}"]
        return {"refused": last[0][:200]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
