# SPDX-License-Identifier: Apache-2.0
"""Whether other programs use the processors that this one's threads compute on."""

import sys
import time

import torch

if sys.platform != "win32":
    import resource

_SECONDS = 10.0
_MANY_PER_S = 60.0
"""How often the system takes a processor from this process: a training with two threads was seen
to be interrupted 28 times a second alone and 100 times beside two others, on two processors."""
_ADVICE = (
    "note: other programs use this machine's processors, and {} threads wait for each other: stop "
    "the run and resume it with OMP_NUM_THREADS=1 in front of the command, if steps are slow"
)


class Contention:
    """Watches the first seconds of a training on the CPU."""

    def __init__(self, device: torch.device) -> None:
        threads = torch.get_num_threads() if device.type == "cpu" else 1
        self._watching = threads > 1 and sys.platform != "win32"
        self._begun = time.monotonic(), _interruptions() if self._watching else 0

    def note(self) -> str | None:
        """Advice, once, if other programs interrupt this one often; asked for after each step."""
        if not self._watching:
            return None
        seconds = time.monotonic() - self._begun[0]
        if seconds < _SECONDS:
            return None
        self._watching = False
        rate = (_interruptions() - self._begun[1]) / seconds
        return _ADVICE.format(torch.get_num_threads()) if rate > _MANY_PER_S else None


def _interruptions() -> int:
    """Of all threads of this process since it began."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
