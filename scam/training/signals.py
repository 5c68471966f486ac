# SPDX-License-Identifier: Apache-2.0
"""SIGTERM and Ctrl-C, which a run answers at the end of a step."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """In the block SIGTERM and SIGINT (Ctrl-C) no longer end the process, but are appended to what
    is given; a second SIGINT does as it did before. Only in the main thread, which alone may
    handle signals.
    """
    met: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield met
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def meet(number: int, _: object) -> None:
        met.append(number)
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    try:
        for number in before:
            signal.signal(number, meet)
        yield met
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
