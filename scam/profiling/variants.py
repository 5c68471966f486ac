# SPDX-License-Identifier: Apache-2.0
"""One variant of a training step, fused or dense: time, memory, and which module they go to."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from scam.models import ModelConfig
from scam.profiling import modules
from scam.profiling.memory import peak_bytes
from scam.profiling.modules import ModuleCost, Scopes
from scam.profiling.subject import build_trainer, draw_batch
from scam.storage.files import write_aside
from scam.version import __version__

MORE_STEPS = 3
"""Steps that :func:`measure_step` takes besides those that it times."""


def measure_step(
    config: ModelConfig,
    device: torch.device,
    *,
    fused: bool = True,
    amp: bool = False,
    batch_size: int = 1,
    steps: int = 3,
    depth: int = 3,
    trace: Path | None = None,
    overwrite: bool = False,
    after_step: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """A step under memory hooks, one for its peak, ``steps`` timed ones, a profiled one.

    depth: of :func:`scam.profiling.module_tree`. trace: where to write a Chrome trace. Returns
    what :func:`scam.profiling.table.render` shows. InputError if the trace cannot be written, or
    is there and not to be overwritten.
    """
    trainer = build_trainer(config, device, fused=fused, amp=amp)
    image, labels = draw_batch(config, batch_size, device)
    tree = modules.module_tree(trainer, depth)
    number = iter(range(1, steps + MORE_STEPS + 1))

    def step() -> None:
        trainer.step(image, labels, next(number))
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        after_step()

    lasting: list[torch.Tensor] = [
        *trainer.model.parameters(),
        *trainer.discriminator.parameters(),
    ]
    lasting += [*trainer.model.buffers(), *trainer.perceptual.parameters(), image, labels]
    with Scopes(tree) as scopes, modules.saved_bytes(scopes, lasting) as saved:
        step()
    peak = peak_bytes(step, device)
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    with Scopes(tree) as scopes:
        own = _profiled(step, scopes, device, trace, overwrite)
    for path, count in saved.items():
        own.setdefault(path, ModuleCost()).saved_bytes = count
    totals = modules.summed_up(own, [*tree, modules.OPTIMIZERS, modules.REST])
    return {
        "step_s": statistics.median(times),
        "steps": len(times),
        "peak_bytes": peak,
        "saved_bytes": sum(saved.values()),
        "modules": {path: asdict(cost) for path, cost in totals.items()},
    }


def machine(device: torch.device) -> dict[str, Any]:
    """What else the numbers depend on: the device, its threads, the versions."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "scam": __version__,
    }


def _profiled(
    step: Callable[[], None],
    scopes: Scopes,
    device: torch.device,
    trace: Path | None,
    overwrite: bool,
) -> dict[str, ModuleCost]:
    if trace is None:
        return modules.module_times(step, scopes, device)
    with write_aside(trace, overwrite=overwrite) as file:
        return modules.module_times(step, scopes, device, file.name)
