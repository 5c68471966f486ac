# SPDX-License-Identifier: Apache-2.0
"""What we mean to reach, row by row, and whether a run reached it.

Every number is a ratio of times (or bytes) taken side by side in one run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.results_file import ALONE, BACKWARD_ALONE, OURS, RIVALS, Result, Run

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


def op(
    run: Run, num_labels: int, labels: str = "coherent", *, backward: bool = False
) -> Result | None:
    """The case of the operator that targets speak of: 128 x 128 pixels of width 256."""
    return run.find(
        "attention", side=128, width=256, num_labels=num_labels, labels=labels,
        backward=backward, reads="latents", memory="channels_last",
    )  # fmt: skip


def modulation(run: Run, side: int, channels: int, *, backward: bool = False) -> Result | None:
    """A case of the modulation: a dense map, 19 coherent labels."""
    return run.find(
        "modulation", side=side, channels=channels, num_labels=19, labels="coherent",
        backward=backward, memory="contiguous",
    )  # fmt: skip


@dataclass(frozen=True)
class Pass:
    """One pass of an operator in a case.

    Attributes:
        case: a run -> the case's result, if it holds it.
        name: the contender that does this pass alone.
        backward: whether it is the backward pass.
        share: of the case's operations, those of this pass.
    """

    case: Callable[[Run], Result | None]
    name: str
    backward: bool = False
    share: float = 1

    def over_copy(self, result: Result) -> float | None:
        """Time over that of a copy of as many bytes."""
        if self.name not in result.contenders:
            return None
        moved = result.facts["backward_bytes" if self.backward else "bytes"]
        copy = moved / result.facts["copy_bytes"] * result.contenders["copy"]["median"]
        return float(result.contenders[self.name]["median"] / copy)

    def over_roofline(self, run: Run) -> tuple[float, str] | None:
        """Time over the longer of such a copy and of the operations as a matrix product."""
        result = self.case(run)
        over_copy = None if result is None else self.over_copy(result)
        if result is None or over_copy is None:
            return None
        multiply = self.share * result.facts["flops"] / run.machine["matmul_flops_per_s"]
        over_multiply = result.contenders[self.name]["median"] / multiply
        longer = "a copy" if over_copy < over_multiply else "a matrix product"
        return min(over_copy, over_multiply), f"roofline: {longer}"

    def share_of_copy(self, run: Run) -> tuple[float, str] | None:
        """Bandwidth over that of a copy."""
        result = self.case(run)
        over_copy = None if result is None else self.over_copy(result)
        return None if over_copy is None else (1 / over_copy, "of measured copy bandwidth")


def _forward(labels: str) -> Pass:
    return Pass(lambda run: op(run, 19, labels), OURS)


def _modulation(side: int, channels: int) -> Pass:
    return Pass(lambda run: modulation(run, side, channels), ALONE)


def _modulation_backward(side: int, channels: int) -> Pass:
    # of 20 operations for each pair and channel 14 are the backward pass's
    case = partial(modulation, side=side, channels=channels, backward=True)
    return Pass(case, BACKWARD_ALONE, backward=True, share=14 / 20)


# of 14 operations for each pair and channel 10 are the backward pass's
_OP_BACKWARD = Pass(
    lambda run: op(run, 19, backward=True), BACKWARD_ALONE, backward=True, share=10 / 14
)


def _against(kinds: tuple[str, ...], num_labels: int) -> Measure:
    def measure(run: Run) -> tuple[float, str] | None:
        result = op(run, num_labels)
        fastest = None if result is None else result.fastest(*kinds)
        return None if fastest is None else (fastest[1], fastest[0])

    return measure


def _of_more_labels(run: Run) -> tuple[float, str] | None:
    result = run.find("scaling", backward=False, reads="latents")
    if result is None:
        return None
    over, under = result.ratio("s=150"), result.ratio("s=3")
    return None if over is None or under is None else (over / under, "")


def _over_eager(side: int, channels: int) -> Measure:
    def measure(run: Run) -> tuple[float, str] | None:
        result = modulation(run, side, channels)
        eager = None if result is None else result.ratio("eager, as SCAM writes it")
        alone = None if result is None else result.ratio(ALONE)
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


def _near_the_machine(what: str, one: Pass, cpu: float, cuda: float) -> tuple[Target, Target]:
    return (
        Target(f"{what} over its roofline", cpu, None, one.over_roofline, at_least=False),
        Target(
            f"{what.rstrip(',')}, share of the copy", None, cuda, one.share_of_copy, percent=True
        ),
    )


TARGETS = (
    *_near_the_machine("op forward", _forward("coherent"), 1.5, 0.85),
    *_near_the_machine("op forward, label noise,", _forward("noise"), 2.2, 0.5),
    *_near_the_machine("op backward", _OP_BACKWARD, 2, 0.75),
    *_near_the_machine("modulation forward, 128 px C=128,", _modulation(128, 128), 2, 0.7),
    *_near_the_machine("modulation forward, 256 px C=64,", _modulation(256, 64), 2, 0.7),
    *_near_the_machine(
        "modulation backward, 128 px C=128,", _modulation_backward(128, 128), 2.5, 0.6
    ),
    *_near_the_machine(
        "modulation backward, 256 px C=64,", _modulation_backward(256, 64), 2.5, 0.6
    ),
    Target("op forward, s=150 over s=3", 1.2, 1.2, _of_more_labels, at_least=False),
    Target("op forward vs fastest dense, s=19", 10, 2, _against(("dense",), 19)),
    Target("op forward vs fastest dense, s=150", 80, 8, _against(("dense",), 150)),
    Target("op forward vs fastest of any kind, s=19", 8, 1.5, _against(RIVALS, 19)),
    Target("op forward vs fastest of any kind, s=150", 8, 3, _against(RIVALS, 150)),
    Target("modulation vs eager, 128 px C=128", 20, 8, _over_eager(128, 128)),
    Target("modulation vs eager, 256 px C=64", 50, 15, _over_eager(256, 64)),
    Target(
        "encoder + generator vs released dense, celebamask-hq", 3.5, 4,
        _networks("networks", "celebamask-hq", _RELEASED),
    ),
    Target(
        "encoder + generator vs released dense, ade20k", 12, 10,
        _networks("networks", "ade20k", _RELEASED),
    ),
    Target(
        "training step vs dense, celebamask-hq", 2.2, 2,
        _networks("step", "celebamask-hq", _DENSE),
    ),
    Target("training step vs dense, ade20k", 6, 5, _networks("step", "ade20k", _DENSE)),
    Target(
        "peak training memory, dense over ours, ade20k batch 8", 3, 3,
        _networks("memory", "ade20k", _DENSE, 8),
    ),
    Target("the same, batch 1", 3, None, _networks("memory", "ade20k", _DENSE, 1)),
)  # fmt: skip
