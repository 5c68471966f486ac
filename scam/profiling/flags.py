# SPDX-License-Identifier: Apache-2.0
"""The flags of ``python -m scam.profile``."""

import argparse
from pathlib import Path

from scam.commandline.command import Parser
from scam.commandline.start import ABOUT
from scam.errors import InputError
from scam.models.config import DATA_SETS, FIRST_KIND
from scam.models.registry import MODELS

EXAMPLES = """\
  python -m scam.profile
      one training step of the tiny preset, with a discriminator, fused and dense side by side
  python -m scam.profile --preset celebamask-hq --fused-sca --depth 4
      the fused step alone, down to single modulations
  python -m scam.profile --model sean --preset celebamask-hq --both
      a baseline's exact fast form beside the form of its paper
  python -m scam.profile --preset ade20k --batch-size 8 --device cuda --amp --out profile
      writes profile/profile.json and one Chrome trace per variant (open in ui.perfetto.dev)"""


def profile_parser(prog: str) -> Parser:
    """See ``--help``."""
    parser = Parser(prog, ABOUT["profile"], EXAMPLES)
    parser.add_argument(
        "--model", dest="kind", default=FIRST_KIND, metavar="MODEL",
        help=f"{', '.join(MODELS)} (default: {FIRST_KIND})",
    )  # fmt: skip
    presets = sorted(DATA_SETS)
    parser.add_argument("--preset", choices=presets, default="tiny", help="default: tiny")
    parser.add_argument(
        "--size", nargs=2, type=int, metavar=("H", "W"), help="default: the preset's"
    )
    parser.add_argument("--fidelity", metavar="SETTING", help="as in scam.train")
    parser.add_argument("--batch-size", type=int, default=1, metavar="N", help="default: 1")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ...; default: a GPU if there is one")
    which = parser.add_mutually_exclusive_group()
    for flag, value, text in (
        ("--fused-sca", "fused", "the fused form only"),
        ("--no-fused-sca", "dense", "the papers' dense form only"),
        ("--both", "both", "side by side (default)"),
    ):
        which.add_argument(flag, dest="variants", action="store_const", const=value, help=text)
    parser.set_defaults(variants="both")
    parser.add_argument(
        "--steps", type=int, default=3, metavar="N", help="timed steps (default: 3)"
    )
    parser.add_argument(
        "--depth", type=int, default=3, metavar="N", help="levels of modules to list (default: 3)"
    )
    parser.add_argument("--amp", action="store_true", help="16-bit floats, as in scam.train")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for profile.json and Chrome traces"
    )
    parser.add_overwrite()
    return parser


def check_numbers(args: argparse.Namespace) -> None:
    """InputError for one that is out of range."""
    for name in ("batch_size", "steps", "depth"):
        value = getattr(args, name)
        if not 1 <= value < 2**31:
            bound = ">= 1" if value < 1 else "< 2**31"
            raise InputError(f"{{{name}}}: expected {bound}", **{name: value})
