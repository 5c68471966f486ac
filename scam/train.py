# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.train``: train SCAM on a folder of pictures, or on drawn mannequins."""

import argparse
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scam import cli
from scam.data import LABEL_SETS, PairDataset, PairSource, open_source
from scam.errors import Elsewhere, InputError
from scam.models import PRESETS, ModelConfig, preset
from scam.training.distributed import World, join
from scam.training.loading import describe, describe_labels
from scam.training.lock import locked
from scam.training.loop import Job, train
from scam.training.options import NAMES, PRESET_OPTIONS, TrainOptions
from scam.training.perceptual import resolve_perceptual
from scam.training.run_folder import RunFolder

if TYPE_CHECKING:
    import torch

Sources = tuple[PairSource, PairSource]
"""Training pictures, held-out pictures."""

PROG = "python -m scam.train"
EXAMPLES = """\
  python -m scam.train --amp --fused-sca
      train on drawn mannequins; a sheet of pictures within minutes on two cores
  python -m scam.train --amp --fused-sca --data photos --labels labels_lip20 \\
      --merge idesigner --preset tiny --steps 1500 --out runs/photos
      train on photos/images with photos/labels_lip20, 20 labels merged to 3
  python -m scam.train --data photos --diffaugment color,translation,cutout --lecam 0.3
      few photographs: keep the discriminator from learning them by heart
  python -m scam.train --discriminator oasis --labelmix 10
      a discriminator that segments, in place of the paper's
  python -m scam.train --resume --out runs/photos --steps 3000
      go on from the newest checkpoint, with every setting it was started with
  python -m scam.train --gradient-checkpointing --channels-last --accumulate 2
      less memory: blocks computed twice, steps of two times --batch-size
  python -m scam.train --compile
      encoder and generator by torch.compile
  torchrun --standalone --nproc-per-node 2 -m scam.train --out runs/two
      two processes share every batch; on GPUs one each"""

MAY_CHANGE = [
    f"training.{name}"
    for name in (
        "steps", "workers", "gradient_checkpointing", "wandb",
        "eval_every", "sample_every", "save_every", "log_every",
    )
]  # fmt: skip
"""Settings that do not change what a step computes."""

DATA: dict[str, Any] = {
    "data": "mannequins",
    "labels": "labels",
    "merge": None,
    "ignore_label": None,
    "label_set": None,
    "holdout": None,
}
MODEL = (
    "width", "levels", "latents_per_label", "background_latents", "token_dim", "attention_dim",
    "heads", "pyramid", "self_attention", "duplex", "fidelity", "size",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, open or start the run folder, train, and say where the sheet lies."""
    args = _parser().parse_args(argv)
    asked = {name: value for name, value in vars(args).items() if value is not None}
    device = cli.device(asked.pop("device", None))
    resume = asked.pop("resume")
    with join(device) as (world, device), ExitStack() as stack:
        folder, sources = world.from_main(lambda: _prepare(asked, args.out, resume, stack))
        try:
            job = _job(folder, sources, device, world)
            sheet = train(job, resume=resume)
        except (InputError, Elsewhere):
            if world.is_main and not resume and folder.newest() is None:
                folder.discard()
            raise
        if world.is_main:
            print(f"sheet: {sheet}\ncheckpoint: {folder.newest()}")


def _prepare(
    asked: dict[str, Any], out: str | None, resume: bool, stack: ExitStack
) -> tuple[RunFolder, Sources]:
    """Check settings and data; open or start the run folder, locked until ``stack`` closes."""
    settings = _asked_settings(asked)
    if resume:
        if out is None:
            raise InputError("--resume: name the run to continue with --out")
        if Path(out).is_dir():
            stack.enter_context(locked(out))
        folder = RunFolder.create(out, settings, resume=True, may_change=MAY_CHANGE)
        sources = _open(folder.config.get("data", {}))
        _check_labels(folder, sources[0])
        return folder, sources
    settings["data"] = {**DATA, **settings["data"]}
    sources = _open(settings["data"])
    settings = _complete(settings, sources[0])
    path = Path(out) if out else _free_folder(Path("runs") / Path(settings["data"]["data"]).name)
    stack.enter_context(locked(path))
    return RunFolder.create(path, settings), sources


def _job(folder: RunFolder, sources: Sources, device: "torch.device", world: World) -> Job:
    """Everything the run works on; prints what that is."""
    model = ModelConfig.from_dict(folder.config.get("model", {}))
    options = TrainOptions.from_dict(folder.config.get("training", {}))
    learn, held_out = sources
    say: Callable[..., None] = print if world.is_main else lambda _: None
    say(
        f"{len(learn)} training and {len(held_out)} held-out pictures, {model.num_labels} labels, "
        f"{model.size[0]}x{model.size[1]} px, perceptual loss {options.perceptual}, "
        f"{'fused' if options.fused_sca else 'dense'} attention, {device}"
        f"{f', {world.size} processes' if world.size > 1 else ''}\n"
        f"run folder: {folder.path}"
    )
    if options.flip and any(name.startswith("label_") for name in learn.label_set.names):
        say(
            "the labels have no names, so flips cannot exchange left and right ones: "
            "name them (--label-set, labels.txt) or give --no-flip"
        )
    learning = PairDataset(learn, model.size, flip=options.flip)
    return Job(folder, model, options, learning, PairDataset(held_out, model.size), device, world)


def _parser() -> argparse.ArgumentParser:
    parser = cli.Parser(PROG, "Train SCAM.", EXAMPLES)
    data = parser.add_argument_group("data")
    data.add_argument("--data", help="folder with images/ and label maps, or mannequins (default)")
    data.add_argument("--labels", help="name of the label map folder (default: labels)")
    data.add_argument("--merge", help="idesigner, body, or a JSON file that merges labels")
    data.add_argument("--ignore-label", type=int, help="label value that means: no label")
    data.add_argument("--label-set", help=f"what the labels on disk are: {', '.join(LABEL_SETS)}")
    data.add_argument("--holdout", type=int, help="pictures kept from training to measure on")
    data.add_argument(
        "--no-flip",
        dest="flip",
        action="store_false",
        default=None,
        help="never mirror training pictures",
    )
    model = parser.add_argument_group("model")
    model.add_argument("--preset", help=f"{', '.join(PRESETS)} (default: tiny)")
    model.add_argument("--size", type=int, nargs=2, metavar=("H", "W"), help="pixels")
    model.add_argument("--width", type=int, help="feature channels at full resolution")
    model.add_argument("--levels", type=int, help="doublings of the generator")
    model.add_argument("--latents-per-label", type=int, metavar="K", help="default: 8")
    model.add_argument("--background-latents", type=int, metavar="K", help="default: 8")
    model.add_argument("--heads", type=int, help="of every attention (default: 1)")
    model.add_argument("--token-dim", type=int, metavar="D", help="width of a latent")
    model.add_argument("--attention-dim", type=int, metavar="D", help="inner width of attentions")
    for name, without in (
        ("pyramid", "every encoder block reads the raw pixels"),
        ("self-attention", "latents never read each other"),
        ("duplex", "latents never read the generator's pixels (simplex)"),
    ):
        model.add_argument(
            f"--{name}",
            action=argparse.BooleanOptionalAction,
            default=None,
            help=f"ablation of the paper's Table 2; without it {without}",
        )
    model.add_argument("--fidelity", help="default, or released for the published networks")
    model.add_argument("--model", help="scam")
    how = parser.add_argument_group("training")
    how.add_argument("--steps", type=int, help="tiny: 500, others: 50000")
    how.add_argument("--batch-size", type=int, help="over all processes (default: 8)")
    how.add_argument("--accumulate", type=int, help="batches per optimisation step")
    how.add_argument(
        "--lr", type=float, help="of encoder and generator (tiny: 2e-3, others: 1e-4)"
    )
    how.add_argument("--lr-discriminator", type=float, help="tiny: 1e-3, others: 4e-4")
    how.add_argument("--warmup", type=int, metavar="STEPS", help="of rising learning rates")
    how.add_argument("--weight-decay", type=float, help="default: 0.01")
    how.add_argument(
        "--gan", type=float, help="weight of the adversarial loss (default: 1; 0: none)"
    )
    how.add_argument("--gan-from", type=int, metavar="STEP", help="step after which it joins in")
    _add_small_data(parser)
    how.add_argument("--l1", type=float, help="weight of the absolute error (default: 10)")
    how.add_argument("--perceptual", help="vgg19, lpips, pyramid or none")
    how.add_argument("--perceptual-weight", type=float, help="default: 10")
    how.add_argument("--perceptual-weights", metavar="FILE", help="network weights behind it")
    how.add_argument("--ema", type=float, help="decay of the weight average (default: 0.999)")
    how.add_argument("--seed", type=int, help="of everything random (default: 0)")
    how.add_argument("--amp", action="store_true", default=None, help="16-bit where it is fast")
    how.add_argument(
        "--fused-sca",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="the fused attention (default), or the dense one of the paper",
    )
    how.add_argument(
        "--gradient-checkpointing",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="less memory, more time: compute encoder and generator twice",
    )
    how.add_argument(
        "--channels-last",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="feature maps with their channels innermost",
    )
    how.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="torch.compile for encoder and generator (minutes before the first step)",
    )
    run = parser.add_argument_group("run")
    run.add_argument("--out", help="run folder (default: a new one under runs/)")
    run.add_argument("--resume", action="store_true", help="go on with the run in --out")
    run.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda if there is one)")
    run.add_argument("--workers", type=int, help="loader processes")
    run.add_argument(
        "--wandb", metavar="PROJECT", help="send metrics to Weights & Biases; never asks to log in"
    )
    for what, does in (
        ("eval", "measurements"),
        ("sample", "sheets"),
        ("save", "checkpoints"),
        ("log", "logged losses"),
    ):
        run.add_argument(f"--{what}-every", type=int, metavar="STEPS", help=f"between {does}")
    return parser


def _add_small_data(parser: argparse.ArgumentParser) -> None:
    """Other discriminators and losses, and what helps where pictures are few."""
    group = parser.add_argument_group("discriminator, and training on few pictures")
    group.add_argument(
        "--diffaugment",
        metavar="KIND,...",
        help="augment what the discriminator sees: some of color,translation,cutout",
    )
    group.add_argument("--lecam", type=float, metavar="W", help="LeCam regulariser, such as 0.3")
    group.add_argument(
        "--discriminator", help="scam (the paper's PatchGAN, default) or oasis (segments)"
    )
    group.add_argument(
        "--labelmix", type=float, metavar="W", help="of oasis: consistency on mixes, such as 10"
    )
    group.add_argument("--gan-loss", help="of scam: hinge (default) or relativistic")
    group.add_argument(
        "--gradient-norm",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="of scam: divide logits by their gradient (default), as the paper does",
    )
    for name, which in (("r1", "real"), ("r2", "painted")):
        group.add_argument(
            f"--{name}",
            type=float,
            metavar="GAMMA",
            help=f"penalty on the discriminator's slope at {which} pictures, approximated",
        )
    group.add_argument(
        "--style-dropout",
        type=float,
        metavar="P",
        help="leave out a label's latents with this chance, such as 0.1",
    )
    group.add_argument(
        "--augment-perceptual",
        metavar="KIND,...",
        help="augment what the perceptual loss compares: kinds as above",
    )


def _asked_settings(asked: dict[str, Any]) -> dict[str, Any]:
    """Sort the flags that were given into the sections of ``config.json``."""
    if asked.get("model", "scam") != "scam":
        raise InputError(f"--model {asked['model']!r}: expected scam")
    # A run may be resumed from another folder: files are remembered by their full path.
    for name in ("data", "merge", "perceptual_weights"):
        if name in asked and Path(asked[name]).exists():
            asked[name] = str(Path(asked[name]).resolve())
    settings: dict[str, Any] = {
        "data": {name: asked[name] for name in DATA if name in asked},
        "model": {name: asked[name] for name in MODEL if name in asked},
        "training": {name: asked[name] for name in NAMES if name in asked},
    }
    if "preset" in asked:
        preset(asked["preset"])
        settings["preset"] = asked["preset"]
    return settings


def _complete(settings: dict[str, Any], source: PairSource) -> dict[str, Any]:
    """Fill what was not asked for from the preset and the data."""
    name = settings.get("preset", "tiny")
    asked = settings["training"]
    weights = asked.get("perceptual_weights")
    perceptual, path = resolve_perceptual(
        asked.get("perceptual"), None if weights is None else Path(weights)
    )
    training = {**PRESET_OPTIONS.get(name, {}), **asked, "perceptual": perceptual}
    training["perceptual_weights"] = None if path is None else str(path)
    model = preset(name, num_labels=len(source.label_set.names), **settings["model"])
    return {
        "preset": name,
        "data": settings["data"],
        **describe(model, source),
        "training": TrainOptions(**training).as_dict(),
    }


def _check_labels(folder: RunFolder, source: PairSource) -> None:
    """A run goes on with the labels it began with, whatever has become of the data."""
    for name, found in describe_labels(source).items():
        if folder.config.get(name) != found:
            raise InputError(
                f"--resume: the data's {name} are {found} now, "
                f"the run began with {folder.config.get(name)}"
            )


def _open(data: dict[str, Any]) -> Sources:
    unknown = ", ".join(sorted(data.keys() - DATA.keys()))
    if unknown:
        raise InputError(f"config.json: data has no setting {unknown}")
    rest = {**DATA, **data}
    name = rest.pop("data")
    return open_source(name, "train", **rest), open_source(name, "val", **rest)


def _free_folder(base: Path) -> Path:
    """``base``, or the first of base-2, base-3, ... that does not exist."""
    candidate, number = base, 1
    while candidate.exists():
        number += 1
        candidate = base.with_name(f"{base.name}-{number}")
    return candidate


if __name__ == "__main__":
    cli.run(main, PROG)
