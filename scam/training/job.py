# SPDX-License-Identifier: Apache-2.0
"""What a training run works on."""

from dataclasses import dataclass

import torch

from scam.data import PairDataset
from scam.data.split import Split
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
