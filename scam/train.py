# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.train``: train SCAM on a folder of pictures, or on drawn mannequins."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scam.checkpoints.step_folders import newest_step_folder
from scam.checkpoints.weights import CONFIG
from scam.commandline.command import Parser, in_flags, run
from scam.commandline.console import say
from scam.commandline.device import open_device
from scam.commandline.flags import add_flags
from scam.data import PairDataset
from scam.data.options import DataOptions
from scam.data.split import Split
from scam.errors import InputError, counted, printable
from scam.models.config import DATA_SETS, ModelConfig
from scam.models.registry import FIRST_KIND, MODELS, model_class, stored_config, stored_kind
from scam.storage.locks import locked
from scam.storage.reading import read_json
from scam.synthesis.job import Job
from scam.synthesis.options import SynthesisOptions
from scam.synthesis.resumed import Resumed, find_weights, resume_data, resume_folder
from scam.synthesis.settings import (
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
EXAMPLES = """\
  python -m scam.train --amp --fused-sca
      train on drawn mannequins; a sheet of pictures within minutes on two cores
  python -m scam.train --amp --fused-sca --data photos --labels labels_lip20 \\
      --merge idesigner --preset tiny --steps 1500 --out runs/photos
      train on photos/images with photos/labels_lip20, 20 labels merged to 3
  python -m scam.train --data photos --diffaugment color,translation,cutout --lecam 0.3
      few photographs: keep the discriminator from learning them by heart
  python -m scam.train --discriminator oasis --labelmix 10 --lr-discriminator 4e-4 --gan-from 0
      a discriminator that segments, in place of the paper's
  python -m scam.train --resume --out runs/photos --steps 3000
      go on from the newest checkpoint, with every setting it was started with
  python -m scam.train --gradient-checkpointing --channels-last --accumulate 2
      less memory: blocks computed twice, steps of two times --batch-size
  python -m scam.train --compile
      encoder and generator by torch.compile
  torchrun --standalone --nproc-per-node 2 -m scam.train --out runs/two
      two processes share every batch; on GPUs one each"""


@in_flags
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, open or start the run folder, train, and say where the sheet lies."""
    config = _config(argv)
    args = vars(_parser(config).parse_args(argv))
    asked = {name: value for name, value in args.items() if value is not None}
    out, resume = asked.pop("out", None), asked.pop("resume")
    device = open_device(asked.pop("device", None))
    with join(device) as (world, device), ExitStack() as stack:
        folder, resumed = world.from_main(
            lambda: _prepare(asked_settings(asked, config), out, resume, stack)
        )
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


def _config(argv: Sequence[str] | None) -> type[ModelConfig]:
    """The settings of the kind of model that is asked for, or else of the run to resume."""
    first = Parser(PROG, "", "", add_help=False)
    _add_model(first)
    _add_run(first)
    args, _ = first.parse_known_args(argv)
    if args.kind is None and args.resume and args.out is not None:
        stored = Path(args.out) / CONFIG
        if stored.is_file():
            try:
                return model_class(stored_kind(read_json(stored).get("model", {}))).Config
            except InputError as error:
                raise InputError(f"{stored}: {error}") from error
    return model_class(args.kind or FIRST_KIND).Config


def _parser(config: type[ModelConfig]) -> Parser:
    """Flags that were not given are None, so that ``--resume`` can tell what was asked for."""
    parser = Parser(PROG, f"Train {config.kind.upper()}.", EXAMPLES)
    add_flags(parser, DataOptions)
    _add_model(parser)
    add_flags(parser, config, {name: config.preset_values(name) for name in DATA_SETS})
    add_flags(parser, SynthesisOptions, SynthesisOptions.presets)
    _add_run(parser)
    return parser


def _add_model(parser: Parser) -> None:
    """What decides on the settings of the model."""
    group = parser.group("model")
    group.add_argument(
        "--model",
        dest="kind",
        metavar="MODEL",
        help=f"{', '.join(MODELS)} (default: {FIRST_KIND})",
    )
    group.add_argument("--preset", help=f"{', '.join(DATA_SETS)} (default: tiny)")


def _add_run(parser: Parser) -> None:
    """What is no setting: the place."""
    group = parser.group("run")
    group.add_argument("--out", help="run folder (default: a new one under runs/)")
    group.add_argument(
        "--resume",
        action="store_true",
        help="resume the run in --out; with --data, where its pictures lie by now",
    )
    group.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda if there is one)")


def _prepare(
    settings: dict[str, Any], out: str | None, resume: bool, stack: ExitStack
) -> tuple[RunFolder, Resumed]:
    """Check settings and data; open or start the run folder, locked until ``stack`` closes."""
    if resume:
        if out is None:
            raise InputError("{resume}: name the run to continue with {:out}", resume=True)
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
