# SPDX-License-Identifier: Apache-2.0
"""What a training run works on."""

import math
import os
from dataclasses import dataclass

import torch

from scam.data import PairDataset
from scam.data.split import Split
from scam.errors import InputError
from scam.models import ModelConfig
from scam.training.distributed import SINGLE_PROCESS, World
from scam.training.options import TrainOptions
from scam.training.run_folder import RunFolder


@dataclass(frozen=True)
class Job:
    """Settings, pictures and place of a run; ``split``: which pictures, for its checkpoints."""

    folder: RunFolder
    config: ModelConfig
    options: TrainOptions
    train: PairDataset
    held_out: PairDataset
    device: torch.device
    world: World = SINGLE_PROCESS
    split: Split | None = None


def expect_room(job: Job) -> None:
    """InputError for networks or a batch that are larger than the memory of the job's device.

    Counts the least they need, so that only hopeless sizes are refused.
    """
    options, config = job.options, job.config
    room = _memory(job.device)
    # Weights, gradients, two moments and the average, in fp32; features in 16 bits.
    networks = 5 * 4 * config.least_parameters
    pictures = options.batch_size // job.world.size
    batch = 2 * pictures * config.size[0] * config.size[1] * config.width
    for count, name, value in (
        (networks, "width", config.width),
        (batch, "batch_size", options.batch_size),
    ):
        if count > room:
            raise InputError(
                f"{{{name}}}: training would take {count / 2**30:,.0f} GiB or more, "
                f"{job.device} has {room / 2**30:,.0f} GiB",
                **{name: value},
            )


def _memory(device: torch.device) -> float:
    """Bytes; infinite where that cannot be asked."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return math.inf
