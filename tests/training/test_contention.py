# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable

import pytest
import torch

from scam.training import contention

CPU = torch.device("cpu")
Make = Callable[..., contention.Contention]


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Make:
    """A watch of so many threads, interrupted so often a second."""

    def make(threads: int, per_s: float, device: torch.device = CPU) -> contention.Contention:
        now = iter(range(0, 1000, 4))  # seconds
        seen = {"now": 0}

        def clock() -> float:
            seen["now"] = next(now)
            return seen["now"]

        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        monkeypatch.setattr(contention.time, "monotonic", clock)
        monkeypatch.setattr(contention, "_interruptions", lambda: int(per_s * seen["now"]))
        return contention.Contention(device)

    return make


def test_threads_that_others_interrupt_are_advised_once(watched: Make) -> None:
    one = watched(2, per_s=100)
    notes = [one.note() for _ in range(8)]
    assert [bool(note) for note in notes] == [False, False, True, *[False] * 5]
    assert "OMP_NUM_THREADS=1" in str(notes[2])
    assert "2 threads" in str(notes[2])


@pytest.mark.parametrize(
    ("threads", "per_s", "device"),
    [(2, 28, CPU), (1, 100, CPU), (2, 100, torch.device("meta"))],
    ids=["idle machine", "one thread", "GPU"],
)
def test_others_are_not(watched: Make, threads: int, per_s: float, device: torch.device) -> None:
    one = watched(threads, per_s, device)
    assert [one.note() for _ in range(8)] == [None] * 8


def test_interruptions_only_grow() -> None:
    assert 0 <= contention._interruptions() <= contention._interruptions()
