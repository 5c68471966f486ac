# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.data check``: what a folder holds, and every file that cannot be used."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from scam.commandline.command import Parser
from scam.commandline.console import say
from scam.data.check import check_folder
from scam.data.labels import LABEL_SETS, NUM_VALUES
from scam.data.parallel import default_workers
from scam.data.report import report_text
from scam.errors import InputError

PROG = "python -m scam.data check"
DESCRIPTION = """\
Read every photograph and label map of a folder as training would: counts, sizes, a table of the
labels, and every bad file with what is wrong. Exit status 1 if a file is bad."""
EXAMPLES = """\
  python -m scam.data check photos
      photos/images with photos/labels, or photos/{train,val,test}/ likewise
  python -m scam.data check photos --labels labels_lip20 --label-set lip20
      label maps in photos/labels_lip20 whose values are the 20 labels of LIP
  python -m scam.data check photos --ignore-label 255 --json > photos.json
      the same as JSON; pixels of value 255 have no label"""


def main(argv: Sequence[str]) -> None:
    """Check the folder and print the report; leave with status 1 if a file is bad."""
    args = _parser().parse_args(argv)
    report = check_folder(
        Path(args.dir),
        labels=args.labels,
        label_set=args.label_set,
        ignore_label=ignore_label(args.ignore_label),
        merge=args.merge,
        holdout=None if args.holdout is None else positive("holdout", args.holdout),
        workers=positive("workers", args.workers),
    )
    if args.json:
        print(json.dumps(report.as_dict(), indent=2))
    else:
        say(*report_text(report, every_bad=args.every_bad).split("\n"))
    if report.bad:
        sys.exit(1)


def positive(name: str, value: int) -> int:
    """``value``; InputError naming it if it is below 1."""
    if value < 1:
        raise InputError(f"{{{name}}}: expected 1 or more", **{name: value})
    return value


def ignore_label(value: int | None) -> int | None:
    """``value`` of ``--ignore-label``; InputError if no label file can hold it."""
    if value is not None and not 0 <= value < NUM_VALUES:
        raise InputError(f"{{ignore_label}}: expected 0 to {NUM_VALUES - 1}", ignore_label=value)
    return value


def add_workers(parser: argparse.ArgumentParser) -> None:
    """The flag that both commands share."""
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        default=default_workers(),
        help="processes that read images, at most one per core (default: one per core, at most 8)",
    )


def _parser() -> argparse.ArgumentParser:
    parser = Parser(PROG, DESCRIPTION, EXAMPLES)
    parser.add_argument("dir", help="folder with images/ and label maps")
    parser.add_argument(
        "--labels", metavar="NAME", default="labels", help="label map folder (default: labels)"
    )
    parser.add_argument(
        "--label-set", metavar="NAME", help=f"what the labels are: {', '.join(LABEL_SETS)}"
    )
    parser.add_argument(
        "--ignore-label", type=int, metavar="N", help="label value that means: no label"
    )
    parser.add_argument(
        "--merge", metavar="NAME", help="merge labels as training does: idesigner, body or a file"
    )
    parser.add_argument(
        "--holdout", type=int, metavar="N", help="images held out where there is no val folder"
    )
    parser.add_argument(
        "--all", dest="every_bad", action="store_true", help="list every bad file, not only 20"
    )
    parser.add_argument("--json", action="store_true", help="everything as JSON on stdout")
    add_workers(parser)
    return parser
