# SPDX-License-Identifier: Apache-2.0
"""Progress bars."""

import sys
from typing import Any, TextIO

from tqdm import tqdm

_COUNTS = "{n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"


class _Lines:
    """A stream for bars that are no terminal's: every state is a line of its own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        if line := text.strip():
            self._stream.write(f"{line}\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def progress(what: str, total: int, *, unit: str | None = "images", logged: bool = False) -> Any:
    """A bar on a terminal, a context manager with ``update``; elsewhere nothing is said, or where
    it is ``logged`` a line a minute and one at the end. Without ``unit``: no counts, no rate.
    """
    terminal = sys.stderr.isatty()
    bar = "{l_bar}{bar}| " if terminal else "{desc}: {percentage:3.0f}% "
    return tqdm(
        total=total,
        desc=what,
        unit=f" {unit}",
        bar_format=bar + (_COUNTS if unit else "{elapsed}<{remaining}"),
        disable=not (terminal or logged),
        leave=logged,
        dynamic_ncols=terminal,
        mininterval=0.1 if terminal else 60,
        file=None if terminal else _Lines(sys.stderr),
    )
