# SPDX-License-Identifier: Apache-2.0
"""``python benchmarks/report.py RESULT.json``: tables and plots of a run of the benchmarks."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

if not __package__:  # started as a file: its folder is on the path in place of the checkout
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks import tables
from benchmarks.results_file import RIVALS, Run, read
from scam.commandline import command
from scam.errors import InputError
from scam.storage.files import write_aside

PROG = "python benchmarks/report.py"
EXAMPLES = """\
  python benchmarks/report.py benchmarks/results/latest.json
      targets, every case, and where a rival is faster
  python benchmarks/report.py new.json --compare old.json --threshold 5%
      status 1 if a rival's time over ours fell by more than 5 % in any case
  python benchmarks/report.py run.json --update README.md benchmarks/README.md
      put the tables between those pages' markers: the headline, and all targets"""


def main(argv: Sequence[str] | None = None) -> None:
    """Print tables and whatever else was asked for."""
    args = _parser().parse_args(argv)
    run = read(args.result)
    text = _page(run, tables.targets) if args.targets else _long(run)
    if args.markdown:
        _write(args.markdown, text)
    for page in args.update:
        update(
            page, {"headline": _page(run, tables.headline), "targets": _page(run, tables.targets)}
        )
    if args.plots:
        from benchmarks import plots

        for path in plots.draw(run, args.plots):
            print(f"plot: {path}")
    if args.compare:
        fallen = regressions(run, read(args.compare), args.threshold)
        print("\n".join(fallen) or f"no ratio fell by more than {100 * args.threshold:g} %")
        if fallen:
            sys.exit(1)
    elif not (args.markdown or args.update):
        print(text, end="")


def regressions(new: Run, old: Run, threshold: float) -> list[str]:
    """Lines for rivals whose time over ours is smaller than before by more than ``threshold``.

    Ratios are compared, never times: two runs share no neighbours. Results that only one of the
    runs holds are passed over.
    """
    before = {(result.area, result.id): result for result in old.results}
    found = []
    for result in new.results:
        earlier = before.get((result.area, result.id))
        for name, contender in result.contenders.items():
            was = None if earlier is None else earlier.ratio(name)
            if was is None or contender["kind"] not in RIVALS:
                continue
            now = float(contender["ratio"])
            if now < was * (1 - threshold):
                found.append(f"{result.id}: {name} takes {now:.3g}x our time, {was:.3g}x before")
    return found


def update(path: Path, texts: Mapping[str, str]) -> None:
    """Replace what stands between ``<!-- NAME begin -->`` and ``<!-- NAME end -->`` in a page.

    Raises:
        InputError: no such file, or it has the markers of none of ``texts``.
    """
    try:
        page = path.read_text()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    found = False
    for name, text in texts.items():
        begin, end = f"<!-- {name} begin -->", f"<!-- {name} end -->"
        before, _, rest = page.partition(begin)
        _, ended, after = rest.partition(end)
        if ended:
            found = True
            page = f"{before}{begin}\n{text}{end}{after}"
    if not found:
        wanted = " or ".join(f"<!-- {name} begin --> ... <!-- {name} end -->" for name in texts)
        raise InputError(f"{path}: expected the markers {wanted}")
    _write(path, page)


def _page(run: Run, make_table: Callable[[Run], str]) -> str:
    source = run.path
    root = Path(__file__).resolve().parents[1]
    if source.resolve().is_relative_to(root):
        source = source.resolve().relative_to(root)
    return f"{make_table(run)}\n\n{tables.where(run)}. Source: `{source}`.\n"


def _long(run: Run) -> str:
    return (
        f"# Benchmarks\n\n{tables.where(run)}\n\n## Targets\n\n{tables.targets(run)}\n\n"
        f"## Where a rival is faster\n\n{tables.losses(run)}\n\n{tables.cases(run)}\n"
    )


def _write(path: Path, text: str) -> None:
    with write_aside(path) as file:
        file.write(text.encode())


def _share(text: str) -> float:
    """``5%`` or ``0.05`` -> 0.05."""
    value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected 0% to 99%")
    return value


def _parser() -> command.Parser:
    parser = command.Parser(PROG, "Tables and plots of a run of the benchmarks.", EXAMPLES)
    parser.add_argument("result", type=Path, metavar="RESULT.json")
    parser.add_argument("--targets", action="store_true", help="the table of targets only")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write there, not to stdout")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw SVG files into DIR")
    parser.add_argument(
        "--update", type=Path, nargs="+", default=[], metavar="FILE", help="pages with markers"
    )
    parser.add_argument("--compare", type=Path, metavar="OLD.json", help="an earlier run")
    parser.add_argument(
        "--threshold", type=_share, default=0.05, metavar="X%", help="default: 5%%"
    )
    return parser


if __name__ == "__main__":
    command.run(main, PROG)
