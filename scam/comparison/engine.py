# SPDX-License-Identifier: Apache-2.0
"""The loop of a comparison: train, measure and write the table, one run after the other."""

from collections.abc import Sequence
from pathlib import Path

import torch

from scam.commandline.progress import progress
from scam.comparison.measuring import Outcome, measured
from scam.comparison.options import MeasuringOptions
from scam.comparison.runs import Run
from scam.comparison.table import write_tables
from scam.comparison.training import FailedRun, train
from scam.errors import InputError, one_line


def compare(
    out: Path, runs: Sequence[Run], options: MeasuringOptions, device: str | None
) -> tuple[list[Outcome], str]:
    """Train and measure what is not yet; returns what became of every run, and the table.

    A run that fails is noted, and the others are trained. Tables are written after each run.
    """
    outcomes = [Outcome(run) for run in runs]
    steps = sum(run.options.steps for run in runs)
    done = 0
    text = ""
    with progress("comparing", steps, unit="steps", logged=True) as bar:
        for outcome in sorted(outcomes, key=lambda outcome: outcome.run.finished is None):
            run = outcome.run
            bar.set_postfix_str(run.name)
            try:
                if run.finished is None:
                    train(run, device, out / f"{run.name}.log", bar)
                assert run.finished is not None
                outcome.report = measured(run, run.finished, options, device)
            except (FailedRun, InputError, RuntimeError) as reason:  # out of memory, too
                outcome.failed = one_line(reason)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()  # the next run is trained by another process
            done += run.options.steps
            bar.update(max(0, done - bar.n))
            text = write_tables(out, outcomes, options.metrics)
    return outcomes, text
