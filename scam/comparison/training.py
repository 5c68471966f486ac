# SPDX-License-Identifier: Apache-2.0
"""Each run is trained in a process of its own, so that its memory is its own.

``python -m scam.comparison.training`` is that process. It reads what to train as a line of JSON
from stdin, and saves and stops once stdin ends: its parent has exited then.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scam.commandline.command import run as run_command
from scam.commandline.device import open_device
from scam.comparison.runs import Run
from scam.errors import printable
from scam.profiling.memory import resident_bytes
from scam.storage.files import write_json
from scam.storage.reading import parse_json, read_json
from scam.synthesis.job import expect_room, heading, make_job, open_run
from scam.synthesis.task import SynthesisTask
from scam.training import engine
from scam.training.distributed import SINGLE_PROCESS
from scam.training.optimisation import Losses
from scam.training.run_folder import RunFolder

COST = "cost.json"
"""In a run folder: steps that were timed, their seconds, peak memory of the training process."""
_MODULE = "scam.comparison.training"
_TAIL = 4096  # bytes, more than the last line of metrics


class FailedRun(Exception):  # noqa: N818  # a result like others
    """A run ended before its last step; the message says why."""


class TimedTask(SynthesisTask):
    """Notes how long its steps take, loading and logging left out.

    seconds: of each step, but for the first, in which kernels are chosen and memory is found.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.seconds: list[float] = []
        self._warm = False

    def step(self, batch: tuple[Tensor, Tensor], step: int) -> Losses:
        """See :class:`~scam.training.task.Task`."""
        begun = time.perf_counter()
        losses = super().step(batch, step)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        if self._warm:
            self.seconds.append(time.perf_counter() - begun)
        self._warm = True
        return losses


def train(run: Run, device: str | None, log: Path, bar: Any) -> None:
    """Train ``run`` to its end, from its newest checkpoint if it has one.

    log: a file to which what is said is added. bar: is told of the steps done.

    Raises:
        FailedRun: it could not be trained, or its process was ended.
    """
    job = {"settings": run.asked, "out": str(run.path), "resume": run.begun, "device": device}
    command = [sys.executable, "-m", _MODULE]
    begun = bar.n
    with log.open("ab") as said:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=said, stderr=said)
    assert child.stdin is not None
    try:
        with contextlib.suppress(BrokenPipeError):  # it says why in its log
            child.stdin.write(json.dumps(job).encode() + b"\n")
            child.stdin.flush()
        while child.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=1)
            bar.update(max(0, begun + _last_step(run.path / "metrics.jsonl") - bar.n))
    finally:
        child.terminate()
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
        child.wait()
    if child.returncode:
        raise FailedRun(_reason(child.returncode, log))


def main(argv: Sequence[str] | None = None) -> None:
    """Train what stdin says."""
    job = parse_json(sys.stdin.readline(), "stdin")
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    device = open_device(job["device"])
    with ExitStack() as stack:
        folder, resumed = open_run(job["settings"], job["out"], job["resume"], stack)
        try:
            work = make_job(folder, resumed, device, SINGLE_PROCESS)
            expect_room(work)
            said = "\n".join([heading(work), *resumed.said])
            _train(TimedTask(work), folder, resume=job["resume"], heading=said)
        except BaseException:
            if not job["resume"] and not folder.has_steps():
                folder.discard()
            raise


def _train(task: TimedTask, folder: RunFolder, *, resume: bool, heading: str) -> None:
    try:
        engine.train(task, folder, resume=resume, heading=heading)
    finally:
        if folder.has_steps():
            _write_cost(folder.path / COST, task.seconds, task.device)


def _stop_with_parent() -> None:
    while os.read(0, 1):  # sys.stdin would hold its lock when the interpreter ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _write_cost(path: Path, seconds: Sequence[float], device: torch.device) -> None:
    """Add to what the process found that trained the run before."""
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
    else:
        peak = resident_bytes(peak=True)
    before = read_json(path) if path.exists() else {"steps": 0, "seconds": 0.0, "peak_bytes": 0}
    found = {
        "steps": before["steps"] + len(seconds),
        "seconds": before["seconds"] + sum(seconds),
        "peak_bytes": max(before["peak_bytes"], peak),
    }
    write_json(path, found)


def _last_step(metrics: Path) -> int:
    """The last step that was logged."""
    try:
        with metrics.open("rb") as file:
            file.seek(max(0, os.path.getsize(metrics) - _TAIL))
            steps = re.findall(rb'\{"step": (\d+)', file.read())
    except OSError:
        return 0
    return int(steps[-1]) if steps else 0


def _reason(status: int, log: Path) -> str:
    """The last thing that was said, or the signal that ended it."""
    if status < 0:
        name = signal.Signals(-status).name
        hint = ", perhaps out of memory" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"
    lines = log.read_text(errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), f"status {status}")
    return printable(last.removeprefix(f"{_MODULE}: error: "))


if __name__ == "__main__":
    run_command(main, _MODULE)
