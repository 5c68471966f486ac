# SPDX-License-Identifier: Apache-2.0
import os
import signal

import pytest

from scam.data.parallel import default_workers, spread, usable_cpus
from scam.errors import InputError


def square(number: int) -> int:
    if number == 13:
        raise ZeroDivisionError("thirteen")
    return number * number


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("count", [0, 1, 12])
def test_results_come_in_order(workers: int, count: int) -> None:
    found = list(spread(square, range(count), workers=workers, what="squares"))
    assert found == [number * number for number in range(count)]


def test_work_is_done_in_other_processes() -> None:
    assert os.getpid() not in set(spread(getpid, range(6), workers=2, what="pids"))
    assert set(spread(getpid, range(6), workers=1, what="pids")) == {os.getpid()}


def getpid(_: int) -> int:
    return os.getpid()


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_reach_the_caller(workers: int) -> None:
    with pytest.raises(ZeroDivisionError, match="thirteen"):
        list(spread(square, range(40), workers=workers, what="squares"))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_caller_may_stop_early(workers: int) -> None:
    results = spread(square, range(10**6), workers=workers, what="squares")
    assert next(results) == 0
    results.close()


def test_a_killed_worker_is_one_line() -> None:
    with pytest.raises(InputError, match=r"^die: a worker process was killed.*workers=2, try"):
        list(spread(die, range(3), workers=2, what="die"))


def test_default_workers() -> None:
    assert 1 <= default_workers() <= 8


def test_no_more_workers_than_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def pool(workers: int, **_: object) -> None:
        asked.append(workers)
        raise InputError("enough")

    monkeypatch.setattr("scam.data.parallel.ProcessPoolExecutor", pool)
    with pytest.raises(InputError, match="enough"):
        list(spread(abs, range(4), workers=10**9, what="test"))
    assert asked == [max(2, usable_cpus())]
