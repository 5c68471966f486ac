# SPDX-License-Identifier: Apache-2.0
"""What is found of a finished run: measured once for each checkpoint and way to measure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from scam.checkpoints.weights import MANIFEST
from scam.comparison.options import MeasuringOptions
from scam.comparison.runs import Run
from scam.comparison.training import COST
from scam.evaluation.measure import measure
from scam.evaluation.setup import open_setup
from scam.models.registry import build
from scam.storage.files import write_json
from scam.storage.reading import file_digest, read_json
from scam.version import __version__

MEASURED = "measured.json"
"""In a run folder: the report of an evaluation, and what it is of."""


@dataclass
class Outcome:
    """What became of one run: a report, or why it failed; neither: it is still to come."""

    run: Run
    report: Mapping[str, Any] = field(default_factory=dict)
    failed: str = ""


def measured(
    run: Run, step_folder: Path, options: MeasuringOptions, device: str | None
) -> Mapping[str, Any]:
    """The report, as ``scam.evaluate`` writes it, of the weights in ``step_folder``.

    One that is there already is taken if it is of these weights and options.
    """
    of = {
        "weights": file_digest(step_folder / MANIFEST),
        "options": options.as_dict(),
        "device": device,
        "scam": __version__,
    }
    path = run.path / MEASURED
    stored = read_json(path) if path.exists() else {}
    if stored.get("of") == of:
        return stored
    setup = open_setup(options.of(step_folder, device=device, workers=run.options.workers))
    rows = [row.as_dict() for row in measure(setup)]
    report = {"of": of, **setup.facts, "rows": rows}
    write_json(path, report)
    return report


def training_cost(run: Run) -> tuple[float | None, float | None]:
    """Seconds a step, and the most bytes that its training process held; None: not known."""
    path = run.path / COST
    if not path.exists():
        return None, None
    cost = read_json(path)
    return (cost["seconds"] / cost["steps"] if cost["steps"] else None), cost["peak_bytes"]


def parameters(run: Run) -> int:
    """Of the model, without discriminator."""
    with torch.device("meta"):  # allocates nothing
        return sum(weight.numel() for weight in build(run.model).parameters())
