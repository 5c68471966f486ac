# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.train``: train SCAM on a folder of pictures, or on drawn mannequins."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scam.checkpoints.step_folders import newest_step_folder
from scam.checkpoints.weights import CONFIG
from scam.commandline.command import open_device, run
from scam.commandline.console import say
from scam.data import PairDataset
from scam.data.split import Split
from scam.errors import InputError, counted, printable
from scam.models.registry import stored_config
from scam.storage.locks import locked
from scam.synthesis.flags import named_as_flags, train_parser
from scam.synthesis.job import Job
from scam.synthesis.options import SynthesisOptions
from scam.synthesis.resumed import Resumed, find_weights, resume_data, resume_folder
from scam.synthesis.settings import (
    DATA,
    asked_settings,
    check_labels,
    check_stored,
    complete,
    open_sources,
)
from scam.synthesis.task import train
from scam.training.distributed import World, join
from scam.training.run_folder import RunFolder

if TYPE_CHECKING:
    import torch

PROG = "python -m scam.train"


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, open or start the run folder, train, and say where the sheet lies."""
    args = train_parser(PROG).parse_args(argv)
    asked = {name: value for name, value in vars(args).items() if value is not None}
    # A run that is resumed has settings that nobody typed.
    with named_as_flags(asked if args.resume else vars(args)):
        _train(asked, args.out)


def _train(asked: dict[str, Any], out: str | None) -> None:
    device = open_device(asked.pop("device", None))
    resume = asked.pop("resume")
    with join(device) as (world, device), ExitStack() as stack:
        folder, resumed = world.from_main(lambda: _prepare(asked, out, resume, stack))
        try:
            job = _job(folder, resumed, device, world)
            heading = "\n".join([_heading(job), *resumed.said])
            sheet = train(job, resume=resume, heading=heading)
        except BaseException:
            if world.is_main and not resume and not folder.has_steps():
                folder.discard()
            raise
        if world.is_main:
            say(f"sheet: {sheet}", f"checkpoint: {newest_step_folder(folder.checkpoints)}")


def _prepare(
    asked: dict[str, Any], out: str | None, resume: bool, stack: ExitStack
) -> tuple[RunFolder, Resumed]:
    """Check settings and data; open or start the run folder, locked until ``stack`` closes."""
    settings = asked_settings(asked)
    if resume:
        if out is None:
            raise InputError("--resume: name the run to continue with --out")
        if Path(out).is_dir():
            stack.enter_context(locked(out))
        if (Path(out) / CONFIG).is_file():
            check_stored(Path(out))
        folder = resume_folder(out, settings)
        resumed = resume_data(folder)
        check_labels(folder, resumed.sources[0])
        find_weights(folder)
        return folder, resumed
    settings["data"] = {**DATA, **settings["data"]}
    sources = open_sources(settings["data"])
    settings = complete(settings, sources[0])
    path = Path(out) if out else _free_folder(Path("runs") / Path(settings["data"]["data"]).name)
    stack.enter_context(locked(path))
    return RunFolder.start(path, settings), Resumed(sources, Split.of(*sources), [])


def _job(folder: RunFolder, resumed: Resumed, device: "torch.device", world: World) -> Job:
    """Everything the run works on."""
    config = stored_config(folder.config.get("model", {}))
    options = SynthesisOptions.from_dict(folder.config.get("training", {}))
    train_source, val_source = resumed.sources
    train_data = PairDataset(train_source, config.size, flip=options.flip)
    val_data = PairDataset(val_source, config.size)
    return Job(folder, config, options, train_data, val_data, device, world, resumed.split)


def _heading(job: Job) -> str:
    """What the run works on."""
    config, options, world = job.config, job.options, job.world
    lines = [
        f"{len(job.train)} training and {counted(len(job.held_out), 'held-out picture')}, "
        f"{counted(config.num_labels, 'label')}, {config.size[0]}x{config.size[1]} px, "
        f"perceptual loss {options.perceptual}, "
        f"{'fused' if options.fused_sca else 'dense'} attention, {job.device}"
        f"{f', {world.size} processes' if world.size > 1 else ''}",
        f"run folder: {job.folder.path}",
    ]
    names = job.train.source.label_set.names
    if options.flip and any(name.startswith("label_") for name in names):
        lines.append(
            "the labels have no names, so flips cannot exchange left and right ones: "
            "name them (--label-set, labels.txt) or give --no-flip"
        )
    return "\n".join(map(printable, lines))


def _free_folder(base: Path) -> Path:
    """``base``, or the first of base-2, base-3, ... that does not exist."""
    candidate, number = base, 1
    while candidate.exists():
        number += 1
        candidate = base.with_name(f"{base.name}-{number}")
    return candidate


if __name__ == "__main__":
    run(main, PROG)
