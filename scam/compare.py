# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.compare``: train models or variants alike, measure each, in one table."""

import sys
from collections.abc import Sequence

from scam.commandline.command import in_flags, run
from scam.commandline.console import say
from scam.commandline.device import open_device
from scam.commandline.flags import given
from scam.comparison.engine import compare
from scam.comparison.flags import common_settings, compare_parser
from scam.comparison.options import MeasuringOptions
from scam.comparison.runs import expect_comparison, plan
from scam.comparison.sheet import write_sheet
from scam.comparison.variants import choose
from scam.data.gallery import INDEX
from scam.storage.locks import locked

PROG = "python -m scam.compare"


@in_flags
def main(argv: Sequence[str] | None = None) -> None:
    """Parse, check the settings of all runs, train and measure, print the table.

    Leaves with status 1 if a run failed.
    """
    args = compare_parser(PROG).parse_args(argv)
    options = MeasuringOptions(**given(vars(args), MeasuringOptions))
    variants = choose(args.models, args.variants, args.only)
    common = common_settings(args)
    open_device(args.device)
    with locked(args.out):
        expect_comparison(args.out)
        runs = plan(args.out, variants, common, args.seeds)
        outcomes, table = compare(args.out, runs, options, args.device)
        print(table, end="")
        # Of several seeds one will do.
        shown = {x.run.variant.name: x.run for x in reversed(outcomes) if not x.failed}
        if shown:
            drawn = [*reversed(shown.values())]
            say(f"sheet: {write_sheet(args.out, drawn, args.device, page=args.html)}")
            if args.html:
                say(f"page: {args.out / INDEX}")
    if any(outcome.failed for outcome in outcomes):
        sys.exit(1)


if __name__ == "__main__":
    run(main, PROG)
