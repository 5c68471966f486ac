# SPDX-License-Identifier: Apache-2.0
"""Compile the Triton kernels of the headline problems and of a training step in many processes.

One process would take minutes. The others find them in Triton's cache.
"""

from multiprocessing import get_context
from typing import Any

import torch

from benchmarks.headline import CASES, GIVEN, draw, headline
from scam.models import ScamConfig
from scam.profiling import build_step, draw_batch
from scam.training.trainer import Trainer

PRESET = "celebamask-hq"


def warm(processes: int, device: str = "cuda") -> None:
    """Each process makes every call and compiles its share of the launches; none is run."""
    shares = [(number, processes, device) for number in range(processes)]
    with get_context("spawn").Pool(processes) as pool:
        compiled = pool.starmap(_share, shares)
    print(f"compiled {sum(compiled)} kernels in {processes} processes")


def _share(number: int, processes: int, device: str) -> int:
    from triton.runtime.jit import JITFunction

    torch.set_num_threads(1)
    run = JITFunction.run
    seen: dict[str, int] = {}

    def compile_mine(kernel: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> None:
        key = f"{kernel.fn.__module__}.{kernel.fn.__name__}{_facts(args)}{_facts(options)}"
        if seen.setdefault(key, len(seen)) % processes == number and key not in mine:
            mine.add(key)
            run(kernel, *args, grid=grid, warmup=True, **options)

    mine: set[str] = set()
    JITFunction.run = compile_mine
    where, config = torch.device(device), ScamConfig.preset(PRESET)
    # Kernels do not depend on the number of images.
    trainer = Trainer(build_step(config, where, fused=True, amp=True, optimizer="adamw"))
    trainer.step(draw_batch(config, 1, where), 1)
    for case in CASES:
        drawn = draw(case, where)
        for given in GIVEN:
            one = headline(case, drawn, given, "triton")
            one.forward()()
            one.backward()()
    return len(mine)


def _facts(value: Any) -> Any:
    """What a kernel is specialised by, and more."""
    if isinstance(value, torch.Tensor):
        return value.dtype, value.data_ptr() % 16
    if isinstance(value, tuple):
        return tuple(map(_facts, value))
    if isinstance(value, dict):
        return {name: _facts(one) for name, one in value.items()}
    return getattr(value, "value", value)
