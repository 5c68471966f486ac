# SPDX-License-Identifier: Apache-2.0
"""Reasons to end a run early: gradients that are not finite, and SIGTERM."""

import signal
import threading
from collections.abc import Mapping
from types import FrameType

from scam.errors import InputError
from scam.training.run_folder import RunFolder

LIMIT = 5
"""Steps in a row that may be left out before the run ends."""
SCALED_LIMIT = 20
"""The same under float16, whose gradient scaler halves 2**16 to below 1 in 17 of them."""


class SkipWatch:
    """Counts the steps of the run in ``folder`` that were left out: see :meth:`Trainer.step`."""

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

    def verdict(self, step: int) -> InputError:
        """What to raise once they were: the weights will not recover."""
        return self.diverged(step, f"the gradients of {self.limit} steps in a row were not finite")

    def diverged(self, step: int, why: str) -> InputError:
        """What to raise of a run that has diverged, and which checkpoint to resume from."""
        newest = self.folder.newest()
        remedy = "there is no checkpoint yet: start again with a lower {:lr}"
        if self.folder.has_steps():  # else the folder goes with a run that fails
            remedy = (
                "there is no checkpoint yet: start again with {resume} {out} and a lower {:lr}"
            )
        if newest is not None:
            remedy = (
                f"resume from {newest.name} with {{resume}} {{out}} and a lower {{:lr}}, "
                "{:lr_discriminator} or {:max_grad_norm}"
            )
        message = f"step {step}: the run has diverged: {why}; {remedy}"
        return InputError(message, resume=True, out=self.folder.path)

    def state_dict(self) -> dict[str, int]:
        """Everything :meth:`load_state_dict` needs."""
        return {"total": self.total, "in_a_row": self._in_a_row}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue from a :meth:`state_dict`."""
        self.total, self._in_a_row = state["total"], state["in_a_row"]


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
