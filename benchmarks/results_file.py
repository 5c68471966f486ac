# SPDX-License-Identifier: Apache-2.0
"""Reading back what a run of the benchmarks wrote."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scam.errors import InputError

OURS = "ours"
ALONE = "op alone"
"""Of the modulation: without the projections of its tokens."""
BACKWARD_ALONE = "ours, backward alone"
"""Of either operator; of the modulation without those projections, too."""
RIVALS = ("dense", "sparse")


@dataclass(frozen=True)
class Result:
    """One case: who was timed, who could not run, and what the case was."""

    area: str
    id: str
    facts: dict[str, Any]

    @property
    def contenders(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self.facts["contenders"]
        return found

    @property
    def refused(self) -> dict[str, str]:
        found: dict[str, str] = self.facts["refused"]
        return found

    def ratio(self, name: str) -> float | None:
        """A contender's time (or memory) over ours; None if it was not measured."""
        contender = self.contenders.get(name)
        return None if contender is None else float(contender["ratio"])

    def fastest(self, *kinds: str) -> tuple[str, float] | None:
        """The rival of these kinds that comes nearest to ours, and its ratio."""
        found = [
            (name, float(c["ratio"])) for name, c in self.contenders.items() if c["kind"] in kinds
        ]
        return min(found, key=lambda pair: pair[1], default=None)


@dataclass(frozen=True)
class Run:
    """All results of one file."""

    path: Path
    date: str
    machine: dict[str, Any]
    results: tuple[Result, ...]

    @property
    def device(self) -> str:
        return str(self.machine["device"])

    def find(self, area: str, **wanted: Any) -> Result | None:
        """The result of an area whose case has these settings, or None."""
        for result in self.results:
            case = result.facts["case"]
            if result.area == area and all(case[name] == v for name, v in wanted.items()):
                return result
        return None


def read(path: Path) -> Run:
    """Open a JSON of pytest-benchmark, or the .jsonl that ``--lines`` names.

    Raises:
        InputError: not readable, or not written by these benchmarks.
    """
    try:
        text = path.read_text()
        if path.suffix == ".jsonl":
            entries = [json.loads(line) for line in text.splitlines()]
            dates = [facts["machine"]["date"] for facts in entries]
        else:
            data = json.loads(text)
            entries = [entry["extra_info"] for entry in data["benchmarks"] if entry["extra_info"]]
            dates = [data["datetime"][:10]]
        results = tuple(Result(facts["area"], facts["id"], facts) for facts in entries)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a result of `pytest benchmarks` ({error!r})") from error
    if not results:
        raise InputError(f"{path}: holds no result")
    return Run(path, dates[0], results[0].facts["machine"], results)
