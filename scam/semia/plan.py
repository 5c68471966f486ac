# SPDX-License-Identifier: Apache-2.0
"""How much can be learned in a given time."""

import time
from dataclasses import replace

import torch
from torch import Tensor

from scam.data.convert import floating
from scam.semia.generator import GeneratorConfig
from scam.semia.options import SemiaOptions
from scam.semia.patches import PatchOptions
from scam.semia.task import PREVIEWS, SemiaTask

_LEAST_STEPS = 20


def within_seconds(
    image: Tensor,
    labels: Tensor,
    network: GeneratorConfig,
    options: SemiaOptions,
    patches: PatchOptions,
    seconds: float,
    device: torch.device,
) -> SemiaOptions:
    """As many steps and pairs as fit into ``seconds``, as measured on a few."""
    begun = SemiaTask(floating(image.to(device)), labels.to(device), network, options, patches)
    step, pair = seconds_of(begun)
    # A tenth at most for pairs, and a tenth for measuring, sheets and checkpoints.
    pairs = min(options.pairs, max(4, int(seconds / 10 / max(pair, 1e-6))))
    steps = max(_LEAST_STEPS, int((0.9 * seconds - (pairs + PREVIEWS) * pair) / step))
    every = max(10, steps // 5)
    return replace(
        options, steps=steps, pairs=pairs, eval_every=every, sample_every=every, save_every=every
    )


def seconds_of(task: SemiaTask, steps: int = 6) -> tuple[float, float]:
    """Seconds that a step takes, and that a pair takes to be made; ``task`` is used up."""
    begun = time.perf_counter()
    pairs = [task.pairs.itself, task.pairs.at(1, 1), task.pairs.at(2, 1), task.pairs.at(3, 1)]
    # Some may be one and the same.
    made = (time.perf_counter() - begun) / len({id(pair) for pair in pairs})
    task.step(pairs[0], 1)
    begun = time.perf_counter()
    for step in range(steps):
        task.step(pairs[step % len(pairs)], step + 1)
    return (time.perf_counter() - begun) / steps, made
