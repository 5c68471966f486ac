# SPDX-License-Identifier: Apache-2.0
"""Time several contenders in rounds, so that whatever else the machine does hits them alike.

On a CPU: wall clock around enough calls to fill a millisecond. On a GPU: CUDA events around
replayed CUDA graphs (plain calls where a contender cannot be captured) over copies of the inputs
that together exceed the L2 cache twice.
"""

import statistics
import time
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import torch

Call = Callable[[], object]
SAMPLE_S = 1e-3
"""Least duration of one sample: shorter calls are repeated inside it."""
MOST_ROUNDS = 40


@dataclass(frozen=True)
class Times:
    """One contender's samples, in seconds a call."""

    median: float
    minimum: float
    p20: float
    p80: float
    rounds: int
    ratio: float
    """Median over the rounds of (this contender's time / the base's time in the same round)."""
    method: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Stopwatch:
    """Samples of every contender, one per round.

    Args:
        calls: name -> the same work over one or more copies of the inputs, used in turn.
        device: that the work runs on.
        budget_s: about how long all rounds together may take.
        fewest: rounds made in any case.
        without_graph: names whose calls no CUDA graph can hold.
    """

    def __init__(
        self,
        calls: Mapping[str, list[Call]],
        device: torch.device,
        *,
        budget_s: float = 6.0,
        fewest: int = 3,
        without_graph: Collection[str] = (),
    ) -> None:
        self.device = device
        self.samples: dict[str, list[float]] = {name: [] for name in calls}
        self._calls: dict[str, list[Call]] = {}
        self._method: dict[str, str] = {}
        for name, copies in calls.items():
            graph = device.type == "cuda" and name not in without_graph
            self._calls[name], self._method[name] = (
                _captured_all(copies)
                if graph
                else (copies, "CUDA events" if device.type == "cuda" else "perf_counter")
            )
        estimates = {name: self._estimate(name) for name in calls}
        self._repeats = {name: max(1, round(SAMPLE_S / t)) for name, t in estimates.items()}
        cost = sum(max(t, SAMPLE_S) for t in estimates.values())
        self.rounds = max(fewest, min(MOST_ROUNDS, int(budget_s / cost)))

    def round(self) -> None:
        """Take one sample of each contender."""
        for name in self._calls:
            self.samples[name].append(self._sample(name, self._repeats[name]))

    def times(self, base: str) -> dict[str, Times]:
        """Every contender's samples summed up, ratios against ``base``."""
        return {name: self._summary(name, base) for name in self._calls}

    def _summary(self, name: str, base: str) -> Times:
        samples = self.samples[name]
        ratios = [t / b for t, b in zip(samples, self.samples[base], strict=True)]
        ordered = sorted(samples)
        return Times(
            median=statistics.median(samples),
            minimum=ordered[0],
            p20=ordered[int(0.2 * (len(ordered) - 1))],
            p80=ordered[round(0.8 * (len(ordered) - 1))],
            rounds=len(samples),
            ratio=statistics.median(ratios),
            method=self._method[name],
        )

    def _estimate(self, name: str) -> float:
        """Seconds a call, after one that warms up unless calls are long."""
        first = self._sample(name, 1)
        return first if first > 1.0 else max(self._sample(name, 1), 1e-7)

    def _sample(self, name: str, repeats: int) -> float:
        calls = self._calls[name]
        if self.device.type == "cuda":
            return _cuda_sample(calls, repeats)
        start = time.perf_counter()
        for _ in range(repeats):
            for call in calls:
                call()
        return (time.perf_counter() - start) / (repeats * len(calls))


def copies_beyond_cache(device: torch.device, size: int, most: int = 8) -> int:
    """How many copies of inputs of ``size`` bytes exceed twice the GPU's L2 cache; 1 on a CPU."""
    if device.type != "cuda":
        return 1
    cache = torch.cuda.get_device_properties(device).L2_cache_size
    return min(most, 1 + 2 * cache // max(size, 1))


def copying(x: torch.Tensor) -> Call:
    """A copy of ``x`` into memory that is there already: its bytes are moved, nothing else."""
    target = torch.empty_like(x)
    return lambda: target.copy_(x)


def _cuda_sample(calls: list[Call], repeats: int) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(repeats):
        for call in calls:
            call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3 / (repeats * len(calls))


def _captured_all(calls: list[Call]) -> tuple[list[Call], str]:
    """What to call in place of ``calls``, and how it is timed."""
    for call in calls:  # compiles, allocates, fills caches: outside the capture
        call()
    torch.cuda.synchronize()
    try:
        return [_captured(call) for call in calls], "CUDA graph"
    except RuntimeError as error:
        torch.cuda.synchronize()
        warnings.warn(f"timed without a CUDA graph: {error}", RuntimeWarning, stacklevel=2)
        return calls, "CUDA events"


@cache
def _capture_stream() -> torch.cuda.Stream:
    return torch.cuda.Stream()


def before_capture(device: torch.device, call: Callable[[], Any]) -> Any:
    """The result of ``call``, run on the stream that graphs are captured on.

    Autograd runs a backward pass on the stream of its forward pass: where the former is to be
    captured alone, the latter has to run here.
    """
    if device.type != "cuda":
        return call()
    stream, current = _capture_stream(), torch.cuda.current_stream(device)
    stream.wait_stream(current)
    with torch.cuda.stream(stream):
        result = call()
    current.wait_stream(stream)
    return result


def _captured(call: Call) -> Call:
    before_capture(torch.device("cuda"), call)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=_capture_stream()):
        kept = call()
    # The graph writes into what `kept` holds: it must live as long as the graph.
    return lambda kept=kept: graph.replay()  # type: ignore[misc]
