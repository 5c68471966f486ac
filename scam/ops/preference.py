# SPDX-License-Identifier: Apache-2.0
"""Which backend is asked first on a GPU, by op and dtype, and why: ``preferred.csv``.

``python -m benchmarks.prefer`` writes the table, from times on a GPU of that name where
``benchmarks/results`` has them, else from the least times that machine code allows.
"""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scam.ops.problem import Problem, dtype_name

TABLE = Path(__file__).with_name("preferred.csv")
ANY = "*"
"""In place of the name of a GPU: one of which nothing was measured."""


@dataclass(frozen=True)
class Preference:
    """A row of the table: ``backend`` for ``op`` in ``dtype`` on ``gpu``, and ``why`` in words."""

    gpu: str
    op: str
    dtype: str
    backend: str
    why: str


def preference(problem: Problem) -> Preference | None:
    """The row for a problem: of its GPU, else of any; None on other devices, or without one."""
    if problem.device_type != "cuda":
        return None
    op, dtype = problem.op, dtype_name(problem.dtype)
    return _table().get((problem.gpu or ANY, op, dtype)) or _table().get((ANY, op, dtype))


def ordered(names: tuple[str, ...], problem: Problem) -> tuple[str, ...]:
    """Names of backends in the order in which they are asked: the preferred one first."""
    found = preference(problem)
    if found is None or found.backend not in names:
        return names
    return found.backend, *(name for name in names if name != found.backend)


@cache
def _table() -> dict[tuple[str, str, str], Preference]:
    with TABLE.open(newline="") as file:
        rows = [Preference(**row) for row in csv.DictReader(file)]
    return {(row.gpu, row.op, row.dtype): row for row in rows}
