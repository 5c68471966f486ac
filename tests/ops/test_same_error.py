# SPDX-License-Identifier: Apache-2.0
"""What is wrong with the arguments is said before, and in the same words as, by any backend."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from scam.ops import (
    SemanticLayout,
    backend_names,
    semantic_cross_attention,
    semantic_modulation,
)
from scam.ops.dispatch import explain_problem
from scam.ops.problem import MODULATION, Problem
from scam.testing import make_inputs, make_modulation_inputs

Change = Callable[[Any], Any]
NAN, INFINITY = float("nan"), float("inf")


def attention() -> dict[str, Any]:
    query, key, value, *labels = make_inputs(heads=4, key_heads=2).arguments()
    query_labels, key_labels = labels
    return {
        "query": query, "key": key, "value": value, "query_labels": query_labels,
        "key_labels": key_labels,
    }  # fmt: skip


def modulation() -> dict[str, Any]:
    return make_modulation_inputs().arguments()


ATTENTION_CASES: list[tuple[str, Change, type[Exception], str]] = [
    ("key", lambda t: t.double(), TypeError, "key is torch.float64, query torch.float32"),
    ("value", lambda t: t.half(), TypeError, "value is torch.float16, query torch.float32"),
    ("query", lambda t: t.int(), TypeError, "query: expected a floating dtype"),
    ("query", lambda t: t[0], ValueError, "query: expected shape (B, H, N, D), got (4, 37, 16)"),
    ("key", lambda t: t[:1], ValueError, "key: expected shape (2, Hkv, Nk, 16) to fit the query"),
    ("value", lambda t: t[:1], ValueError, "value: expected shape (2, 2, 24, Dv) to fit the key"),
    ("query", lambda t: t[:, :3], ValueError, "query has 3 heads, key 2"),
    ("key", lambda t: t[..., :8], ValueError, "key: expected shape (2, Hkv, Nk, 16)"),
    ("query", lambda t: t.to("meta"), ValueError, "key is on cpu, query on meta"),
    ("query_labels", lambda t: t.float(), TypeError, "query_labels: expected uint8, int8"),
    ("key_labels", lambda t: t > 0, TypeError, "key_labels: expected uint8, int8"),
    ("key_labels", lambda t: t[:, :5], ValueError, "key_labels: expected shape (2, 24) or (24,)"),
    ("query_labels", lambda t: t[:1], ValueError, "query_labels: expected shape (2, 37) or (37"),
    ("query_labels", lambda t: t.to("meta"), ValueError, "query_labels is on meta, query on cpu"),
    (
        "key_labels", lambda t: SemanticLayout.build(t[:, :9], 5), ValueError,
        "key_labels: expected shape (2, 24) or (24,), got (2, 9)",
    ),
    ("scale", lambda _: NAN, ValueError, "scale: expected a finite number, got nan"),
    ("scale", lambda _: -INFINITY, ValueError, "scale: expected a finite number, got -inf"),
    ("scale", lambda _: "1", TypeError, "scale: expected a number, got str"),
    ("empty", lambda _: "mean", ValueError, "empty: expected 'zero' or 'uniform', got 'mean'"),
    ("empty", lambda _: None, ValueError, "empty: expected 'zero' or 'uniform', got None"),
]  # fmt: skip

MODULATION_CASES: list[tuple[str, Change, type[Exception], str]] = [
    ("gamma", lambda t: t.double(), TypeError, "gamma is torch.float64, x torch.float32"),
    ("noise", lambda t: t.half(), TypeError, "noise is torch.float16, x torch.float32"),
    ("x", lambda t: t.int(), TypeError, "x: expected a floating dtype"),
    ("x", lambda t: t[0], ValueError, "x: expected shape (B, C, H, W) with C >= 1, got (16"),
    ("keys", lambda t: t[0], ValueError, "keys: expected shape (2, heads, m, 16) to fit x"),
    ("keys", lambda t: t[:1], ValueError, "keys: expected shape (2, heads, m, 16) to fit x"),
    ("keys", lambda t: t[:, :0], ValueError, "keys: expected shape (2, heads, m, 16) to fit x"),
    ("beta", lambda t: t[:1], ValueError, "beta: expected shape (2, 1, 24, 16), got (1, 1, 24"),
    ("key_bias", lambda t: t[:, 0], ValueError, "key_bias: expected shape (2, 1, 24), got (2, 24"),
    ("keys", lambda t: t.to("meta"), ValueError, "keys is on meta, x on cpu"),
    ("labels", lambda t: t.float(), TypeError, "labels: expected uint8, int8"),
    ("token_labels", lambda t: t > 0, TypeError, "token_labels: expected uint8, int8"),
    ("labels", lambda t: t.tolist(), TypeError, "labels: expected a tensor or a SemanticLayout"),
    ("labels", lambda t: t[:1], ValueError, "labels: expected shape (2, 7, 6), (7, 6), (2, 42)"),
    ("labels", lambda t: t[..., 1:], ValueError, "labels: expected shape (2, 7, 6), (7, 6)"),
    ("labels", lambda t: t[None], ValueError, "labels: expected shape (2, 7, 6), (7, 6), (2, 42)"),
    ("labels", lambda t: t.to("meta"), ValueError, "labels is on meta, x on cpu"),
    ("token_labels", lambda t: t.to("meta"), ValueError, "token_labels is on meta, x on cpu"),
    (
        "labels", lambda t: SemanticLayout.build(t[..., 1:], 5), ValueError,
        "labels: expected shape (2, 42) or (42,), got (2, 35)",
    ),
    ("eps", lambda _: NAN, ValueError, "eps: expected a finite number, got nan"),
    ("eps", lambda _: -1e-5, ValueError, "eps: expected at least 0, got -1e-05"),
    ("negative_slope", lambda _: -0.2, ValueError, "negative_slope: expected at least 0, got"),
    ("negative_slope", lambda _: INFINITY, ValueError, "negative_slope: expected a finite number"),
]  # fmt: skip


def caught(op: Callable[..., Any], **given: Any) -> Exception:
    with pytest.raises(Exception) as found:  # noqa: PT011  (which one is asked below)
        op(**given)
    return found.value


@pytest.mark.parametrize(("argument", "change", "kind", "message"), ATTENTION_CASES)
def test_attention(argument: str, change: Change, kind: type[Exception], message: str) -> None:
    given = attention()
    same_error(semantic_cross_attention, given, argument, change, kind, message)


@pytest.mark.parametrize(("argument", "change", "kind", "message"), MODULATION_CASES)
def test_modulation(argument: str, change: Change, kind: type[Exception], message: str) -> None:
    same_error(semantic_modulation, modulation(), argument, change, kind, message)


def same_error(
    op: Callable[..., Any],
    given: dict[str, Any],
    argument: str,
    change: Change,
    kind: type[Exception],
    message: str,
) -> None:
    """Of every backend, forced or not, here or not; one line that begins with ``message``."""
    given[argument] = change(given.get(argument))
    first = caught(op, **given)
    assert type(first) is kind
    assert str(first).startswith(message)
    assert "\n" not in str(first)
    for backend in backend_names():
        error = caught(op, **given, backend=backend)
        assert (type(error), str(error)) == (kind, str(first)), backend


def test_arguments_come_before_the_backend_s_name() -> None:
    given = attention() | {"empty": "mean", "backend": "tpu"}
    assert "empty:" in str(caught(semantic_cross_attention, **given))


@pytest.mark.parametrize(
    ("op", "make"), [(semantic_cross_attention, attention), (semantic_modulation, modulation)]
)
def test_an_unknown_backend(op: Callable[..., Any], make: Callable[[], dict[str, Any]]) -> None:
    error = caught(op, **make(), backend="tpu")
    expected = f"backend: expected one of {', '.join(backend_names())}, got 'tpu'"
    assert (type(error), str(error)) == (ValueError, expected)


@pytest.mark.parametrize("backend", backend_names())
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("op", "make", "options"),
    [
        (semantic_cross_attention, {"width": 16}, {}),
        (semantic_cross_attention, {"width": 5}, {"empty": "uniform"}),
        (semantic_cross_attention, {"width": 272}, {}),
        (semantic_modulation, {"channels": 16}, {}),
        (semantic_modulation, {"channels": 7}, {}),
        (semantic_modulation, {"channels": 1040}, {}),
    ],
)
def test_what_is_not_served_is_refused_with_a_reason_and_a_way_out(
    op: Callable[..., Any],
    make: dict[str, int],
    options: dict[str, Any],
    dtype: torch.dtype,
    backend: str,
) -> None:
    if op is semantic_modulation:
        inputs = make_modulation_inputs(**make, size=(4, 4), dtype=dtype).arguments()
        first = inputs["x"]
    else:
        query, key, value, *labels = make_inputs(**make, dtype=dtype).arguments()
        inputs = {"query": query, "key": key, "value": value, "query_labels": labels[0],
                  "key_labels": labels[1]}  # fmt: skip
        first = query
    refused = None
    try:
        result = op(**inputs, **options, backend=backend)
    except ValueError as error:
        refused = str(error)
    if refused is None:
        assert (result.shape, result.dtype) == (first.shape, dtype)
        return
    start = f"backend {backend!r} cannot serve this call: "
    assert refused.startswith(start)
    reasons, _, servers = refused.removeprefix(start).partition("; would serve: ")
    assert reasons
    assert "reference" in servers.split(", ")
    assert backend not in servers.split(", ")


def test_the_limits_of_the_cuda_kernels_are_known_before_they_run() -> None:
    def why(**facts: Any) -> str:
        return ", ".join(explain_problem(Problem("cpu", torch.bfloat16, **facts))["cuda"])

    assert "1024 channels" in why(op=MODULATION, width_limit=None)
    assert "1024 channels" not in why(op=MODULATION, width_limit=672)
    assert "width 256" in why(width_limit=672)
