# SPDX-License-Identifier: Apache-2.0
"""How much memory a call needs at its peak, above what was there before it."""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def resident_bytes(peak: bool = False) -> int:
    """Memory the process holds now, or held at most since :func:`peak_bytes` last began."""
    if not _STATUS.is_file():
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    wanted = "VmHWM:" if peak else "VmRSS:"
    line = next(row for row in _STATUS.read_text().splitlines() if row.startswith(wanted))
    return int(line.split()[1]) * 1024


def peak_bytes(call: Callable[[], object], device: torch.device) -> int:
    """Run ``call``; its peak above the start: the allocator's on a GPU, resident memory on a CPU.

    On a CPU this counts memory that earlier calls left with the allocator as already there: ask
    in a process that has done nothing else.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5")  # Linux: the peak restarts at what is resident now
    before = resident_bytes()
    call()
    return max(0, resident_bytes(peak=True) - before)
