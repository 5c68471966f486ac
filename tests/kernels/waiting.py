# SPDX-License-Identifier: Apache-2.0
"""An error wherever the CPU waits for the GPU."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def no_waiting() -> Iterator[None]:
    """Copies to the GPU wait too: make inputs before."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
