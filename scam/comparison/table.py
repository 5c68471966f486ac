# SPDX-License-Identifier: Apache-2.0
"""The table of a comparison: a row for each variant, whatever it was measured by."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from scam.comparison.measuring import Outcome, parameters, training_cost
from scam.comparison.runs import Run
from scam.evaluation.cost import TRANSFER
from scam.evaluation.distribution import GENERATED
from scam.evaluation.identity import PROTOCOLS
from scam.storage.files import write_aside, write_json

TABLE = "table"
"""Name of the files, before .md, .csv and .json."""
_UP, _DOWN = " \N{UPWARDS ARROW}", " \N{DOWNWARDS ARROW}"
_CANNOT = "cannot"
Cell = float | str | None
"""A number, "cannot", or None: not measured."""


@dataclass(frozen=True)
class Column:
    """A number in the report of an evaluation.

    train: of several references, the training images, or those measured on; None: there is one.
    """

    title: str
    metric: str
    what: str
    train: bool | None = None


_SUBJECT = PROTOCOLS["transfer"]
_MEAN = "reconstruction, mean of pictures"
COLUMNS = (
    Column("PSNR" + _UP, "psnr", "reconstruction, pooled"),
    Column("SSIM" + _UP, "ssim", _MEAN),
    Column("LPIPS" + _DOWN, "lpips", _MEAN),
    Column("pyramid" + _DOWN, "pyramid", _MEAN),
    Column("detail", "detail", _MEAN),
    Column("R-FID" + _DOWN, "fid", GENERATED["reconstruction"], train=True),
    Column("S-FID" + _DOWN, "fid", GENERATED["swap"], train=False),
    Column("R-KID" + _DOWN, "kid", GENERATED["reconstruction"], train=True),
    Column("S-KID" + _DOWN, "kid", GENERATED["swap"], train=False),
    Column("R-FD" + _DOWN, "fd", GENERATED["reconstruction"], train=True),
    Column("S-FD" + _DOWN, "fd", GENERATED["swap"], train=False),
    Column("REIDSim" + _UP, "reid", f"REIDSim, {_SUBJECT}"),
    Column("REIDAcc" + _UP, "reid", f"REIDAcc, {_SUBJECT}"),
    Column("leak" + _DOWN, "locality", "change outside it"),
    Column("cycle" + _UP, "cycle", "A to B to A, pooled"),
    Column("ms/transfer" + _DOWN, "cost", TRANSFER),
)
_STEP, _PEAK = "s/step" + _DOWN, "peak MB" + _DOWN


def write_tables(out: Path, outcomes: Sequence[Outcome], metrics: Iterable[str]) -> str:
    """Write ``table.json``, a row for each run, and ``table.md`` and ``table.csv``, one for each
    variant; returns the Markdown.

    Cells are means over seeds and, of several, half of their range.
    """
    columns = [column for column in COLUMNS if column.metric in metrics]
    rows = [
        {
            "variant": found.run.variant.name,
            "run": found.run.name,
            "seed": found.run.options.seed,
            "setting": _setting(found.run),
            "parameters": parameters(found.run),
            **_cells(found, columns),
            "failed": found.failed or None,
        }
        for found in outcomes
    ]
    notes = _notes(outcomes)
    write_json(out / f"{TABLE}.json", {"rows": rows, "notes": notes})
    lines = _lines(rows, [column.title for column in columns])
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(lines)
    ruled = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    text = "\n".join(f"| {' | '.join(line)} |" for line in ruled) + "\n"
    text += "".join(f"\n- {note}" for note in notes) + "\n" * bool(notes)
    for suffix, content in ((".md", text), (".csv", written.getvalue())):
        with write_aside(out / f"{TABLE}{suffix}") as file:
            file.write(content.encode())
    return text


def _cells(outcome: Outcome, columns: Sequence[Column]) -> dict[str, Cell]:
    """Every number by its column's title."""
    rows = outcome.report.get("rows", ())
    seconds, peak = training_cost(outcome.run)
    return {
        **{column.title: _cell(rows, column) for column in columns},
        _STEP: seconds,
        _PEAK: None if peak is None else peak / 1e6,
    }


def _lines(rows: Sequence[Mapping[str, Any]], titles: Sequence[str]) -> list[list[str]]:
    measured = [*titles, _STEP, _PEAK]
    lines = [["variant", "setting", "parameters", *measured]]
    for name in dict.fromkeys(row["variant"] for row in rows):
        own = [row for row in rows if row["variant"] == name]
        good = [row for row in own if not row["failed"]]
        cells = [_text([row[title] for row in good]) for title in measured]
        if not good:
            cells = ["failed"] * len(measured)
        millions = f"{own[0]['parameters'] / 1e6:.3g} M"
        lines.append([name, own[0]["setting"], millions, *cells])
    return lines


def _text(cells: Sequence[Cell]) -> str:
    if _CANNOT in cells:
        return _CANNOT
    values = [float(cell) for cell in cells if cell is not None]
    if not values:
        return "-"
    spread = f" ± {(max(values) - min(values)) / 2:.2g}" if len(values) > 1 else ""
    return f"{fmean(values):.4g}{spread}"


def _cell(rows: Iterable[Mapping[str, Any]], column: Column) -> Cell:
    for row in rows:
        if row["metric"] != column.metric:
            continue
        if row["value"] is None and row["note"].startswith(_CANNOT):
            return _CANNOT
        against = column.train is None or column.train == row["against"].startswith("train")
        if row["what"] == column.what and against and row["value"] is not None:
            value = float(row["value"])  # text, if it is not finite
            return value if math.isfinite(value) else None
    return None


def _setting(run: Run) -> str:
    return str(run.model.facts.get("fidelity", ""))


def _notes(outcomes: Sequence[Outcome]) -> list[str]:
    """Which runs failed, and why numbers are missing."""
    found = [f"{x.run.name} failed: {x.failed}" for x in outcomes if x.failed]
    for outcome in outcomes:
        for row in outcome.report.get("rows", ()):
            if row["value"] is None:
                found.append(f"{row['metric']}: {row['note']}")
    return list(dict.fromkeys(found))
