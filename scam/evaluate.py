# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.evaluate``: measure a trained model on images it was not trained on."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from scam.commandline.command import in_flags, run
from scam.commandline.console import say
from scam.commandline.flags import given
from scam.data.gallery import INDEX
from scam.data.sheet import expect_scale, save_sheet
from scam.evaluation.flags import evaluate_parser
from scam.evaluation.legend import table
from scam.evaluation.measure import measure
from scam.evaluation.options import EvaluationOptions
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


@in_flags
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, measure in one walk over the images, print the table, write the files."""
    args = evaluate_parser(PROG).parse_args(argv)
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
    # Files are written last, the report first, so that an interrupted run leaves none.
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


if __name__ == "__main__":
    run(main, PROG)
