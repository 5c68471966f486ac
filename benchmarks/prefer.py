# SPDX-License-Identifier: Apache-2.0
"""``python -m benchmarks.prefer``: which backend a GPU's problems are given to, and why."""

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from benchmarks.cases import AttentionCase
from benchmarks.headline import CASES
from scam.commandline import command
from scam.errors import counted
from scam.ops.preference import ANY, TABLE, Preference
from scam.ops.problem import ATTENTION, MODULATION

PROG = "python -m benchmarks.prefer"
EXAMPLES = """\
  python -m benchmarks.kernels time --out benchmarks/results/h200/kernels.jsonl
  python -m benchmarks.prefer
      rewrite scam/ops/preferred.csv from such results and from tests/kernels/floors.csv"""
ROOT = Path(__file__).resolve().parents[1]
FLOORS = ROOT / "tests" / "kernels" / "floors.csv"
RESULTS = ROOT / "benchmarks" / "results"
OPS = {case.id: ATTENTION if isinstance(case, AttentionCase) else MODULATION for case in CASES}
OF_16_BITS = ("bfloat16", "float16")

Times = dict[str, dict[tuple[str, ...], float]]
"""Backend -> pass -> seconds."""


def preferences() -> Iterator[Preference]:
    """The rows of the table: what was measured, then what holds for any other GPU."""
    measured: dict[tuple[str, str, str], Times] = defaultdict(lambda: defaultdict(dict))
    for path in sorted(RESULTS.glob("*/*.jsonl")):
        for row in map(json.loads, path.read_text().splitlines()):
            if row.get("gpu") and row["what"] in ("forward", "backward"):
                times = measured[row["gpu"], OPS[row["case"]], row["dtype"]]
                step = row["case"], row["given"], row["what"]
                times[row["backend"]][step] = row["seconds"]
    for (gpu, op, dtype), times in measured.items():
        yield from _fastest(gpu, op, (dtype,), times, "measured")
    floors: dict[str, Times] = defaultdict(lambda: defaultdict(dict))
    with FLOORS.open(newline="") as file:
        for row in csv.DictReader(file):
            least = max(float(row["issue_us"]), float(row["memory_us"])) * 1e-6
            floors[OPS[row["case"]]][row["backend"]][row["case"], row["step"]] = least
    for op, times in floors.items():
        # The instructions of both dtypes are the same.
        yield from _fastest(ANY, op, OF_16_BITS, times, "least times on an H200 by machine code")


def _fastest(
    gpu: str, op: str, dtypes: Iterable[str], times: Times, source: str
) -> Iterator[Preference]:
    """Of the passes that all backends make; nothing where only one was seen."""
    if len(times) < 2:
        return
    steps = set.intersection(*(set(each) for each in times.values()))
    totals = {name: sum(each[step] for step in steps) for name, each in times.items()}
    ranked = sorted(totals, key=lambda name: totals[name])
    shown = ", ".join(f"{name} {totals[name] * 1e3:.2f} ms" for name in ranked)
    for dtype in dtypes:
        yield Preference(
            gpu, op, dtype, ranked[0], f"{shown} ({counted(len(steps), 'call')}, {source})"
        )


def write(path: Path) -> None:
    """Write the table."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(
            file, [one.name for one in fields(Preference)], lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(asdict(row) for row in preferences())


def main(argv: Sequence[str] | None = None) -> None:
    """Write the table and print it."""
    command.Parser(PROG, "Which backend is asked first on a GPU, and why.", EXAMPLES).parse_args(
        argv
    )
    write(TABLE)
    print(TABLE.read_text(), end="")


if __name__ == "__main__":
    command.run(main, PROG)
