# SPDX-License-Identifier: Apache-2.0
"""What is being done for a request: how far it is, and whether anybody still waits for it."""

import threading
from collections.abc import Callable

Progress = Callable[[str, float], None]
"""Is told what is being done and which share of it is done, 0 .. 1."""


class AbandonedError(Exception):
    """Nobody waits any more for what is being done."""


class Work:
    """The work for one request: a :data:`Progress` that the page can ask about.

    Told by the thread that works; read and abandoned by the one that answers.
    """

    def __init__(self) -> None:
        self._abandoned = threading.Event()
        self._told: tuple[str, float] | None = None

    def __call__(self, doing: str, share: float) -> None:
        """Note how far it is. AbandonedError once the answer is no longer wanted."""
        self._told = doing, share
        self.expect_wanted()

    def expect_wanted(self) -> None:
        """AbandonedError once the answer is no longer wanted."""
        if self._abandoned.is_set():
            raise AbandonedError

    def abandon(self) -> None:
        """Nobody waits any more."""
        self._abandoned.set()

    def about(self) -> dict[str, str | float]:
        """As JSON: ``doing`` and ``share``, or nothing for what takes one step."""
        if self._told is None:
            return {}
        doing, share = self._told
        return {"doing": doing, "share": share}


def silent(doing: str, share: float) -> None:
    """The :data:`Progress` that reports nothing."""
