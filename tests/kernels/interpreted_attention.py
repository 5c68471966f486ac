# SPDX-License-Identifier: Apache-2.0
"""The Triton kernels under the interpreter, run by test_triton_interpreted.py.

It checks indexing, masks and values in fp32 and fp16; not races, not tensor cores.
"""

import os
import random
from dataclasses import replace
from typing import Any

import large_scores
import pytest
import torch
from launches import recorded
from torch import Tensor

from scam.ops import SemanticLayout
from scam.ops.backends import triton as backend
from scam.ops.backends import triton_plan
from scam.testing import (
    MEMORY,
    Inputs,
    assert_matches_oracle,
    make_inputs,
    outcome,
    poisoned_memory,
)

assert os.environ.get("TRITON_INTERPRET") == "1"

FP16, FP32 = torch.float16, torch.float32
PIXELS_READ = {"queries": 70, "keys": 9, "num_labels": 3}
LATENTS_READ = {"queries": 9, "keys": 70, "num_labels": 3}
ONE: dict[str, Any] = {"batch": 1, "heads": 1}


@pytest.fixture(autouse=True)
def _patch_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter prepares a module anew at every call between kernels: half of its time."""
    from triton.runtime import interpreter

    prepare, run = interpreter._patch_lang, interpreter.GridExecutor.__call__
    prepared: set[int] = set()

    def prepare_once(fn: Any) -> Any:
        if id(fn.__globals__) in prepared:
            return None
        prepared.add(id(fn.__globals__))
        return prepare(fn)

    def run_afresh(*args: Any, **options: Any) -> Any:
        prepared.clear()
        return run(*args, **options)

    monkeypatch.setattr(interpreter, "_patch_lang", prepare_once)
    monkeypatch.setattr(interpreter.GridExecutor, "__call__", run_afresh)
    # It sorts number by number, in Python.
    monkeypatch.setattr(triton_plan, "BLOCK", 32)


def check(
    empty: str = "zero",
    scale: float | None = None,
    roundings: float | None = None,
    **options: Any,
) -> None:
    with poisoned_memory():
        inputs = make_inputs(**options)
        judged = {"empty": empty, "scale": scale, "roundings": roundings}
        assert_matches_oracle(inputs, backend="triton", **judged)


@pytest.mark.parametrize("side", [PIXELS_READ, LATENTS_READ], ids=["pixels_read", "latents_read"])
@pytest.mark.parametrize(
    "options",
    [
        {"width": 24, "dtype": FP16, "memory": "channels_first", **ONE},
        {"width": 43, "empty": "uniform", "memory": "sliced"},
        {"width": 3, "value_width": 70, "dtype": FP16, "empty": "uniform", **ONE},
        {"width": 1, "shared_value": True, "memory": "channels_last", **ONE},
        {"width": 300, "queries": 20, "keys": 20, **ONE},
        {"width": 8, "value_width": 300, "queries": 20, "keys": 20, **ONE},
        {"heads": 4, "key_heads": 2, "batch": 1, "empty": "uniform", "shared_value": True},
        {"memory": "expanded", "label_dtype": torch.uint8, "scale": -0.7, "heads": 1},
    ],
    ids=lambda options: " ".join(f"{k}={v}" for k, v in options.items()),
)
def test_matches_the_oracle(side: dict[str, Any], options: dict[str, Any]) -> None:
    check(**(side | options))


@pytest.mark.parametrize(("queries", "keys"), [(80, 70), (70, 80)])
def test_many_keys_and_queries_per_label(
    queries: int, keys: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than a block of narrow items meets a label; pieces of several tiles."""
    monkeypatch.setattr(backend, "PIECES", 2)
    check(queries=queries, keys=keys, num_labels=2, width=20, **ONE)


@pytest.mark.parametrize(("queries", "keys"), [(300, 16), (16, 300)])
def test_pieces_of_several_tiles(queries: int, keys: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "PIECES", 2)
    monkeypatch.setattr(backend, "PARTIAL_BYTES", 4096)
    check(queries=queries, keys=keys, num_labels=3, width=8, empty="uniform", **ONE)


@pytest.mark.parametrize("side", [PIXELS_READ, LATENTS_READ], ids=["pixels_read", "latents_read"])
def test_programs_that_take_several_rows_change_no_bit(
    side: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = make_inputs(**side, width=8, batch=2, heads=2)
    expected = outcome(inputs, backend="triton", empty="uniform")
    several_rows(monkeypatch)
    with poisoned_memory():
        for name, result in outcome(inputs, backend="triton", empty="uniform").items():
            assert torch.equal(expected[name], result), name


def several_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a program takes several tiles or pieces."""
    monkeypatch.setattr(triton_plan, "PROGRAMS", 1)
    monkeypatch.setattr(triton_plan, "LOOSE", 0)


@pytest.mark.parametrize(
    "options",
    [{"queries": 0}, {"keys": 0}, {"batch": 0}],
    ids=str,
)
@pytest.mark.parametrize("empty", ["zero", "uniform"])
def test_nothing_at_all(options: dict[str, int], empty: str) -> None:
    check(empty=empty, **({"width": 4, "queries": 5, "keys": 5, **ONE} | options))


@pytest.mark.parametrize("side", [PIXELS_READ, LATENTS_READ], ids=["pixels_read", "latents_read"])
def test_layouts_and_raw_labels_agree(side: dict[str, int]) -> None:
    inputs = make_inputs(**side, width=8, **ONE)
    built = replace(
        inputs,
        query_labels=SemanticLayout.build(as_tensor(inputs.query_labels), 3),
        key_labels=SemanticLayout.build(as_tensor(inputs.key_labels), 3),
    )
    expected = outcome(inputs, backend="triton")
    for name, result in outcome(built, backend="triton").items():
        torch.testing.assert_close(result, expected[name], msg=name)


@pytest.mark.parametrize("side", [PIXELS_READ, LATENTS_READ], ids=["pixels_read", "latents_read"])
def test_no_launch_for_large_labels_where_a_layout_says_that_there_are_none(
    side: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not a bit differs from what both launches give."""
    narrow, name = ("keys", "key_labels") if side is PIXELS_READ else ("queries", "query_labels")
    few = torch.arange(24) % 3
    inputs = replace(make_inputs(**{**side, narrow: 24}, width=8, **ONE), **{name: few})
    layout = SemanticLayout.build(few, 3, most=8)
    launched, outcomes = [], []
    launches = recorded(backend, monkeypatch)
    for given in (layout, replace(layout, most=None)):
        outcomes.append(outcome(replace(inputs, **{name: given}), backend="triton"))
        launched.append(launches.copy())
        launches.clear()
    assert [calls.count(True) for calls in launched] == [0, 1]
    assert len(launched[0]) == len(launched[1]) - 1
    for key, result in outcomes[1].items():
        assert torch.equal(outcomes[0][key], result), key


@pytest.mark.parametrize("side", [PIXELS_READ, LATENTS_READ], ids=["pixels_read", "latents_read"])
def test_finite_garbage_elsewhere_changes_nothing(side: dict[str, int]) -> None:
    inputs = make_inputs(**side, width=8, **ONE)
    ignored = as_tensor(inputs.key_labels) == 0
    garbage = ignored[:, None, :, None] * 1e30
    value = inputs.value
    assert value is not None
    changed = replace(inputs, key=inputs.key + garbage, value=value - garbage)
    before, after = (outcome(i, backend="triton") for i in (inputs, changed))
    for name in ("out", "lse", "grad_query"):
        kept = as_tensor(inputs.query_labels)[0] != 0
        assert torch.equal(before[name][:, :, kept], after[name][:, :, kept]), name
    for name in ("grad_key", "grad_value"):
        kept = ~ignored[0]
        assert torch.equal(before[name][:, :, kept], after[name][:, :, kept]), name


@pytest.mark.parametrize("side", [PIXELS_READ, LATENTS_READ], ids=["pixels_read", "latents_read"])
def test_repeats_and_split_batches_are_bit_equal(side: dict[str, int]) -> None:
    inputs = make_inputs(**side, width=8, batch=2, heads=1)
    whole, again = (outcome(inputs, backend="triton") for _ in range(2))
    for name in whole:
        assert torch.equal(whole[name], again[name]), name
    parts = [outcome(select(inputs, b), backend="triton")["out"] for b in range(2)]
    assert torch.equal(whole["out"], torch.cat(parts))


@pytest.mark.parametrize("sizes", large_scores.FEW_AND_MANY, ids=str)
@pytest.mark.parametrize("score", large_scores.SCORES)
@pytest.mark.parametrize("spread", [True, False])
def test_large_scores(score: float, sizes: tuple[int, int, int], spread: bool) -> None:
    large_scores.check_attention(score, sizes, spread, FP32, "triton")


def test_large_scores_in_several_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "PIECES", 4)
    for score in large_scores.SCORES[2:]:
        large_scores.check_attention(score, (9, 300, 2), False, FP32, "triton")


def test_what_is_not_a_number() -> None:
    large_scores.check_bad_gradients_of_blind_pixels(FP32, "triton")
    large_scores.check_bad_scores(torch.nan, FP32, "triton")


def select(inputs: Inputs, b: int) -> Inputs:
    return Inputs(*(None if t is None else as_tensor(t)[b : b + 1] for t in inputs.arguments()))


def as_tensor(labels: Tensor | SemanticLayout) -> Tensor:
    assert isinstance(labels, Tensor)
    return labels


def random_problem(seed: int) -> dict[str, Any]:
    draw = random.Random(seed)
    key_heads = draw.choice((1, 1, 2))
    shared = draw.random() < 0.4
    width = draw.choice((1, 2, 7, 16, 17, 33))
    return {
        "batch": draw.choice((1, 1, 2)),
        "heads": key_heads * draw.choice((1, 1, 2)),
        "key_heads": key_heads,
        "queries": draw.choice((1, 3, 17, 30, 40, 66)),
        "keys": draw.choice((1, 2, 9, 24, 33, 65)),
        "width": width,
        "value_width": None if shared else draw.choice((width, 1, 5, 20)),
        "shared_value": shared,
        "num_labels": draw.choice((1, 2, 3, 6)),
        "memory": draw.choice(MEMORY),
        "label_dtype": draw.choice((torch.uint8, torch.int16, torch.int32, torch.int64)),
        "dtype": draw.choice((FP16, FP32)),
        "empty": draw.choice(("zero", "uniform")),
        "scale": draw.choice((None, 0.3, -1.0)),
        "seed": seed,
    }


USUAL = 20


@pytest.mark.parametrize(
    "seed",
    [pytest.param(s, marks=[pytest.mark.slow] if s >= USUAL else []) for s in range(300)],
)
def test_random_problem(seed: int) -> None:
    options = random_problem(seed)
    try:
        check(**options, roundings=64)
    except Exception:
        print(f"seed {seed}: {options}")
        raise
