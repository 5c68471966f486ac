# SPDX-License-Identifier: Apache-2.0
"""How much memory a call needs at its peak, above what was there before it."""

import contextlib
import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

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


def peak_allocated(call: Callable[[], object], device: torch.device) -> int:
    """Run ``call``; the most bytes that PyTorch's allocator gave it at one time.

    What earlier calls left with the allocator makes no difference.
    """
    if device.type == "cuda":
        return peak_bytes(call, device)
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # or it tells of GPUs that are not there
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        call()
    assert record.profiler is not None
    events = record.profiler.kineto_results.events()
    changes = [event for event in events if event.name() == "[memory]"]
    changes.sort(key=lambda event: event.start_ns())
    return max(itertools.accumulate(event.nbytes() for event in changes), default=0)


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
