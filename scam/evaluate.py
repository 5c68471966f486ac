# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.evaluate``: measure a trained model on pictures it was not trained on."""

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from scam.commandline.command import Parser, run
from scam.commandline.console import say
from scam.data import LABEL_SETS
from scam.evaluation import networks
from scam.evaluation.measure import build_meters, measure
from scam.evaluation.options import METRICS, EvaluationOptions
from scam.evaluation.report import (
    REPORT,
    SHEET,
    expect_unused,
    write_pairs,
    write_report,
    write_sheet,
)
from scam.evaluation.rows import render
from scam.evaluation.setup import open_setup
from scam.storage.files import free_folder
from scam.storage.outputs import expect_writable
from scam.synthesis.flags import named_as_flags

PROG = "python -m scam.evaluate"
EXAMPLES = """\
  python -m scam.evaluate runs/mannequins
      every metric, on pictures that the model was not trained on
  python -m scam.evaluate runs/mannequins --metrics psnr,ssim,locality,cycle --out quick
      some of them, into the folder quick
  python -m scam.evaluate runs/photos --data other_photos --holdout 200 --seed 1
      on 200 other photographs with the same labels"""

_SHEET_ROWS = 6


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, measure in one walk over the pictures, print the table, write the files."""
    args = _parser().parse_args(argv)
    options = _options(args)
    setup = open_setup(options)
    out: Path | None = args.out
    base = Path("evaluation") if setup.run is None else setup.run / "evaluation"
    if out is None:
        expect_writable(base / REPORT)
    else:
        expect_unused(out, setup.inputs, overwrite=args.overwrite)
    say(*_heading(setup.facts))
    rows = measure(setup, *build_meters(setup))
    # Files at the end, the report first: who is interrupted leaves none.
    folder = nullcontext(out) if out else free_folder(base / setup.checkpoint.path.name)
    with folder as out:
        write_report(out, setup.facts, rows, overwrite=args.overwrite)
        write_pairs(out, setup.stems, setup.donors, overwrite=args.overwrite)
        write_sheet(out, setup.some(_SHEET_ROWS), overwrite=args.overwrite)
    print(render(rows))
    say(f"sheet: {out / SHEET}", f"report: {out / REPORT}")


def _heading(facts: dict[str, Any]) -> list[str]:
    height, width = facts["size"]
    return [
        f"{facts['checkpoint']}, weights {facts['weights']}",
        f"{facts['pictures']} {facts['split']} pictures of {facts['data']['data']} "
        f"at {height}x{width}, seed {facts['seed']}; "
        f"background: {', '.join(facts['background_labels'])}",
    ]


def _options(args: argparse.Namespace) -> EvaluationOptions:
    """What was typed; ``--out`` and ``--overwrite`` are the command's own."""
    given = {name: value for name, value in vars(args).items() if name not in ("out", "overwrite")}
    given["metrics"] = tuple(name.strip() for name in args.metrics.split(","))
    given["background_labels"] = tuple(args.background_labels)
    with named_as_flags(given):
        return EvaluationOptions(**given)


def _parser() -> Parser:
    listed = "\n".join(f"  {name:<9} {what}" for name, what in METRICS.items())
    parser = Parser(PROG, "Measure a trained model.", f"{EXAMPLES}\n\nmetrics:\n{listed}")
    parser.add_checkpoint()
    parser.add_argument(
        "--metrics",
        metavar="NAME,...",
        default=",".join(METRICS),
        help="which of those below (default: all)",
    )
    parser.add_argument(
        "--out", type=Path, help="folder for report.json, pairs.json and sheet.png"
        " (default: a new one in the run's folder evaluation/)",
    )  # fmt: skip
    parser.add_overwrite()
    parser.add_argument("--seed", type=int, default=0, help="of pairs and edits (default: 0)")
    parser.add_argument("--pairs", type=Path, metavar="FILE", help="an earlier pairs.json")
    parser.add_argument("--batch-size", type=int, default=8, help="default: 8")
    parser.add_argument(
        "--workers",
        type=int,
        default=4,
        help="processes that read pictures, no more than processors (default: 4)",
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda if there is one)")
    parser.add_argument(
        "--last-weights", action="store_true", help="of the last step, not their average"
    )
    parser.add_argument(
        "--background-labels", nargs="+", default=["0"], metavar="LABEL",
        help="labels that belong to the scene, by name or number (default: 0)",
    )  # fmt: skip
    data = parser.add_argument_group("data (default: the run's)")
    data.add_argument("--data", help="folder with images/ and label maps, or mannequins")
    data.add_argument(
        "--split", choices=("test", "val"), help="default: test where the data has one, else val"
    )
    data.add_argument("--labels", help="name of the label map folder")
    data.add_argument("--merge", help="idesigner, body, or a JSON file that merges labels")
    data.add_argument("--ignore-label", type=int, help="label value that means: no label")
    data.add_argument("--label-set", help=f"what the labels on disk are: {', '.join(LABEL_SETS)}")
    data.add_argument("--holdout", type=int, help="pictures of other --data to measure on")
    data.add_argument("--max-pictures", type=int, metavar="N", help="measure on N of them")
    data.add_argument(
        "--reference-pictures", type=int, metavar="N", help="N of train to compare with"
    )
    weights = parser.add_argument_group("networks behind metrics (never downloaded)")
    weights.add_argument(
        "--inception-weights", type=Path, metavar="FILE",
        help=f"for fid, kid (default: {networks.INCEPTION} in torch's cache)",
    )  # fmt: skip
    weights.add_argument("--lpips-trunk", choices=sorted(networks.LPIPS_TRUNKS), default="alex",
        help="default: alex",
    )  # fmt: skip
    weights.add_argument(
        "--lpips-weights", type=Path, metavar="FILE",
        help=f"its trunk (default: {networks.LPIPS_TRUNKS['alex']} in torch's cache)",
    )  # fmt: skip
    weights.add_argument(
        "--dinov2-weights", type=Path, metavar="FILE",
        help=f"for fd (default: {networks.DINOV2} in torch's cache)",
    )  # fmt: skip
    weights.add_argument(
        "--extractor", metavar="MODULE:FUNCTION",
        help="for fd in place of DINOv2: returns a network, uint8 (B, 3, H, W) to (B, D)",
    )  # fmt: skip
    weights.add_argument(
        "--reid-weights",
        type=Path,
        metavar="FILE",
        help=f"for reid: ResNet-50 of persons (default: {networks.PERSON} in torch's cache)",
    )
    weights.add_argument(
        "--cache", type=Path, metavar="DIR",
        help="where feature statistics of real pictures are kept (default: ~/.cache/scam)",
    )  # fmt: skip
    return parser


if __name__ == "__main__":
    run(main, PROG)
