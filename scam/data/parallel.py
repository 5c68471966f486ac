# SPDX-License-Identifier: Apache-2.0
"""One function over many files in worker processes, with a progress bar."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, TypeVar

from scam.commandline.progress import progress
from scam.errors import InputError

T = TypeVar("T")
R = TypeVar("R")

# Work handed out per worker: enough that none waits, and memory does not grow with the data set.
_AHEAD = 8
_call: Callable[[Any], Any] | None = None


def usable_cpus() -> int:
    """The processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_workers() -> int:
    """One per usable processor, at most 8: disks gain nothing from more."""
    return min(8, usable_cpus())


def spread(
    function: Callable[[T], R], items: Sequence[T], *, workers: int, what: str
) -> Iterator[R]:
    """Yield ``function(item)`` in the order of ``items``; a bar called ``what`` on a terminal.

    function and items must be picklable; 1 worker is this process; more than processors
    would only wait. What the function raises reaches the caller. InputError if a worker dies.
    """
    workers = min(workers, max(2, usable_cpus()))
    if workers == 1:
        yield from _counted(map(function, items), len(items), what)
        return
    pool = ProcessPoolExecutor(workers, initializer=_start, initargs=(function,))
    try:
        yield from _counted(_ahead(pool, items, _AHEAD * workers), len(items), what)
    except BrokenProcessPool:
        raise InputError(
            f"{what}: a worker process was killed, perhaps out of memory; had "
            "{workers}, try fewer",
            workers=workers,
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _ahead(pool: ProcessPoolExecutor, items: Sequence[T], ahead: int) -> Iterator[Any]:
    waiting: deque[Future[Any]] = deque()
    for item in items:
        waiting.append(pool.submit(_work, item))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _counted(results: Iterator[R], total: int, what: str) -> Iterator[R]:
    with progress(what, total) as bar:
        for result in results:
            bar.update()
            yield result


def _start(function: Callable[[Any], Any]) -> None:
    global _call
    _call = function
    # Ctrl-C reaches every process of a terminal; the parent alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    end_with_owner()


def end_with_owner() -> None:
    """Let this worker end when the process that asked for it does.

    One killed by SIGKILL cannot tell its workers, which would wait for ever. It need not be
    the parent, which may be a fork server that lives on.
    """
    owner = multiprocessing.parent_process()
    if owner is not None:
        threading.Thread(target=_await_end, args=(owner.sentinel,), daemon=True).start()


def _await_end(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


def _work(item: Any) -> Any:
    assert _call is not None
    return _call(item)
