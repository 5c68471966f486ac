# SPDX-License-Identifier: Apache-2.0
"""Settings are checked wherever they come from: each kind of field refuses all other kinds."""

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_type_hints

import numpy as np
import pytest

from scam.data.options import DataOptions
from scam.errors import InputError
from scam.evaluation.options import EvaluationOptions
from scam.models import PRESETS, Scam, ScamConfig
from scam.settings.fields import Checked, setting
from scam.training.options import TrainOptions

HUGE = 10**5000
STRANGE: tuple[Any, ...] = (
    True, 1, 1.5, 16.0, -1, 1 << 31, 1 << 63, 10**20, HUGE, math.nan, math.inf, -math.inf, 1e30,
    "no", "", "1", "a\0b", None, [], {}, [1], [1, 2], [1, 2, 3], [True, 2], ["a", 1], [None], b"x",
    2j, object(), [[1, 2], [3]], [HUGE, HUGE], [math.nan, 1.0],
)  # fmt: skip
CLASSES: tuple[tuple[type[Checked], dict[str, Any]], ...] = (
    (ScamConfig, PRESETS["tiny"].as_dict()),
    (TrainOptions, TrainOptions().as_dict()),
    (DataOptions, DataOptions().as_dict()),
    (EvaluationOptions, {"checkpoint": "run"}),
)


@dataclass(frozen=True)
class Example(Checked):
    count: int = setting(1, least=1, most=10)
    even: int = setting(2, step=2)
    share: float = setting(0.5, above=0, below=1)
    anything: float = 0.0
    least: float = setting(0.0, least=0)
    kind: Literal["one", "two", "three"] = "one"
    size: tuple[int, int] = setting((1, 1), least=1)
    names: tuple[str, ...] = ()
    maybe: int | None = setting(None, least=0)
    place: str | Path = "here"
    on: bool = False


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("count", True, "True: expected an integer"),
        ("count", 1.0, "1.0: expected an integer"),
        ("count", 0, "0: expected at least 1 and at most 10"),
        ("count", HUGE, "an? .*: expected at least 1"),
        ("even", 3, "3: expected a multiple of 2"),
        ("share", math.nan, "nan: expected a finite number, above 0 and below 1"),
        ("share", False, "False: expected a number"),
        ("anything", math.inf, "inf: expected a finite number"),
        ("anything", HUGE, "an? .*: expected a finite number"),
        ("kind", "four", "'four': expected one, two or three"),
        ("kind", 1, "1: expected one, two or three"),
        ("size", (1,), r"\[1\]: expected a list of 2"),
        ("size", 5, "5: expected a list of 2"),
        ("size", (1, 0), r"\[1, 0\]: expected each at least 1"),
        ("size", "12", "'12': expected a list of 2"),
        ("names", "ab", "'ab': expected a list"),
        ("names", ["a", 1], r"\['a', 1\]: expected each text"),
        ("least", math.inf, "inf: expected a finite number, at least 0"),
        ("maybe", -1, "-1: expected at least 0"),
        ("maybe", "1", "'1': expected an integer"),
        ("place", 1, "1: expected text or a path"),
        ("place", "a\0", r"'a\\x00': expected no NUL character in it"),
        ("on", "no", "'no': expected true or false"),
        ("on", 0, "0: expected true or false"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_value_is_named(name: str, value: object, words: str) -> None:
    with pytest.raises(InputError, match=f"^{name}={words}"):
        Example(**{name: value})


def test_right_values_become_plain_ones() -> None:
    made = Example(
        count=np.int64(3), share=np.float32(0.5), anything=1, size=[2, 3], names=["a"], maybe=None
    )
    assert (made.count, made.share, made.anything) == (3, 0.5, 1.0)
    assert [type(made.count), type(made.share), type(made.anything)] == [int, float, float]
    assert (made.size, made.names) == ((2, 3), ("a",))


@pytest.mark.parametrize("values", [[], 5, "x", None, {"cuont": 1}])
def test_what_is_no_settings_is_refused(values: Any) -> None:
    with pytest.raises(InputError):
        Example.from_dict(values)


@pytest.mark.parametrize(("cls", "usual"), CLASSES, ids=lambda x: getattr(x, "__name__", ""))
def test_no_strange_value_passes_for_another_kind_or_ends_in_a_traceback(
    cls: type[Checked], usual: dict[str, Any]
) -> None:
    hints = get_type_hints(cls)
    for field in fields(cls):  # type: ignore[arg-type]
        for value in STRANGE:
            try:
                made = cls(**{**usual, field.name: value})
            except InputError:
                continue
            found = getattr(made, field.name)
            if hints[field.name] in (int, float, bool):
                assert type(found) is hints[field.name], (field.name, value)


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 1 << 14, "levels": 13, "size": (16384, 16384)},
        {"num_labels": 1 << 16, "token_dim": 1 << 16},
        {"num_labels": 1 << 16, "latents_per_label": 1 << 12},
        {"size": (16384, 16384), "num_labels": 1000},
        {"width": 1 << 14},
    ],
)
def test_networks_that_no_machine_holds_are_refused_before_they_are_made(
    changes: dict[str, Any],
) -> None:
    with pytest.raises(InputError, match=r"width=\d+, .*: need .*, expected at most 4\.3e\+09"):
        ScamConfig(**{**PRESETS["tiny"].as_dict(), **changes})


def test_the_estimates_stay_below_what_networks_have() -> None:
    for config in (PRESETS["tiny"], ScamConfig(3, (32, 32), width=16, levels=4, pyramid=False)):
        have = sum(p.numel() for p in Scam(config).parameters())
        assert have / 10 < config.least_parameters < have
