# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.evaluate``: measure a trained model on pictures it was not trained on."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from scam.commandline.command import Parser, in_flags, run
from scam.commandline.console import say
from scam.commandline.flags import add_flags, given
from scam.commandline.start import ABOUT
from scam.data.gallery import INDEX
from scam.data.sheet import MIN_HEIGHT, expect_scale, save_sheet
from scam.evaluation.legend import table
from scam.evaluation.measure import measure
from scam.evaluation.needs import add_weights
from scam.evaluation.options import METRICS, EvaluationOptions
from scam.evaluation.report import (
    REPORT,
    SHEET,
    SHEET_ROWS,
    expect_unused,
    heading,
    sheet_columns,
    write_page,
    write_pairs,
    write_report,
)
from scam.evaluation.setup import open_setup
from scam.storage.files import free_folder
from scam.storage.outputs import expect_writable

PROG = "python -m scam.evaluate"
EXAMPLES = """\
  python -m scam.evaluate runs/mannequins
      every metric, on pictures that the model was not trained on
  python -m scam.evaluate runs/mannequins --metrics psnr,ssim,locality,cycle --out quick --html
      some of them, into the folder quick, and a page of numbers and pictures
  python -m scam.evaluate runs/photos --data other_photos --holdout 200 --seed 1
      on 200 other photographs with the same labels
  python -m scam.evaluate --weights   # what metrics need of others, and what of it is here"""


@in_flags
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, measure in one walk over the pictures, print the table, write the files."""
    args = _parser().parse_args(argv)
    expect_scale(args.scale)
    options = EvaluationOptions(**given(vars(args), EvaluationOptions))
    setup = open_setup(options)
    out: Path | None = args.out
    base = Path("evaluation") if setup.run is None else setup.run / "evaluation"
    if out is None:
        expect_writable(base / REPORT)
    else:
        expect_unused(out, setup.inputs, page=args.html, overwrite=args.overwrite)
    say(*heading(setup.facts))
    rows = measure(setup)
    # Files at the end, the report first: who is interrupted leaves none.
    folder = nullcontext(out) if out else free_folder(base / setup.checkpoint.path.name)
    with folder as out:
        write_report(out, setup.facts, rows, overwrite=args.overwrite)
        write_pairs(out, setup.stems, setup.donors, overwrite=args.overwrite)
        columns = sheet_columns(setup.some(SHEET_ROWS))
        save_sheet(
            out / SHEET,
            columns,
            scale=args.scale,
            overwrite=args.overwrite,
            label_names=setup.checkpoint.label_names,
        )
        if args.html:
            write_page(out, setup, rows, columns, overwrite=args.overwrite)
    print(table(rows))
    say(f"sheet: {out / SHEET}", f"report: {out / REPORT}")
    if args.html:
        say(f"page: {out / INDEX}")


def _parser() -> Parser:
    listed = "\n".join(f"  {name:<9} {what}" for name, what in METRICS.items())
    parser = Parser(PROG, ABOUT["evaluate"], f"{EXAMPLES}\n\nmetrics:\n{listed}")
    parser.add_checkpoint()
    parser.group(EvaluationOptions.heading).add_argument(
        "--out", type=Path, help="folder for report.json, pairs.json and sheet.png"
        " (default: a new one in the run's folder evaluation/)",
    )  # fmt: skip
    parser.add_argument(
        "--html",
        action="store_true",
        help="also a page, index.html, with the table and the sheet's pictures",
    )
    parser.add_overwrite()
    parser.add_scale(MIN_HEIGHT)
    add_weights(parser)
    add_flags(parser, EvaluationOptions)
    return parser


if __name__ == "__main__":
    run(main, PROG)
