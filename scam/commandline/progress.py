# SPDX-License-Identifier: Apache-2.0
"""Progress bars."""

import sys
from typing import Any

from tqdm import tqdm


def progress(what: str, total: int, *, unit: str | None = "images", logged: bool = False) -> Any:
    """A bar on a terminal, a context manager with ``update``; elsewhere nothing is said, or where
    it is ``logged`` a line a minute and one at the end. Without ``unit``: no counts, no rate.
    """
    terminal = sys.stderr.isatty()
    return tqdm(
        total=total,
        desc=what,
        unit=f" {unit}",
        bar_format=None if unit else "{l_bar}{bar}| {elapsed}<{remaining}",
        disable=not (terminal or logged),
        leave=logged,
        dynamic_ncols=terminal,
        mininterval=0.1 if terminal else 60,
    )
