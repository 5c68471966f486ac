# SPDX-License-Identifier: Apache-2.0
"""Reasons to end a run early: gradients that are not finite, SIGTERM and Ctrl-C."""

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from scam.checkpoints.step_folders import newest_step_folder
from scam.errors import InputError
from scam.training.run_folder import RunFolder

LIMIT = 5
"""Steps in a row that may be left out before the run ends."""
SCALED_LIMIT = 20
"""The same under float16, whose gradient scaler halves 2**16 to below 1 in 17 of them."""


class SkipWatch:
    """Counts the steps of the run in ``folder`` that were left out."""

    def __init__(self, folder: RunFolder, limit: int = LIMIT) -> None:
        self.folder = folder
        self.limit = limit
        self.total = 0
        self._in_a_row = 0

    def add(self, skipped: list[float]) -> bool:
        """Count the flags of some steps, oldest first; whether too many in a row were left out."""
        too_many = False
        for flag in skipped:
            self._in_a_row = self._in_a_row + 1 if flag else 0
            self.total += bool(flag)
            too_many |= self._in_a_row >= self.limit
        return too_many

    def diverged(self, step: int, why: str | None = None) -> InputError:
        """What to raise of a run that has diverged, by default of too many skipped steps."""
        why = why or f"the gradients of {self.limit} steps in a row were not finite"
        if (newest := newest_step_folder(self.folder.checkpoints)) is not None:
            lower = "{:lr}, {:lr_discriminator} or {:max_grad_norm}"
            remedy = f"resume from {newest.name} with {{resume}} {{out}} and a lower {lower}"
        else:  # the folder goes with a run that fails before its first logged step
            place = "{resume} {out} and " if self.folder.has_steps() else ""
            remedy = f"there is no checkpoint yet: start again with {place}a lower {{:lr}}"
        message = f"step {step}: the run has diverged: {why}; {remedy}"
        return InputError(message, resume=True, out=self.folder.path)

    def state_dict(self) -> dict[str, int]:
        """Everything :meth:`load_state_dict` needs."""
        return {"total": self.total, "in_a_row": self._in_a_row}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue from a :meth:`state_dict`."""
        self.total, self._in_a_row = state["total"], state["in_a_row"]


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """In the block SIGTERM and SIGINT (Ctrl-C) no longer end the process, but are appended to what
    is given; a second SIGINT does as it did before. Only in the main thread, which alone may
    handle signals.
    """
    met: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield met
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def meet(number: int, _: object) -> None:
        met.append(number)
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    try:
        for number in before:
            signal.signal(number, meet)
        yield met
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
