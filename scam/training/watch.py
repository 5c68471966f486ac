# SPDX-License-Identifier: Apache-2.0
"""Two ways a run may have to end early: gradients that are no numbers, and being told to stop."""

import signal
import threading
from types import FrameType

from scam.errors import InputError

LIMIT = 5
"""Steps in a row that may be left out before the run ends."""


class SkipWatch:
    """Counts the steps that were left out because a gradient was not finite."""

    def __init__(self) -> None:
        self.total = 0
        self._in_a_row = 0

    def add(self, skipped: list[float], step: int) -> None:
        """Take note of the flags of the steps up to ``step``, oldest first.

        Raises:
            InputError: ``LIMIT`` in a row were left out: the weights will not recover.
        """
        for flag in skipped:
            self._in_a_row = self._in_a_row + 1 if flag else 0
            self.total += bool(flag)
            if self._in_a_row >= LIMIT:
                raise InputError(
                    f"step {step}: the gradients of {LIMIT} steps in a row were not finite; go on "
                    "from the last checkpoint with --resume, or start again with a lower --lr"
                )


class StopSignal:
    """Inside the ``with``, SIGTERM no longer kills: :attr:`asked` becomes true.

    Only the main thread may handle signals; elsewhere nothing changes.
    """

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> "StopSignal":
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._ask)
        return self

    def __exit__(self, *exception: object) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._before)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
