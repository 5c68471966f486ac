# SPDX-License-Identifier: Apache-2.0
"""The Triton modulation under the interpreter, run by test_triton_modulation.py.

It checks indexing, masks and values in fp32 and fp16; not races, not tensor cores.
"""

import os
import random
from dataclasses import replace
from typing import Any

import large_scores
import pytest
import torch
from interpreted_attention import _patch_once, several_rows  # noqa: F401  (a fixture)
from launches import recorded
from scam.kernels.modulation_triton import backward

from scam.ops import SemanticLayout
from scam.ops.backends import triton_modulation, triton_plan
from scam.ops.problem import LABEL_DTYPES
from scam.testing import (
    ModulationInputs,
    assert_modulation_matches_oracle,
    assert_modulation_within_bounds,
    make_modulation_inputs,
    modulation_outcome,
    poisoned_memory,
)

assert os.environ.get("TRITON_INTERPRET") == "1"

ONE: dict[str, Any] = {"batch": 1, "size": (5, 7), "tokens": 10, "num_labels": 4}
MANY: dict[str, Any] = {"batch": 1, "size": (6, 7), "tokens": 40, "num_labels": 2}


def check(inputs: ModulationInputs, **options: Any) -> None:
    with poisoned_memory():
        assert_modulation_matches_oracle(inputs, backend="triton", **options)


@pytest.mark.parametrize("channels", [1, 3, pytest.param(64, marks=pytest.mark.slow)])
def test_channels(channels: int) -> None:
    check(make_modulation_inputs(**ONE, channels=channels))


@pytest.mark.parametrize("memory", ["channels_last", "sliced"])
@pytest.mark.parametrize("extras", [True, False])
def test_memory(memory: str, extras: bool) -> None:
    check(make_modulation_inputs(**ONE, memory=memory, extras=extras))


def test_two_chunks_of_channels() -> None:
    check(make_modulation_inputs(**ONE, channels=72, memory="channels_last"))


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["channels_last", "channels_first"])
def test_chunks_of_channels(memory: str) -> None:
    check(make_modulation_inputs(**ONE, channels=136, memory=memory))


@pytest.mark.parametrize("inputs", [ONE, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("extras", [True, False])
def test_sums_of_hopper(
    inputs: dict[str, Any], extras: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have a row a channel there."""
    monkeypatch.setattr(backward, "on_hopper", lambda: True)
    check(make_modulation_inputs(**inputs, channels=24, extras=extras))


@pytest.mark.parametrize(
    ("heads", "inputs"),
    [
        pytest.param(3, ONE, id="heads"),
        pytest.param(1, MANY, id="many"),
        pytest.param(3, MANY, id="many-heads", marks=pytest.mark.slow),
    ],
)
def test_tokens(heads: int, inputs: dict[str, Any]) -> None:
    check(make_modulation_inputs(**inputs, heads=heads))


@pytest.mark.slow
def test_many_tokens_and_chunks_of_channels() -> None:
    check(make_modulation_inputs(**MANY, channels=136, heads=2))


@pytest.mark.slow
def test_more_heads_than_columns() -> None:
    check(
        make_modulation_inputs(**{**ONE, "size": (3, 2), "tokens": 3, "num_labels": 3}, heads=65)
    )


def test_fp16() -> None:
    for channels, memory in ((64, "channels_first"), (43, "channels_last")):
        check(
            make_modulation_inputs(
                **ONE, channels=channels, memory=memory, heads=2, dtype=torch.float16
            )
        )


def test_offsets_of_64_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_modulation._Call, "wide", True)
    check(make_modulation_inputs(**MANY, heads=2))


def test_several_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_modulation, "PIECES", 3)
    check(make_modulation_inputs(**{**ONE, "size": (16, 17)}))


def test_no_partial_rows_to_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_modulation, "PARTIAL_BYTES", 0)
    check(make_modulation_inputs(**{**ONE, "size": (16, 17)}))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("per_label", [13, 14, 15, 16, 17])
def test_as_many_tokens_as_there_are_columns(per_label: int, known: bool) -> None:
    """Or as leave the last two to what every pixel sees, or one more."""
    inputs = make_modulation_inputs(batch=1, size=(5, 4), tokens=per_label + 2, num_labels=3)
    token_labels = torch.tensor([0] * per_label + [1, 1]).expand(1, -1)
    layout = SemanticLayout.build(token_labels, 3, per_label)
    check(replace(inputs, token_labels=layout if known else token_labels))


def test_layouts() -> None:
    inputs = make_modulation_inputs(**ONE)
    layouts = (SemanticLayout.build(t, 4) for t in (inputs.labels, inputs.token_labels))
    labels, token_labels = layouts
    check(replace(inputs, labels=labels, token_labels=token_labels))
    check(replace(inputs, token_labels=token_labels))


def test_no_launch_for_many_tokens_where_a_layout_says_that_there_are_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And not a bit differs from what launches for both give."""
    plain = make_modulation_inputs(**{**ONE, "tokens": 40, "num_labels": 5})
    most = int(plain.token_labels[plain.token_labels >= 0].bincount().max())
    assert 1 < most <= 16
    known = SemanticLayout.build(plain.token_labels, 5, most)
    launched, outcomes = [], []
    launches = recorded(triton_modulation, monkeypatch)
    for layout in (known, replace(known, most=None)):
        outcomes.append(modulation_outcome(replace(plain, token_labels=layout), backend="triton"))
        launched.append(launches.copy())
        launches.clear()
    assert True not in launched[0]
    assert launched[1].count(True) >= 3
    assert len(launched[0]) == len(launched[1]) - launched[1].count(True)
    for name in outcomes[1]:
        assert torch.equal(outcomes[0][name], outcomes[1][name]), name


@pytest.mark.parametrize("inputs", [{**ONE, "batch": 2}, MANY], ids=["few", "many"])
def test_planning_kernels_change_no_bit(
    inputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what PyTorch's tables lead to; several pieces, ignored items, labels of one side."""
    plain = make_modulation_inputs(**{**inputs, "size": (16, 9)})
    labels = plain.labels.masked_fill(plain.labels == 0, -1)
    labels[0, :3], plain.token_labels[0, 0] = 5, 6
    plain = replace(plain, labels=labels)
    built = (SemanticLayout.build(t, 7) for t in (labels, plain.token_labels))
    given = replace(plain, **dict(zip(("labels", "token_labels"), built, strict=True)))
    monkeypatch.setattr(triton_modulation, "PIECES", 3)
    with poisoned_memory():
        actual = modulation_outcome(given, backend="triton")
        monkeypatch.setattr(triton_plan, "available", lambda tensor: False)
        expected = modulation_outcome(given, backend="triton")
    for name in expected:
        assert torch.equal(actual[name], expected[name]), name


@pytest.mark.parametrize("inputs", [ONE, MANY], ids=["few", "many"])
def test_programs_that_take_several_rows_change_no_bit(
    inputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = make_modulation_inputs(**{**inputs, "size": (16, 9)})
    expected = modulation_outcome(plain, backend="triton")
    several_rows(monkeypatch)
    with poisoned_memory():
        actual = modulation_outcome(plain, backend="triton")
    for name in expected:
        assert torch.equal(actual[name], expected[name]), name


def test_mean_far_above_deviation() -> None:
    inputs = make_modulation_inputs(**{**ONE, "size": (16, 17)}, extras=False)
    check(replace(inputs, x=inputs.x * 1e-2 + 3))


@pytest.mark.parametrize("tokens", [0, 1])
def test_few_or_no_tokens(tokens: int) -> None:
    check(make_modulation_inputs(**{**ONE, "tokens": tokens}))


@pytest.mark.parametrize("shape", [{"batch": 0}, {"size": (0, 5)}])
def test_nothing(shape: dict[str, Any]) -> None:
    outcome = modulation_outcome(make_modulation_inputs(**{**ONE, **shape}), backend="triton")
    assert all(not t.numel() or not t.any() for t in outcome.values())


@pytest.mark.parametrize("inputs", [ONE, MANY], ids=["few", "many"])
def test_other_labels_change_nothing(inputs: dict[str, Any]) -> None:
    """Nor does NaN in tokens that no pixel sees."""
    plain = make_modulation_inputs(**inputs)
    unseen = ~(plain.token_labels[:, :, None] == plain.labels.flatten(1)[:, None]).any(-1)
    unseen |= plain.token_labels < 0
    assert unseen.any()
    fields = ("keys", "gamma", "beta", "key_bias")
    bad = {
        name: getattr(plain, name).masked_fill(
            unseen[:, None] if name == "key_bias" else unseen[:, None, :, None], torch.nan
        )
        for name in fields
    }
    expected = modulation_outcome(plain, backend="triton")
    actual = modulation_outcome(replace(plain, **bad), backend="triton")
    for name in expected:
        assert torch.equal(actual[name], expected[name]), name


@pytest.mark.parametrize("which", large_scores.SATURATED)
@pytest.mark.parametrize("offset", [0, 30])
def test_sharp_choices(which: str, offset: float) -> None:
    large_scores.check_modulation(which, offset, torch.float32, "triton")


def test_repeats_to_the_bit() -> None:
    inputs = make_modulation_inputs(**{**ONE, "batch": 2})
    once, again = (modulation_outcome(inputs, backend="triton") for _ in range(2))
    for name in once:
        assert torch.equal(once[name], again[name]), name


def test_fp64_is_refused() -> None:
    with pytest.raises(ValueError, match="float64 is not supported"):
        modulation_outcome(make_modulation_inputs(dtype=torch.float64), backend="triton")


def random_problem(seed: int) -> None:
    pick = random.Random(seed)
    options: dict[str, Any] = {
        "batch": pick.choice([1, 1, 2]),
        "heads": pick.choice([1, 1, 1, 2, 3]),
        "channels": pick.choice([1, 2, 5, 16, 20, 43]),
        "size": (pick.randint(1, 7), pick.randint(1, 9)),
        "tokens": pick.choice([1, 3, 8, 20]),
        "num_labels": pick.randint(1, 4),
        "memory": pick.choice(["channels_first", "channels_last", "sliced"]),
        "extras": pick.random() < 0.5,
        "label_dtype": pick.choice(LABEL_DTYPES),
        "dtype": pick.choice([torch.float32, torch.float32, torch.float16]),
    }
    numbers = {"eps": pick.choice([1e-5, 1e-2]), "negative_slope": pick.choice([0.0, 0.2, 1.0])}
    print(f"seed {seed}: {options} {numbers}")
    with poisoned_memory():
        inputs = make_modulation_inputs(**options, seed=seed)
        assert_modulation_within_bounds(inputs, backend="triton", **numbers)


def test_random_problems() -> None:
    for seed in range(3):
        random_problem(seed)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(3, 103, 10))
def test_more_random_problems(start: int) -> None:
    for seed in range(start, start + 10):
        random_problem(seed)
