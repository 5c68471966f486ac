# SPDX-License-Identifier: Apache-2.0
"""The flags of ``python -m scam.train``."""

import argparse
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from scam.checkpoints.weights import CONFIG
from scam.commandline.command import Parser
from scam.data import LABEL_SETS
from scam.errors import InputError
from scam.models import PRESETS

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


def train_parser(prog: str) -> argparse.ArgumentParser:
    """Flags that were not given are None, so that ``--resume`` can tell what was asked for."""
    parser = Parser(prog, "Train SCAM.", EXAMPLES)
    _add_data(parser)
    _add_model(parser)
    _add_training(parser)
    _add_small_data(parser)
    _add_run(parser)
    return parser


@contextmanager
def named_as_flags(settings: Collection[str]) -> Iterator[None]:
    """Let an InputError of the block name ``settings`` as the flags that the user typed.

    One about the fields of a ``config.json`` stays as it is.
    """
    try:
        yield
    except InputError as error:
        if f"{CONFIG}: " in str(error):
            raise
        raise InputError(_as_flags(str(error), settings)) from error


def _as_flags(message: str, settings: Collection[str]) -> str:
    """``lr=0: ...`` -> ``--lr 0: ...``, ``flip=False`` -> ``--no-flip``, ``merge ...`` too."""
    names = "|".join(sorted(settings, key=len, reverse=True))

    def flag(match: re.Match[str]) -> str:
        name = match["name"].replace("_", "-")
        return {
            "": f"--{name} ",
            "=": f"--{name} ",
            "=True": f"--{name}",
            "=False": f"--no-{name}",
        }[match["is"]]

    message = re.sub(rf"^(?P<name>{names})(?P<is>) ", flag, message)
    return re.sub(rf"(?<!\S)(?P<name>{names})(?P<is>=(True\b|False\b)?)", flag, message)


def _add_data(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data", help="folder with images/ and label maps, or mannequins (default)"
    )
    group.add_argument("--labels", help="name of the label map folder (default: labels)")
    group.add_argument("--merge", help="idesigner, body, or a JSON file that merges labels")
    group.add_argument("--ignore-label", type=int, help="label value that means: no label")
    group.add_argument("--label-set", help=f"what the labels on disk are: {', '.join(LABEL_SETS)}")
    group.add_argument("--holdout", type=int, help="pictures kept from training to measure on")
    group.add_argument(
        "--no-flip",
        dest="flip",
        action="store_false",
        default=None,
        help="never mirror training pictures",
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument("--preset", help=f"{', '.join(PRESETS)} (default: tiny)")
    group.add_argument(
        "--size", type=int, nargs=2, metavar=("H", "W"), help="pixels; pictures are resized to it"
    )
    group.add_argument("--width", type=int, help="feature channels at full resolution")
    group.add_argument("--levels", type=int, help="doublings of the generator")
    group.add_argument("--latents-per-label", type=int, metavar="K", help="default: 8")
    group.add_argument("--background-latents", type=int, metavar="K", help="default: 8")
    group.add_argument("--heads", type=int, help="of every attention (default: 1)")
    group.add_argument("--token-dim", type=int, metavar="D", help="width of a latent")
    group.add_argument("--attention-dim", type=int, metavar="D", help="inner width of attentions")
    for name, without in (
        ("pyramid", "every encoder block reads the raw pixels"),
        ("self-attention", "latents never read each other"),
        ("duplex", "latents never read the generator's pixels (simplex)"),
    ):
        group.add_argument(
            f"--{name}",
            action=argparse.BooleanOptionalAction,
            default=None,
            help=f"ablation of the paper's Table 2; without it {without}",
        )
    group.add_argument("--fidelity", help="default, or released for the published networks")
    group.add_argument("--model", help="scam")


def _add_training(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    group.add_argument("--steps", type=int, help="tiny: 500, others: 50000")
    group.add_argument("--batch-size", type=int, help="over all processes (default: 8)")
    group.add_argument("--accumulate", type=int, help="batches per optimisation step")
    group.add_argument(
        "--lr", type=float, help="of encoder and generator (tiny: 1e-3, others: 1e-4)"
    )
    group.add_argument("--lr-discriminator", type=float, help="tiny: 1e-3, others: 4e-4")
    group.add_argument("--warmup", type=int, metavar="STEPS", help="of rising learning rates")
    group.add_argument(
        "--max-grad-norm",
        type=float,
        metavar="NORM",
        help="clip gradients to this norm (default: 1; 0: no clipping)",
    )
    group.add_argument("--weight-decay", type=float, help="default: 0.01")
    group.add_argument(
        "--gan", type=float, help="weight of the adversarial loss (default: 1; 0: none)"
    )
    group.add_argument(
        "--gan-from",
        type=int,
        metavar="STEP",
        help="step after which it joins in (tiny: four fifths of --steps, others: 0)",
    )
    group.add_argument("--l1", type=float, help="weight of the absolute error (default: 10)")
    group.add_argument("--perceptual", help="vgg19, lpips, pyramid or none")
    group.add_argument("--perceptual-weight", type=float, help="default: 10")
    group.add_argument("--perceptual-weights", metavar="FILE", help="network weights behind it")
    group.add_argument("--ema", type=float, help="decay of the weight average (default: 0.999)")
    group.add_argument("--seed", type=int, help="of everything random (default: 0)")
    group.add_argument("--amp", action="store_true", default=None, help="16-bit where it is fast")
    group.add_argument(
        "--fused-sca",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="the fused attention (default), or the dense one of the paper",
    )
    group.add_argument(
        "--gradient-checkpointing",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="less memory, more time: compute encoder and generator twice",
    )
    group.add_argument(
        "--channels-last",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="feature maps with their channels innermost",
    )
    group.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="torch.compile for encoder and generator (minutes before the first step)",
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("run")
    group.add_argument("--out", help="run folder (default: a new one under runs/)")
    group.add_argument(
        "--resume",
        action="store_true",
        help="resume the run in --out; with --data, where its pictures lie by now",
    )
    group.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda if there is one)")
    group.add_argument("--workers", type=int, help="loader processes, no more than processors")
    group.add_argument(
        "--wandb", metavar="PROJECT", help="send metrics to Weights & Biases; never asks to log in"
    )
    for what, does in (
        ("eval", "measurements"),
        ("sample", "sheets"),
        ("save", "checkpoints"),
        ("log", "logged losses"),
    ):
        group.add_argument(f"--{what}-every", type=int, metavar="STEPS", help=f"between {does}")


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
