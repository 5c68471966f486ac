# SPDX-License-Identifier: Apache-2.0
"""A bar on a terminal, a line at the end elsewhere."""

import sys
from typing import Any

from tqdm import tqdm


def progress(what: str, total: int, unit: str = "picture") -> Any:
    """A tqdm bar that leaves logs in one line per task."""
    tty = sys.stderr.isatty()
    return tqdm(
        total=total,
        desc=what,
        unit=f" {unit}s",
        file=sys.stderr,
        dynamic_ncols=tty,
        mininterval=0.1 if tty else 60,
    )
