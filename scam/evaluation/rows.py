# SPDX-License-Identifier: Apache-2.0
"""One measured number, or the reason why there is none; and the table of all of them."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

_LABELS_SHOWN = 24
_LABEL = "label "


@dataclass(frozen=True)
class Row:
    """One line of the table.

    metric: its name in ``--metrics``. what: the number's own name. value: None where ``note``
    says why it is missing. n: images (or edits) it is taken over. against: the reference.
    better: "higher", "lower" or "" where neither is. lack: what stands in the table in place of a
    value that is missing.
    """

    metric: str
    what: str
    value: float | None
    unit: str = ""
    n: int = 0
    against: str = ""
    better: str = ""
    note: str = ""
    lack: str = "missing"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, which knows no infinity."""
        finite = self.value is None or math.isfinite(self.value)
        plain = {**asdict(self), "value": self.value if finite else str(self.value)}
        del plain["lack"]  # the note says it
        return plain


def label_row(metric: str, name: str, value: float, n: int, **more: str) -> Row:
    """A number of one label alone; tables show the labels that most images hold."""
    return Row(metric, _LABEL + name, value, n=n, **more)


def averaged(passes: Sequence[Sequence[Row]], note: str) -> list[Row]:
    """The rows of one or several measurements of the same numbers, as their means.

    note: of what, told where the values differ.
    """
    means = []
    for rows in zip(*passes, strict=True):
        values = [row.value for row in rows if row.value is not None]
        if len(values) == len(passes) and len(set(values)) > 1:
            notes = "; ".join(filter(None, (rows[0].note, note)))
            means.append(replace(rows[0], value=fmean(values), note=notes))
        else:
            means.append(rows[0])
    return means


def table_lines(rows: Sequence[Row]) -> list[tuple[str, str, str, str, str, str]]:
    """The table's cells, names of the columns first."""
    cells = [("metric", "", "value", "n", "against", "note")]
    last = ""
    for row in rows:
        metric = row.metric if row.metric != last else ""
        last = row.metric
        count = str(row.n) if row.n else ""
        cells.append((metric, _said(row.what), _value(row), count, _said(row.against), row.note))
    return cells


def _said(name: str) -> str:
    """A name as people read it: reports store ``pictures``, as they always did."""
    return name if name.startswith(_LABEL) else name.replace("pictures", "images")


def render(rows: Sequence[Row]) -> str:
    """The table, in columns as wide as they need to be."""
    shown, left_out = _shown(rows)
    cells = table_lines(shown)
    widths = [max(len(line[i]) for line in cells) for i in range(5)]
    lines = []
    for line in cells:
        metric, what, value, count, against = (
            cell.rjust(width) if i in (2, 3) else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line[:5], widths, strict=True))
        )
        lines.append(f"{metric}  {what}  {value}  {count}  {against}  {line[5]}".rstrip())
    if left_out:
        lines.append(f"{left_out} more labels, in fewer images: see the report")
    return "\n".join(lines)


def _value(row: Row) -> str:
    if row.value is None:
        return row.lack
    arrow = {"higher": "\u2191", "lower": "\u2193", "": " "}[row.better]
    if 0 < abs(row.value) < 0.01:
        return f"{row.value:.2e} {row.unit}".rstrip() + f" {arrow}"
    digits = 4 if abs(row.value) < 1 else 3 if abs(row.value) < 10 else 2
    return f"{row.value:.{digits}f} {row.unit}".rstrip() + f" {arrow}"


def _shown(rows: Sequence[Row]) -> tuple[list[Row], int]:
    labels = [row for row in rows if row.what.startswith(_LABEL)]
    common = sorted(labels, key=lambda row: -row.n)[:_LABELS_SHOWN]
    dropped = {id(row) for row in labels} - {id(row) for row in common}
    return [row for row in rows if id(row) not in dropped], len(dropped)
