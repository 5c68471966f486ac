# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.evaluate``: measure a trained model on pictures it was not trained on."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scam import cli
from scam.data import LABEL_SETS
from scam.errors import InputError
from scam.evaluation import networks
from scam.evaluation.bench import Bench, open_bench
from scam.evaluation.cost import cost_rows
from scam.evaluation.measure import METRICS, build_meters, in_order, measure
from scam.evaluation.pictures import Pictures, batch
from scam.evaluation.report import (
    REPORT,
    SHEET,
    free_folder,
    write_pairs,
    write_report,
    write_sheet,
)
from scam.evaluation.rows import render

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
    wanted = _checked(args)
    bench = open_bench(args)
    base = Path("evaluation") if bench.run is None else bench.run / "evaluation"
    folder = free_folder(base / bench.checkpoint.path.name, args.out)
    print(_heading(bench.facts))
    # Cost comes first, while nothing else has touched memory.
    cost = cost_rows(_some(bench, 1)) if "cost" in wanted else []
    meters, missing = build_meters(bench, args, wanted)
    write_pairs(folder, bench.stems, bench.donors)
    write_sheet(folder, _some(bench, _SHEET_ROWS))
    rows = in_order([*measure(bench, meters, args.batch_size), *missing, *cost])
    write_report(folder, bench.facts, rows)
    print(render(rows))
    print(f"sheet: {folder / SHEET}\nreport: {folder / REPORT}")


def _some(bench: Bench, count: int) -> Pictures:
    """At most ``count`` pictures spread over the test set."""
    count = min(count, len(bench.test))
    indices = [i * len(bench.test) // count for i in range(count)]
    return batch(bench.painter, bench.test, bench.donors, indices)


def _heading(facts: dict[str, Any]) -> str:
    height, width = facts["size"]
    return (
        f"{facts['checkpoint']}, weights {facts['weights']}\n"
        f"{facts['pictures']} {facts['split']} pictures of {facts['data']['data']} "
        f"at {height}x{width}, seed {facts['seed']}; "
        f"background: {', '.join(facts['background_labels'])}"
    )


def _checked(args: argparse.Namespace) -> list[str]:
    wanted = args.metrics.split(",") if args.metrics else list(METRICS)
    for name in wanted:
        if name not in METRICS:
            raise InputError(f"--metrics {name}: expected some of {','.join(METRICS)}")
    for name, least in (
        ("batch_size", 1), ("seed", 0), ("max_pictures", 2), ("reference_pictures", 2),
    ):  # fmt: skip
        value = getattr(args, name)
        if value is not None and value < least:
            raise InputError(f"--{name.replace('_', '-')} {value}: expected {least} or more")
    if args.extractor is not None and args.dinov2_weights is not None:
        raise InputError("--extractor, --dinov2-weights: give one of the two")
    return wanted


def _parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:<9} {what}" for name, what in METRICS.items())
    parser = cli.Parser(PROG, "Measure a trained model.", f"{EXAMPLES}\n\nmetrics:\n{listed}")
    parser.add_argument("checkpoint", help="a training run's folder, or one of its step folders")
    parser.add_argument(
        "--metrics", metavar="NAME,...", help="which of those below (default: all)"
    )
    parser.add_argument(
        "--out", type=Path, help="folder for report.json, pairs.json and sheet.png"
        " (default: a new one in the run's folder evaluation/)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of pairs and edits (default: 0)")
    parser.add_argument("--pairs", type=Path, metavar="FILE", help="an earlier pairs.json")
    parser.add_argument("--batch-size", type=int, default=8, help="default: 8")
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
    data.add_argument("--holdout", type=int, help="pictures to measure on, where no val/ says")
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
    cli.run(main, PROG)
