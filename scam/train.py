# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.train``: train SCAM on a folder of pictures, or on drawn mannequins."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scam import cli
from scam.data import LABEL_SETS, PairDataset, PairSource, open_source
from scam.errors import InputError
from scam.models import PRESETS, ModelConfig, preset
from scam.training.loop import Job, train
from scam.training.options import NAMES, PRESET_OPTIONS, TrainOptions
from scam.training.perceptual import resolve_perceptual
from scam.training.run_folder import RunFolder

PROG = "python -m scam.train"
EXAMPLES = """\
  python -m scam.train --amp --fused-sca
      train on drawn mannequins; a sheet of pictures within minutes on two cores
  python -m scam.train --amp --fused-sca --data photos --labels labels_lip20 \\
      --merge idesigner --preset tiny --steps 1500 --out runs/photos
      train on photos/images with photos/labels_lip20, 20 labels merged to 3
  python -m scam.train --resume --out runs/photos --steps 3000
      go on from the newest checkpoint, with every setting it was started with"""

MAY_CHANGE = [
    f"training.{name}"
    for name in ("steps", "workers", "eval_every", "sample_every", "save_every", "log_every")
]
"""Settings that do not change what a step computes."""

DATA = ("data", "labels", "merge", "ignore_label", "label_set", "holdout")
MODEL = ("width", "levels", "latents_per_label", "background_latents", "heads", "fidelity")


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, open or start the run folder, train, and say where the sheet lies."""
    parser = _parser()
    args = parser.parse_args(argv)
    asked = {name: value for name, value in vars(args).items() if value is not None}
    device = cli.device(asked.pop("device", None))
    resume = asked.pop("resume")
    settings = _asked_settings(asked)
    if resume:
        if args.out is None:
            raise InputError("--resume: name the run to continue with --out")
        folder = RunFolder.create(args.out, settings, resume=True, may_change=MAY_CHANGE)
    else:
        sources = _open(settings["data"])
        settings = _complete(settings, args.preset or "tiny", sources[0])
        out = args.out or _free_folder(Path("runs") / Path(settings["data"]["data"]).name)
        folder = RunFolder.create(out, settings)
    model = ModelConfig.from_dict(folder.config["model"])
    options = TrainOptions(**folder.config["training"])
    if resume:
        sources = _open(folder.config["data"])
    learn, held_out = sources
    print(
        f"{len(learn)} training and {len(held_out)} held-out pictures, {model.num_labels} labels, "
        f"{model.size[0]}x{model.size[1]} px, perceptual loss {options.perceptual}, "
        f"{'fused' if options.fused_sca else 'dense'} attention, {device}\n"
        f"run folder: {folder.path}"
    )
    if options.flip and any(name.startswith("label_") for name in learn.label_set.names):
        print(
            "the labels have no names, so flips cannot exchange left and right ones: "
            "name them (--label-set, labels.txt) or give --no-flip"
        )
    job = Job(
        folder,
        model,
        options,
        PairDataset(learn, model.size, flip=options.flip),
        PairDataset(held_out, model.size),
        device,
    )
    sheet = train(job, resume=resume)
    print(f"sheet: {sheet}\ncheckpoint: {folder.newest()}")


def _parser() -> argparse.ArgumentParser:
    parser = cli.Parser(PROG, "Train SCAM.", EXAMPLES)
    data = parser.add_argument_group("data")
    data.add_argument("--data", help="folder with images/ and label maps, or mannequins (default)")
    data.add_argument("--labels", help="name of the label map folder (default: labels)")
    data.add_argument("--merge", help="idesigner, body, or a JSON file that merges labels")
    data.add_argument("--ignore-label", type=int, help="label value that means: no label")
    data.add_argument("--label-set", help=f"what the labels on disk are: {', '.join(LABEL_SETS)}")
    data.add_argument("--holdout", type=int, help="pictures kept from training to measure on")
    data.add_argument("--no-flip", dest="flip", action="store_false", default=None)
    model = parser.add_argument_group("model")
    model.add_argument("--preset", help=f"{', '.join(PRESETS)} (default: tiny)")
    model.add_argument("--size", type=int, nargs=2, metavar=("H", "W"), help="pixels")
    model.add_argument("--width", type=int, help="feature channels at full resolution")
    model.add_argument("--levels", type=int, help="doublings of the generator")
    model.add_argument("--latents-per-label", type=int, metavar="K")
    model.add_argument("--background-latents", type=int, metavar="K")
    model.add_argument("--heads", type=int)
    model.add_argument("--fidelity", help="default, or released for the published networks")
    how = parser.add_argument_group("training")
    how.add_argument("--model", help="scam")
    how.add_argument("--steps", type=int)
    how.add_argument("--batch-size", type=int)
    how.add_argument("--accumulate", type=int, help="batches per optimisation step")
    how.add_argument("--lr", type=float, help="of encoder and generator")
    how.add_argument("--lr-discriminator", type=float)
    how.add_argument("--warmup", type=int, metavar="STEPS", help="of rising learning rates")
    how.add_argument("--weight-decay", type=float)
    how.add_argument("--gan", type=float, help="weight of the adversarial loss; 0: none")
    how.add_argument("--gan-from", type=int, metavar="STEP", help="step it joins in at")
    how.add_argument("--l1", type=float, help="weight of the absolute error")
    how.add_argument("--perceptual", help="vgg19, lpips, pyramid or none")
    how.add_argument("--perceptual-weight", type=float)
    how.add_argument("--perceptual-weights", metavar="FILE", help="network weights behind it")
    how.add_argument("--ema", type=float, help="decay of the weight average")
    how.add_argument("--seed", type=int)
    how.add_argument("--amp", action="store_true", default=None, help="16-bit where it is fast")
    how.add_argument("--fused-sca", action=argparse.BooleanOptionalAction, default=None)
    run = parser.add_argument_group("run")
    run.add_argument("--out", help="run folder (default: a new one under runs/)")
    run.add_argument("--resume", action="store_true", help="go on with the run in --out")
    run.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda if there is one)")
    run.add_argument("--workers", type=int, help="loader processes")
    for what in ("eval", "sample", "save", "log"):
        run.add_argument(f"--{what}-every", type=int, metavar="STEPS")
    return parser


def _asked_settings(asked: dict[str, Any]) -> dict[str, Any]:
    """Sort the flags that were given into the sections of ``config.json``."""
    if asked.get("model", "scam") != "scam":
        raise InputError(f"--model {asked['model']!r}: expected scam")
    shapes = {name: asked[name] for name in (*MODEL, "size") if name in asked}
    if "preset" in asked:
        preset(asked["preset"])
    return {
        "data": {name: asked[name] for name in DATA if name in asked},
        "model": shapes,
        "training": {name: asked[name] for name in NAMES if name in asked},
    }


def _complete(settings: dict[str, Any], name: str, source: PairSource) -> dict[str, Any]:
    """Fill what was not asked for from the preset and the data."""
    asked = settings["training"]
    weights = asked.get("perceptual_weights")
    perceptual, path = resolve_perceptual(
        asked.get("perceptual"), None if weights is None else Path(weights)
    )
    training = {**PRESET_OPTIONS.get(name, {}), **asked, "perceptual": perceptual}
    training["perceptual_weights"] = None if path is None else str(path)
    model = preset(name, num_labels=len(source.label_set.names), **settings["model"])
    data = {"data": "mannequins", **settings["data"]}
    return {
        "data": data,
        "label_names": list(source.label_set.names),
        "model": model.as_dict(),
        "training": TrainOptions(**training).as_dict(),
    }


def _open(data: dict[str, Any]) -> tuple[PairSource, PairSource]:
    rest = dict(data)
    name = rest.pop("data", "mannequins")
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
