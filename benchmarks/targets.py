# SPDX-License-Identifier: Apache-2.0
"""What we mean to reach, row by row, and whether a run reached it.

Every number is a ratio of times (or bytes) taken side by side in one run.
"""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.results_file import OURS, RIVALS, Result, Run

Measure = Callable[[Run], tuple[float, str] | None]
"""A run -> the number and a note on it, or None where the run does not hold it."""


@dataclass(frozen=True)
class Target:
    """One number to reach; None as a bound: not asked of that device."""

    what: str
    cpu: float | None
    cuda: float | None
    measure: Measure
    at_least: bool = True
    percent: bool = False

    def bound(self, device: str) -> float | None:
        return self.cuda if device == "cuda" else self.cpu

    def met(self, device: str, value: float) -> bool:
        bound = self.bound(device)
        assert bound is not None
        return value >= bound if self.at_least else value <= bound

    def show(self, value: float) -> str:
        return f"{100 * value:.0f} %" if self.percent else f"{value:.3g}x"


def op(run: Run, num_labels: int, backward: bool = False) -> Result | None:
    """The case of the operator that targets speak of: 128 x 128 pixels of width 256."""
    return run.find(
        "attention", side=128, width=256, num_labels=num_labels, labels="coherent",
        backward=backward, reads="latents", memory="channels_last",
    )  # fmt: skip


def _against(kinds: tuple[str, ...], num_labels: int, backward: bool = False) -> Measure:
    def measure(run: Run) -> tuple[float, str] | None:
        result = op(run, num_labels, backward)
        fastest = None if result is None else result.fastest(*kinds)
        return None if fastest is None else (fastest[1], fastest[0])

    return measure


def _scaling(slow: str, base: str) -> Measure:
    def measure(run: Run) -> tuple[float, str] | None:
        result = run.find("scaling", backward=False, reads="latents")
        if result is None:
            return None
        over, under = result.ratio(slow), result.ratio(base)
        return None if over is None or under is None else (over / under, "")

    return measure


def _over_copy(run: Run) -> tuple[float, str] | None:
    result = op(run, 19)
    copy = None if result is None else result.ratio("copy")
    return None if copy is None else (1 / copy, "time of a copy of the query")


def _share_of_copy(backward: bool) -> Measure:
    def measure(run: Run) -> tuple[float, str] | None:
        result = op(run, 19, backward)
        if result is None:
            return None
        name = "ours, backward alone" if backward else OURS
        moved = result.facts["backward_bytes" if backward else "bytes"]
        copy, ours = result.ratio("copy"), result.ratio(name)
        if copy is None or ours is None:
            return None
        return moved / result.facts["copy_bytes"] * copy / ours, "of measured copy bandwidth"

    return measure


def _over_roofline(result: Result | None, run: Run, name: str, share: float = 1) -> float | None:
    """Time over the longer of moving the bytes and doing ``share`` of the operations."""
    ours = None if result is None else result.contenders.get(name)
    if result is None or ours is None:
        return None
    moved = result.facts["backward_bytes" if share < 1 else "bytes"] / result.facts["copy_bytes"]
    copy = moved * result.contenders["copy"]["median"]
    multiply = share * result.facts["flops"] / run.machine["matmul_flops_per_s"]
    return float(ours["median"] / max(copy, multiply))


def _op_over_roofline(backward: bool) -> Measure:
    def measure(run: Run) -> tuple[float, str] | None:
        # of 14 operations for each pair and channel 10 are the backward pass's
        name, share = ("ours, backward alone", 10 / 14) if backward else (OURS, 1)
        times = _over_roofline(op(run, 19, backward), run, name, share)
        return None if times is None else (times, "copy or matrix product, whichever is longer")

    return measure


def _modulation_over_roofline(side: int, channels: int) -> Measure:
    def measure(run: Run) -> tuple[float, str] | None:
        result = run.find(
            "modulation", side=side, channels=channels, num_labels=19, labels="coherent",
            backward=False, memory="contiguous",
        )  # fmt: skip
        times = _over_roofline(result, run, "op alone")
        return None if times is None else (times, "the op alone")

    return measure


def _modulation(side: int, channels: int, backward: bool) -> Measure:
    def measure(run: Run) -> tuple[float, str] | None:
        result = run.find(
            "modulation", side=side, channels=channels, num_labels=19, labels="coherent",
            backward=backward, memory="contiguous",
        )  # fmt: skip
        eager = None if result is None else result.ratio("eager, as SCAM writes it")
        alone = None if result is None else result.ratio("op alone")
        if eager is None:
            return None
        note = "projections of the tokens included"
        return eager, note if alone is None else f"{note}; the op alone: {eager / alone:.3g}x"

    return measure


def _networks(area: str, preset: str, name: str, batch: int | None = None) -> Measure:
    def measure(run: Run) -> tuple[float, str] | None:
        wanted = {} if batch is None else {"batch": batch}
        result = run.find(area, preset=preset, **wanted)
        ratio = None if result is None else result.ratio(name)
        if result is None or ratio is None:
            return None
        floor = "at least: dense " + result.refused[name] if name in result.refused else ""
        return ratio, floor or f"batch {result.facts['batch']}"

    return measure


_DENSE = "--no-fused-sca"
_RELEASED = "released networks, --no-fused-sca"
_MODULATION = "semantic_modulation"
_HALF = f"{_MODULATION} vs eager"

TARGETS = (
    Target("op forward vs fastest dense, s=19", 25, 1.5, _against(("dense",), 19)),
    Target("op forward vs fastest dense, s=150", 100, 8, _against(("dense",), 150)),
    Target("op forward vs fastest of any kind, s=19", 8, 1.5, _against(RIVALS, 19)),
    Target("op forward vs fastest of any kind, s=150", 8, 3, _against(RIVALS, 150)),
    Target("op fwd+bwd vs fastest dense, s=19", 15, 1.5, _against(("dense",), 19, True)),
    Target("op fwd+bwd vs fastest of any kind, s=19", 6, 1.5, _against(RIVALS, 19, True)),
    Target("op forward, s=150 over s=3", 1.3, 1.3, _scaling("s=150", "s=3"), at_least=False),
    Target("op forward, label noise over coherent", 2, 2, _scaling("noise", OURS), at_least=False),
    Target("op forward over a copy of q to out", 2.5, None, _over_copy, at_least=False),
    Target("op forward over its roofline", 1.5, None, _op_over_roofline(False), at_least=False),
    Target("op backward over its roofline", 2, None, _op_over_roofline(True), at_least=False),
    Target(
        f"{_MODULATION} over its roofline, 128 px C=128, fwd", 2, None,
        _modulation_over_roofline(128, 128), at_least=False,
    ),
    Target(
        f"{_MODULATION} over its roofline, 256 px C=64, fwd", 2, None,
        _modulation_over_roofline(256, 64), at_least=False,
    ),
    Target("op forward, share of the copy", None, 0.85, _share_of_copy(False), percent=True),
    Target("op backward, share of the copy", None, 0.75, _share_of_copy(True), percent=True),
    Target(f"{_HALF}, 128 px C=128, fwd", 40, 15, _modulation(128, 128, False)),
    Target(f"{_HALF}, 128 px C=128, fwd+bwd", 25, 8, _modulation(128, 128, True)),
    Target(f"{_HALF}, 256 px C=64, fwd", 100, 20, _modulation(256, 64, False)),
    Target(f"{_HALF}, 256 px C=64, fwd+bwd", 40, 10, _modulation(256, 64, True)),
    Target(
        "encoder + generator vs released dense, celebamask-hq", 4, 4,
        _networks("networks", "celebamask-hq", _RELEASED),
    ),
    Target(
        "encoder + generator vs released dense, ade20k", 12, 10,
        _networks("networks", "ade20k", _RELEASED),
    ),
    Target(
        "training step vs dense, celebamask-hq", 1.5, 2,
        _networks("step", "celebamask-hq", _DENSE),
    ),
    Target("training step vs dense, ade20k", 4, 5, _networks("step", "ade20k", _DENSE)),
    Target(
        "peak training memory, dense over ours, ade20k batch 8", 3, 3,
        _networks("memory", "ade20k", _DENSE, 8),
    ),
    Target("the same, batch 1", 3, None, _networks("memory", "ade20k", _DENSE, 1)),
)  # fmt: skip
