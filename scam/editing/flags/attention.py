# SPDX-License-Identifier: Apache-2.0
"""The flags of ``python -m scam.attention``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from scam.commandline.command import Parser
from scam.commandline.start import ABOUT
from scam.data.sheet import MIN_HEIGHT, expect_scale
from scam.errors import InputError
from scam.storage.outputs import expect_outputs

EXAMPLES = """\
  python -m scam.attention demo --picture mannequin_val_00003 --out attention.png
      where the encoder's latents look in the photograph, and which of them each pixel of the
      generator's last layer reads (Figure 4 of the paper)
  python -m scam.attention demo --picture mannequin_val_00003 --only upper_body hair \\
      --layers generator.0.1 generator.3.2 --out clothes.png --npz clothes.npz
      two labels in a coarse and a fine layer, and all numbers for NumPy
  python -m scam.attention demo --list-layers
      the layers that this model has"""


def attention_parser(prog: str) -> Parser:
    """See ``--help``."""
    parser = Parser(prog, ABOUT["attention"], EXAMPLES)
    parser.add_checkpoint()
    parser.add_argument(
        "--picture", nargs="+", metavar="FILE",
        help="image and label map; or one of: IMAGE,LABELS, an image of a data folder, the name of"
        " an image in --data",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FILE", help="sheet to write, a .png")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="LABEL",
        help="labels or groups to show, by name or number (default: all of the image)",
    )  # fmt: skip
    parser.add_argument(
        "--layers", nargs="+", metavar="LAYER",
        help="one row each, or all (default: the encoder's first and the generator's last)",
    )  # fmt: skip
    parser.add_argument("--npz", type=Path, metavar="FILE", help="also the numbers, for NumPy")
    parser.add_scale(MIN_HEIGHT)
    parser.add_overwrite()
    parser.add_argument("--list-layers", action="store_true", help="print their names and exit")
    parser.add_argument("--data", help="data set of named images (default: the model's own)")
    parser.add_argument("--labels", help="its folder of label maps (default: the model's own)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda if there is one)")
    return parser


def check_paths(args: argparse.Namespace, inputs: Sequence[Path]) -> None:
    """InputError for a scale out of range, or a result of another format or that is not to be
    written: it replaces what is there, or what is read.
    """
    expect_scale(args.scale)
    outputs: list[tuple[str, object, Path]] = []
    for name, suffix in (("out", ".png"), ("npz", ".npz")):
        path: Path | None = getattr(args, name)
        if path is None:
            continue
        if path.suffix.lower() != suffix:
            raise InputError(f"{{{name}}}: expected a {suffix} file", **{name: path})
        outputs.append((name, path, path))
    expect_outputs(outputs, inputs, overwrite=args.overwrite)
