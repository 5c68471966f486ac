# SPDX-License-Identifier: Apache-2.0
"""What a run tells: metrics as JSON lines, to trackers as well, and a progress bar."""

import json
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from scam.errors import InputError
from scam.storage.files import write_aside
from scam.storage.reading import reading
from scam.training.trackers import Tracker

Value = float | int | str | None


class MetricsLog(AbstractContextManager["MetricsLog"]):
    """Append one JSON object per line to ``path``; to be closed, or used in a ``with``.

    Opening drops the lines of steps after ``step0``, at 0 all, so that a run resumed there ends
    with the file of a run that was never interrupted. A last line cut short by a kill is dropped
    too. trackers: get the numbers as well, and are closed with the log.

    InputError if the file is damaged before its last line, or cannot be written.
    """

    def __init__(
        self, path: str | os.PathLike[str], step0: int = 0, *, trackers: Sequence[Tracker] = ()
    ) -> None:
        self.path = Path(path)
        _rewind(self.path, step0)
        with self._writing():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab")
        self._trackers = trackers

    def write(self, step: int, values: Mapping[str, Value]) -> None:
        """Append ``{"step": step, **values}``; numbers that are not finite become null."""
        finite = {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in values.items()
        }
        line = json.dumps({"step": step, **finite}, allow_nan=False)
        with self._writing():
            self._file.write(line.encode() + b"\n")
            self._file.flush()
        numbers = {k: float(v) for k, v in finite.items() if isinstance(v, float | int)}
        for tracker in self._trackers:
            tracker.add(step, numbers)

    def close(self) -> None:
        """Close the file and the trackers."""
        for tracker in self._trackers:
            tracker.close()
        with self._writing():
            self._file.close()

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(f"cannot write {self.path}: {error.strerror or error}") from error


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Read a file of :class:`MetricsLog`, without a last line that was cut short; InputError if
    it cannot be read, or an earlier line is damaged.
    """
    return [entry for entry, _ in _entries(Path(path))]


class Progress(AbstractContextManager["Progress"]):
    """A progress bar with losses and the time left, from ``step0`` to ``total``, on stderr unless
    ``stream`` is given; without a terminal, a line every ``interval`` seconds.
    """

    def __init__(
        self, total: int, step0: int = 0, *, interval: float = 10.0, stream: TextIO | None = None
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._total, self._step0, self._interval = total, step0, interval
        self._start = self._next_line = time.monotonic()
        self._bar: tqdm[Any] = tqdm(
            total=total, initial=step0, file=self._stream, dynamic_ncols=True, unit="step",
            disable=not self._stream.isatty(),
        )  # fmt: skip

    def update(self, step: int, losses: Mapping[str, float]) -> None:
        """Say that ``step`` is done and what its losses were."""
        words = " ".join(f"{name}={value:.4g}" for name, value in losses.items())
        if not self._bar.disable:
            self._bar.set_postfix_str(words, refresh=False)
            self._bar.update(step - self._bar.n)
            return
        now = time.monotonic()
        if now < self._next_line and step < self._total:
            return
        self._next_line = now + self._interval
        seconds = (now - self._start) / max(step - self._step0, 1)
        left = tqdm.format_interval(seconds * (self._total - step))
        self.say(f"step {step}/{self._total}  {words}  {seconds:.3g} s/step  {left} left")

    def say(self, text: str) -> None:
        """Print a line without breaking the bar."""
        self._bar.write(text, file=self._stream)
        self._stream.flush()

    def __exit__(self, *exception: object) -> None:
        self._bar.close()


def _rewind(path: Path, step0: int) -> None:
    if not path.exists():
        return
    last = step0 or -1  # of step 0 are the floors, which a run that begins writes
    kept = b"".join(line + b"\n" for entry, line in _entries(path) if entry["step"] <= last)
    if kept != path.read_bytes():
        with write_aside(path) as file:
            file.write(kept)


def _entries(path: Path) -> list[tuple[dict[str, Any], bytes]]:
    with reading(path):
        lines = path.read_bytes().split(b"\n")
    entries = []
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if isinstance(entry, dict) and type(entry.get("step")) is int:
            entries.append((entry, line))
        elif number < len(lines):  # the last one is empty, unless the writer was killed
            raise InputError(f"{path} is damaged: line {number} is {line[:40]!r}")
    return entries
