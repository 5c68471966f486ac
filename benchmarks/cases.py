# SPDX-License-Identifier: Apache-2.0
"""What is measured: tables of cases, each naming the smallest suite that holds it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.label_maps import real_num_labels

SUITES = ("quick", "default", "full")


@dataclass(frozen=True)
class Setting:
    """What depends on the device: images per call and the dtype of their features."""

    batch: int
    dtype: str


SETTINGS = {"cpu": Setting(1, "float32"), "cuda": Setting(16, "bfloat16")}


@dataclass(frozen=True)
class AttentionCase:
    """One call of the op: ``side`` squared pixels and ``k`` latents for each label, one head.

    ``reads`` is ``latents`` (pixels read latents), ``pixels`` (latents read pixels, value=None) or
    ``transport`` (pixels read those of another image, as in SemIA: many of a label on both sides).
    """

    side: int = 128
    num_labels: int = 19
    labels: str = "coherent"
    backward: bool = False
    reads: str = "latents"
    memory: str = "channels_last"
    width: int = 256
    k: int = 8
    compiled: bool = False
    suite: str = "default"

    @property
    def id(self) -> str:
        order = "" if self.memory == "channels_last" else "-nchw"
        step = "fwd+bwd" if self.backward else "fwd"
        size = f"{self.side}px-d{self.width}-s{self.num_labels}"
        return f"read-{self.reads}-{step}-{size}-{self.labels}{order}"


@dataclass(frozen=True)
class ModulationCase:
    """The half of a SCAM operation in which pixels read tokens and are modulated."""

    side: int = 128
    channels: int = 128
    num_labels: int = 19
    backward: bool = False
    labels: str = "coherent"
    memory: str = "contiguous"  # NCHW, or "channels_last"
    token_dim: int = 256
    attention_dim: int = 256
    k: int = 8
    suite: str = "default"

    @property
    def id(self) -> str:
        order = "" if self.memory == "contiguous" else "-nhwc"
        step = "fwd+bwd" if self.backward else "fwd"
        return f"{step}-{self.side}px-c{self.channels}-s{self.num_labels}-{self.labels}{order}"


@dataclass(frozen=True)
class AffineCase:
    """The last step of a norm whose scale and shift are looked up by pixel.

    ``rows`` is ``labels`` (one row each) or ``patches`` (one per distinct 5x5 label patch).
    """

    side: int = 256
    channels: int = 64
    num_labels: int = 19
    rows: str = "labels"
    labels: str = "coherent"
    backward: bool = False
    memory: str = "contiguous"  # NCHW, or "channels_last"
    compiled: bool = False
    suite: str = "default"

    @property
    def id(self) -> str:
        order = "" if self.memory == "contiguous" else "-nhwc"
        step = "fwd+bwd" if self.backward else "fwd"
        size = f"{self.side}px-c{self.channels}-s{self.num_labels}"
        return f"{step}-{size}-{self.rows}-{self.labels}{order}"


@dataclass(frozen=True)
class BaselineCase:
    """A norm of a baseline (by its kind), INADE's encoder, or a convolution of one-hot maps."""

    part: str
    side: int = 256
    channels: int = 128
    num_labels: int = 19
    labels: str = "coherent"
    backward: bool = False
    suite: str = "default"

    @property
    def id(self) -> str:
        step = "fwd+bwd" if self.backward else "fwd"
        size = f"{self.side}px-c{self.channels}-s{self.num_labels}"
        return f"{self.part.replace(' ', '-')}-{step}-{size}-{self.labels}"


@dataclass(frozen=True)
class NetworkCase:
    """Encoder and generator, or a whole training step, of a preset at 256 px."""

    preset: str
    what: str = "networks"  # or "step" or "memory"
    batch: int = 1
    suite: str = "default"

    @property
    def id(self) -> str:
        return f"{self.what}-{self.preset}-b{self.batch}"


def _attention() -> list[AttentionCase]:
    case = AttentionCase
    cases = [
        case(suite="quick", compiled=True),
        case(num_labels=150, suite="quick", compiled=True),
        case(backward=True, suite="quick", compiled=True),
        case(num_labels=150, backward=True),
        case(num_labels=3),
        case(memory="channels_first"),
        case(memory="channels_first", backward=True),
        case(reads="pixels", width=128, suite="quick"),
        case(reads="pixels", width=128, backward=True),
        case(reads="pixels", width=128, num_labels=150),
        case(reads="pixels", width=64, side=256, backward=True, suite="full"),
        case(reads="transport", width=64, side=64, num_labels=3),
        case(reads="transport", width=64, side=64, num_labels=3, backward=True),
        case(reads="transport", width=64, num_labels=3, backward=True, suite="full"),
    ]
    cases += [case(labels=kind) for kind in ("noise", "one", "absent")]
    cases += [
        case(labels=kind, num_labels=150, backward=True, suite="full")
        for kind in ("noise", "one", "absent")
    ]
    for side in (16, 32, 64, 256, 512):
        for backward in (False, True):
            suite = "default" if side < 512 and not backward else "full"
            cases.append(case(side=side, backward=backward, suite=suite))
    return cases


def _modulation() -> list[ModulationCase]:
    cases = []
    for backward in (False, True):
        cases += [
            ModulationCase(128, 128, backward=backward, suite="quick"),
            ModulationCase(256, 64, backward=backward),
            ModulationCase(64, 256, backward=backward, suite="full"),
            ModulationCase(32, 512, backward=backward, suite="full"),
            ModulationCase(128, 128, backward=backward, memory="channels_last", suite="full"),
            ModulationCase(256, 64, backward=backward, memory="channels_last", suite="full"),
            ModulationCase(256, 64, 150, backward=backward, labels="absent", suite="full"),
        ]
    return cases


def _affine() -> list[AffineCase]:
    cases = []
    for backward in (False, True):
        cases += [
            AffineCase(backward=backward, suite="quick", compiled=True),
            AffineCase(rows="patches", backward=backward),
            AffineCase(128, 128, backward=backward),
            AffineCase(128, 128, rows="patches", backward=backward),
            AffineCase(labels="noise", backward=backward),
            AffineCase(backward=backward, memory="channels_last"),
            AffineCase(rows="patches", labels="noise", backward=backward, suite="full"),
            AffineCase(128, 128, backward=backward, memory="channels_last", suite="full"),
            AffineCase(32, 512, rows="patches", backward=backward, suite="full"),
        ]
    return cases


def _baselines() -> list[BaselineCase]:
    case, cases = BaselineCase, []
    for backward in (False, True):
        cases += [
            case("spade", backward=backward, suite="quick" if backward else "default"),
            case("spade", num_labels=151, labels="absent", backward=backward),
            case("spade", labels="noise", backward=backward, suite="full"),
            case("spade", 64, 512, backward=backward, suite="full"),
            case("spade branch", backward=backward),
            case("spade branch", num_labels=151, labels="absent", backward=backward),
            case("sean style", 128, 256, backward=backward),
            case("sean style", 64, 512, 151, "absent", backward=backward),
            case("sean", 128, 256, backward=backward),
            case("sean", 64, 512, 151, "absent", backward=backward),
            case("sean-clade", 128, 256, backward=backward),
            case("clade", backward=backward),
            case("inade", backward=backward),
            case("inade", num_labels=151, labels="absent", backward=backward),
            case("inade encoder", backward=backward),
            case("inade encoder", num_labels=151, labels="absent", backward=backward),
            case("inade encoder", labels="noise", backward=backward, suite="full"),
            case("one-hot convolution", backward=backward),
            case("one-hot convolution", num_labels=151, labels="absent", backward=backward),
            case("one-hot convolution", num_labels=151, labels="noise", backward=backward),
        ]
    return cases


ATTENTION = _attention()
BASELINES = _baselines()
MODULATION = _modulation()
AFFINE = _affine()
NETWORKS = [
    NetworkCase("tiny", suite="quick"),
    NetworkCase("tiny", "step", suite="quick"),
    NetworkCase("tiny", "memory", suite="quick"),
    NetworkCase("celebamask-hq"),
    NetworkCase("ade20k", suite="full"),
    NetworkCase("celebamask-hq", "step"),
    NetworkCase("ade20k", "step", suite="full"),
    NetworkCase("celebamask-hq", "memory"),
    NetworkCase("ade20k", "memory", suite="full"),
    NetworkCase("ade20k", "memory", batch=8, suite="full"),
]


def held(suite: str, case_suite: str) -> bool:
    """Whether a suite includes the cases of another (the smaller ones are part of the larger)."""
    return SUITES.index(case_suite) <= SUITES.index(suite)


def real(table: list[Any], folder: Path | None) -> list[Any]:
    """The first case of a table on real label maps, forward and both ways; [] without a folder."""
    if folder is None:
        return []
    first = replace(table[0], labels="real", num_labels=real_num_labels(folder))
    return [replace(first, backward=backward) for backward in (False, True)]


def without_compile(case: Any) -> Any:
    """The case without peers that torch.compile has to make first."""
    return replace(case, compiled=False) if hasattr(case, "compiled") else case
