# SPDX-License-Identifier: Apache-2.0
"""What a run of this task works on, and how it is opened: settings and data checked, locked."""

import itertools
import math
import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from scam.checkpoints.weights import CONFIG
from scam.data import PairDataset
from scam.data.options import DataOptions
from scam.data.split import Split
from scam.errors import InputError, counted, printable, sized, spelled
from scam.models import ModelConfig
from scam.models.registry import stored_config
from scam.storage.locks import locked
from scam.synthesis import notes
from scam.synthesis.options import SynthesisOptions
from scam.synthesis.resumed import Resumed, find_weights, resume_data, resume_folder
from scam.synthesis.settings import (
    check_labels,
    check_stored,
    complete,
    expect_possible,
    open_sources,
)
from scam.training.distributed import SINGLE_PROCESS, World
from scam.training.run_folder import RunFolder


@dataclass(frozen=True)
class Job:
    """Settings, images and place of a run; ``split``: which images, for its checkpoints."""

    folder: RunFolder
    config: ModelConfig
    options: SynthesisOptions
    train: PairDataset
    held_out: PairDataset
    device: torch.device
    world: World = SINGLE_PROCESS
    split: Split | None = None


def open_run(
    settings: dict[str, Any], out: str | None, resume: bool, stack: ExitStack
) -> tuple[RunFolder, Resumed]:
    """Check what was asked for; open or start the run folder, locked until ``stack`` closes. The
    preset, the data or the stored run fill in the rest of the ``settings``.
    """
    if resume:
        if out is None:
            raise InputError("{resume}: name the run to resume with {:out}", resume=True)
        if Path(out).is_dir():
            stack.enter_context(locked(out))
        if (Path(out) / CONFIG).is_file():
            check_stored(Path(out))
        folder = resume_folder(out, settings)
        resumed = resume_data(folder)
        check_labels(folder, resumed.sources[0])
        find_weights(folder)
        return folder, resumed
    settings["data"] = DataOptions(**settings["data"]).as_dict()
    sources = open_sources(settings["data"])
    settings = complete(settings, sources[0])
    path = Path(out) if out else _free_folder(Path("runs") / Path(settings["data"]["data"]).name)
    stack.enter_context(locked(path))
    return RunFolder.start(path, settings), Resumed(sources, Split.of(*sources), [])


def make_job(folder: RunFolder, resumed: Resumed, device: torch.device, world: World) -> Job:
    """Everything the run works on."""
    config = stored_config(folder.config.get("model", {}))
    options = SynthesisOptions.from_dict(folder.config.get("training", {}))
    expect_possible(config, options)
    train_source, val_source = resumed.sources
    train_data = PairDataset(
        train_source,
        config.size,
        flip=options.flip,
        recolour=options.recolour,
        warp=options.warp,
    )
    val_data = PairDataset(val_source, config.size)
    return Job(folder, config, options, train_data, val_data, device, world, resumed.split)


def heading(job: Job) -> str:
    """What the run works on."""
    config, options, world = job.config, job.options, job.world
    lines = [
        f"{len(job.train)} training and {counted(len(job.held_out), 'held-out image')}, "
        f"{counted(config.num_labels, 'label')}, {sized(config.size)}, "
        f"{config.kind}{''.join(f' ({fact})' for fact in config.facts.values())}, "
        f"perceptual loss {options.perceptual}, "
        f"{'fused' if options.fused_sca else 'dense'}, {job.device}"
        f"{f', {world.size} processes' if world.size > 1 else ''}",
        f"run folder: {job.folder.path}",
    ]
    names = job.train.source.label_set.names
    if options.flip and any(name.startswith("label_") for name in names):
        unnamed = "the labels have no names, so flips cannot exchange left and right ones"
        mend = "name them ({:label_set}, labels.txt) or give {flip}"
        lines.append(spelled(f"{unnamed}: {mend}", flip=False))
    lines += notes.at_start(options, job.train, job.held_out, job.split)
    return "\n".join(map(printable, lines))


def expect_room(job: Job) -> None:
    """InputError for networks or a batch of which even the least that they need is larger than
    the memory of the job's device.
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
            takes, has = (f"{size / 2**30:,.0f} GiB" for size in (count, room))
            message = f"training would take {takes} or more, {job.device} has {has}"
            raise InputError(f"{{{name}}}: {message}", **{name: value})


def _memory(device: torch.device) -> float:
    """Bytes; infinite where that cannot be asked."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):
        return math.inf


def _free_folder(base: Path) -> Path:
    """``base``, or the first of base-2, base-3, ... that does not exist."""
    numbered = (base.with_name(f"{base.name}-{number}") for number in itertools.count(2))
    return next(path for path in itertools.chain([base], numbered) if not path.exists())
