# SPDX-License-Identifier: Apache-2.0
"""From contenders to a record: gate, rounds, and what pytest-benchmark keeps of them."""

import gc
import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.gate import WRONG
from benchmarks.machine import synchronise
from benchmarks.results_file import OURS
from benchmarks.timing import Call, Stopwatch


@dataclass
class Contender:
    """Something timed: its kind (``ours``, ``dense``, ``sparse``, ``copy``, ``part``), its calls.

    ``part`` is a share of ours, or ours under other circumstances; ``copy`` moves the bytes only.
    ``graph``: whether a CUDA graph can hold the calls.
    """

    kind: str
    calls: list[Call]
    error: dict[str, float] = field(default_factory=dict)
    graph: bool = True


class Contest:
    """Times contenders against ours and leaves the record in ``benchmark.extra_info``.

    ``lines``: a file that is given each record at once, as a line of JSON.
    """

    def __init__(
        self,
        benchmark: Any,
        device: torch.device,
        record: dict[str, Any],
        budget_s: float,
        lines: Path | None = None,
    ) -> None:
        self.benchmark = benchmark
        self.device = device
        self.record = record
        self.budget_s = budget_s
        self.lines = lines

    def run(
        self,
        area: str,
        case: Any,
        contenders: Mapping[str, Contender],
        *,
        refused: Mapping[str, str] | None = None,
        fewest: int = 3,
        **facts: Any,
    ) -> None:
        """Time ``contenders``, one named ``ours``; warn of those in ``refused`` that were wrong.

        pytest-benchmark's own table shows the wall clock of ours, one call and a wait for the
        device; ratios come from rounds in which every contender has its turn.
        """
        calls = {name: contender.calls for name, contender in contenders.items()}
        plain = [name for name, contender in contenders.items() if not contender.graph]
        watch = Stopwatch(
            calls, self.device, budget_s=self.budget_s, fewest=fewest, without_graph=plain
        )
        self.benchmark.pedantic(
            self._wait_for(contenders[OURS].calls[0]), setup=watch.round, rounds=watch.rounds
        )
        times = watch.times(OURS)
        self._keep(
            area,
            case,
            {
                name: {"kind": c.kind, "error": c.error, **times[name].as_dict()}
                for name, c in contenders.items()
            },
            refused,
            facts,
        )
        gc.collect()
        for name, why in (refused or {}).items():
            if why.startswith(WRONG):
                warnings.warn(f"{case.id}: not timed: {name}, {why}", stacklevel=2)

    def keep(
        self,
        area: str,
        case: Any,
        measured: Mapping[str, Any],
        *,
        refused: Mapping[str, str] | None = None,
        **facts: Any,
    ) -> None:
        """Record something that is not a time, e.g. memory; pytest-benchmark sees one no-op."""
        self.benchmark.pedantic(lambda: None, rounds=1)
        self._keep(area, case, measured, refused, facts)

    def _keep(
        self,
        area: str,
        case: Any,
        contenders: Mapping[str, Any],
        refused: Mapping[str, str] | None,
        facts: Mapping[str, Any],
    ) -> None:
        found = {
            "area": area,
            "id": case.id,
            "case": asdict(case),
            "contenders": dict(contenders),
            "refused": dict(refused or {}),
            "machine": self.record,
            **facts,
        }
        self.benchmark.extra_info |= found
        if self.lines is not None:
            with self.lines.open("a") as file:
                file.write(json.dumps(found) + "\n")

    def _wait_for(self, call: Call) -> Call:
        def run() -> None:
            call()
            synchronise(self.device)

        return run
