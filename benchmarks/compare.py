# SPDX-License-Identifier: Apache-2.0
"""``python benchmarks/compare.py``: variants of a training, at equal budget, in one table."""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

if not __package__:  # started as a file: its folder is on the path in place of the checkout
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.variants import COMPARISONS, Column, Comparison
from scam import evaluate, train
from scam.checkpoints.step_folders import CHECKPOINTS, newest_step_folder, step_folder
from scam.commandline import command
from scam.errors import InputError
from scam.storage.files import write_json
from scam.storage.reading import read_json

PROG = "python benchmarks/compare.py"
EXAMPLES = """\
  python benchmarks/compare.py ablations --out runs/ablations -- --data photos --steps 1500
      the rows of the paper's Table 2 and its k study, then the table; started again it goes on
      where it was stopped
  python benchmarks/compare.py small-data --out runs/few --only base,diffaugment --seeds 0 1 2 \\
      -- --data photos --steps 1500 --gan-from 200 --holdout 800
      two of the options for few pictures, three times each, with 800 photographs held out"""
RESULTS = "results.json"
Rows = dict[str, list[dict[str, Any]]]
"""What was measured of each variant: one row per seed."""


def main(argv: Sequence[str] | None = None) -> None:
    """Train and measure what is not yet there, then print and store the table."""
    given = list(sys.argv[1:] if argv is None else argv)
    cut = given.index("--") if "--" in given else len(given)
    args, common = _parser().parse_args(given[:cut]), given[cut + 1 :]
    comparison = COMPARISONS[args.comparison]
    wanted = args.only.split(",") if args.only else list(comparison.variants)
    for name in wanted:
        if name not in comparison.variants:
            expected = ",".join(comparison.variants)
            raise InputError(f"--only {name}: expected some of {expected}")
    results = args.out / RESULTS
    asked = {"comparison": args.comparison, "common": common}
    found = _stored(results, asked)
    for seed in args.seeds:
        for name in wanted:
            print(f"{name}, seed {seed}")
            run = args.out / f"{name}-{seed}"
            _train(run, [*common, *comparison.variants[name], "--seed", str(seed)])
            row = {"seed": seed, **_measured(run, comparison)}
            found = _stored(results, asked)  # another process may have added to them meanwhile
            others = [other for other in found.get(name, []) if other["seed"] != seed]
            found[name] = sorted([*others, row], key=lambda row: row["seed"])
            write_json(results, {**asked, "runs": found})
    print(table({name: found[name] for name in comparison.variants if name in found}, comparison))


def _stored(results: Path, asked: Mapping[str, Any]) -> Rows:
    """The rows that are there already; InputError if they are of another comparison."""
    if not results.exists():
        return {}
    there = read_json(results)
    _expect_the_same(results.parent, there, asked)
    runs: Rows = there["runs"]
    return runs


def _expect_the_same(out: Path, there: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    if (kind := there.get("comparison")) != asked["comparison"]:
        raise InputError(f"--out {out} holds a comparison of {kind}: expected another --out")
    if (flags := there.get("common")) != asked["common"]:
        raise InputError(
            f"--out {out} holds runs with the flags {flags}: give them, or another --out"
        )


def table(found: Mapping[str, Sequence[Mapping[str, Any]]], comparison: Comparison) -> str:
    """Markdown: a variant per row, means over seeds and, of several, half their spread."""
    names = [*comparison.columns, "s/step"]
    lines = [f"| variant | {' | '.join(names)} |", f"|---{'|---' * len(names)}|"]
    for variant, runs in found.items():
        cells = [_cell([run[name] for run in runs if run[name] is not None]) for name in names]
        lines.append(f"| {variant} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "-"
    spread = f" ± {(max(values) - min(values)) / 2:.2g}" if len(values) > 1 else ""
    return f"{fmean(values):.4g}{spread}"


def _train(run: Path, arguments: list[str]) -> None:
    """Begin, go on or leave alone; what a run began with it keeps."""
    config, folder = run / "config.json", run / CHECKPOINTS
    if not config.exists():
        begun = time.perf_counter()
        train.main([*arguments, "--out", str(run)])
        write_json(run / "seconds.json", {"seconds": time.perf_counter() - begun})
    elif newest_step_folder(folder) != step_folder(folder, read_json(config)["training"]["steps"]):
        train.main([*arguments, "--resume", "--out", str(run)])


def _measured(run: Path, comparison: Comparison) -> dict[str, float | None]:
    """The numbers of one row; None is what could not be measured here."""
    report = run / "measured" / "report.json"
    if not report.exists():
        metrics = ",".join(sorted({column.metric for column in comparison.columns.values()}))
        out = str(report.parent)
        evaluate.main([str(run), "--split", "val", "--metrics", metrics, "--out", out])
    rows = read_json(report)["rows"]
    values = {name: _value(rows, column) for name, column in comparison.columns.items()}
    steps = read_json(run / "config.json")["training"]["steps"]
    timed = run / "seconds.json"  # missing where a run was interrupted
    values["s/step"] = read_json(timed)["seconds"] / steps if timed.exists() else None
    return values


def _value(rows: Sequence[Mapping[str, Any]], column: Column) -> float | None:
    for row in rows:
        named = (row["metric"], row["what"]) == (column.metric, column.what)
        if named and row["against"].startswith(column.against):
            return row["value"]
    return None


def _parser() -> argparse.ArgumentParser:
    listed = "\n\n".join(
        f"variants of {name}:\n"
        + "\n".join(f"  {row:<27} {' '.join(flags)}" for row, flags in them.variants.items())
        for name, them in COMPARISONS.items()
    )
    parser = command.Parser(
        PROG,
        "Compare variants of a training. After -- come flags for every python -m scam.train.",
        f"{EXAMPLES}\n\n{listed}",
    )
    parser.add_argument("comparison", choices=COMPARISONS, help="which variants, see below")
    parser.add_argument("--out", type=Path, required=True, help="folder of all runs")
    parser.add_argument("--only", metavar="NAME,...", help="some of the variants (default: all)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="default: 0")
    return parser


if __name__ == "__main__":
    command.run(main, PROG)
