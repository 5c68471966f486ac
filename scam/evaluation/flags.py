# SPDX-License-Identifier: Apache-2.0
"""Flags of ``python -m scam.evaluate``."""

from pathlib import Path

from scam.commandline.command import Parser
from scam.commandline.flags import add_flags
from scam.commandline.start import ABOUT
from scam.data.sheet import MIN_HEIGHT
from scam.evaluation.needs import add_weights
from scam.evaluation.options import METRICS, EvaluationOptions

EXAMPLES = """\
  python -m scam.evaluate demo
      every metric, on images that the model was not trained on
  python -m scam.evaluate demo --metrics psnr,ssim,locality,cycle --out quick --html
      some of them, into the folder quick, and a page of numbers and images
  python -m scam.evaluate runs/photos --data other_photos --holdout 200 --seed 1
      on 200 other photographs with the same labels
  python -m scam.evaluate --weights   # weights that metrics need, and which are found"""


def evaluate_parser(prog: str) -> Parser:
    """Every flag of the command."""
    listed = "\n".join(f"  {name:<9} {what}" for name, what in METRICS.items())
    parser = Parser(prog, ABOUT["evaluate"], f"{EXAMPLES}\n\nmetrics:\n{listed}")
    parser.add_checkpoint()
    parser.group(EvaluationOptions.heading).add_argument(
        "--out", type=Path, help="folder for report.json, pairs.json and sheet.png"
        " (default: a new one in the run's folder evaluation/)",
    )  # fmt: skip
    parser.add_argument(
        "--html",
        action="store_true",
        help="also a page, index.html, with the table and the sheet's images",
    )
    parser.add_overwrite()
    parser.add_scale(MIN_HEIGHT)
    add_weights(parser)
    add_flags(parser, EvaluationOptions)
    return parser
