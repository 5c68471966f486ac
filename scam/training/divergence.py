# SPDX-License-Identifier: Apache-2.0
"""Whether a run has diverged, and what to say then."""

import math
from collections.abc import Mapping
from typing import Any

from scam.checkpoints.step_folders import newest_step_folder
from scam.errors import InputError
from scam.training.run_folder import RunFolder
from scam.training.state import integer, number

LIMIT = 5
"""Steps in a row that may be left out before the run ends."""
SCALED_LIMIT = 20
"""The same under float16, whose gradient scaler halves 2**16 to below 1 in 17 of them."""
_KEPT = 0.99  # of a loss's running mean, per step
_MOST_RISE = 1.5
_LEAST_RISE = 0.05


class Watch:
    """Says when the run in ``folder`` has diverged: ``limit`` steps in a row were left out, or the
    watched loss, averaged over some hundred steps, has risen by half, and 0.05, from its lowest.
    """

    def __init__(self, folder: RunFolder, limit: int = LIMIT) -> None:
        self.folder = folder
        self.limit = limit
        self.total = 0
        self._in_a_row = 0
        self._loss: float | None = None
        self._lowest = math.inf

    def add(self, skipped: list[float], loss: float | None = None) -> str | None:
        """Why the run has diverged, if it has, after some more steps.

        skipped: a flag for each of them, oldest first. loss: the watched one's mean over them.
        """
        why = None
        for flag in skipped:
            self._in_a_row = self._in_a_row + 1 if flag else 0
            self.total += bool(flag)
            if self._in_a_row >= self.limit:
                why = f"the gradients of {self.limit} steps in a row were not finite"
        if why is None and loss is not None and math.isfinite(loss):
            old = loss if self._loss is None else self._loss
            self._loss = loss + _KEPT ** len(skipped) * (old - loss)
            self._lowest = min(self._lowest, self._loss)
            if self._loss > max(_MOST_RISE * self._lowest, self._lowest + _LEAST_RISE):
                why = f"its loss has risen from {self._lowest:.3g} to {self._loss:.3g}"
        return why

    def diverged(self, step: int, why: str) -> InputError:
        """What to raise of a run that has diverged."""
        if (newest := newest_step_folder(self.folder.checkpoints)) is not None:
            lower = "{:lr}, {:lr_discriminator} or {:max_grad_norm}"
            remedy = f"resume from {newest.name} with {{resume}} {{out}} and a lower {lower}"
        else:  # the folder goes with a run that fails before its first logged step
            place = "{resume} {out} and " if self.folder.has_steps() else ""
            remedy = f"there is no checkpoint yet: start again with {place}a lower {{:lr}}"
        message = f"step {step}: the run has diverged: {why}; {remedy}"
        return InputError(message, resume=True, out=self.folder.path)

    def state_dict(self) -> dict[str, float]:
        """Everything :meth:`load_state_dict` needs."""
        state: dict[str, float] = {"total": self.total, "in_a_row": self._in_a_row}
        return (
            state if self._loss is None else state | {"loss": self._loss, "lowest": self._lowest}
        )

    def load_state_dict(self, state: Mapping[str, Any], step: int | None = None) -> None:
        """Continue from a :meth:`state_dict`; earlier versions followed no loss. InputError, and
        nothing is changed, for one that is none, or not of a run of ``step`` steps.
        """
        loss, lowest = None, math.inf
        if "loss" in state:
            loss, lowest = number(state, "loss"), number(state, "lowest")
        total, in_a_row = (integer(state, name, most=step) for name in ("total", "in_a_row"))
        self.total, self._in_a_row = total, in_a_row
        self._loss, self._lowest = loss, lowest
