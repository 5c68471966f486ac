# SPDX-License-Identifier: Apache-2.0
"""Every argument that cannot be used is named, in one line."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from scam.ops import (
    SemanticLayout,
    explain,
    semantic_attention_map,
    semantic_cross_attention,
    use_backend,
)
from scam.testing import make_inputs

Mutation = Callable[[Any], Any]

CASES: list[tuple[str, Mutation, type[Exception], str]] = [
    ("query", lambda t: t.tolist(), TypeError, "query: expected a tensor, got list"),
    ("key", lambda t: None, TypeError, "key: expected a tensor, got NoneType"),
    (
        "query",
        lambda t: t.long(),
        TypeError,
        "query: expected a floating dtype (fp64, fp32, bf16, fp16), got torch.int64",
    ),
    ("value", lambda t: t.to(torch.complex64), TypeError, "value: expected a floating dtype"),
    ("key", lambda t: t.double(), TypeError, "key is torch.float64, query torch.float32"),
    ("value", lambda t: t.bfloat16(), TypeError, "value is torch.bfloat16, query torch.float32"),
    ("query", lambda t: t[0], ValueError, "query: expected shape (B, H, N, D), got (4, 37, 16)"),
    ("key", lambda t: t[None], ValueError, "key: expected shape (B, H, N, D)"),
    ("query", lambda t: t[:, :3], ValueError, "query has 3 heads, key 2"),
    ("key", lambda t: t[:, :0], ValueError, "query has 4 heads, key 0"),
    ("query", lambda t: t[:, :0], ValueError, "query has 0 heads, key 2"),
    ("query", lambda t: t[..., :0], ValueError, "query: expected at least one channel"),
    ("key", lambda t: t[..., :8], ValueError, "key: expected shape (2, Hkv, Nk, 16)"),
    ("key", lambda t: t[:1], ValueError, "key: expected shape (2, Hkv, Nk, 16)"),
    ("value", lambda t: t[:, :1], ValueError, "value: expected shape (2, 2, 24, Dv)"),
    ("value", lambda t: t[:, :, :5], ValueError, "value: expected shape (2, 2, 24, Dv)"),
    ("value", lambda t: t[..., :0], ValueError, "value: expected shape (2, 2, 24, Dv)"),
    ("key", lambda t: t.to("meta"), ValueError, "key is on meta, query on cpu"),
    ("query_labels", lambda t: t.float(), TypeError, "query_labels: expected uint8"),
    ("key_labels", lambda t: t > 0, TypeError, "key_labels: expected uint8"),
    ("key_labels", lambda t: t.tolist(), TypeError, "key_labels: expected a tensor or a Sem"),
    ("query_labels", lambda t: t[:, :5], ValueError, "query_labels: expected shape (2, 37) or"),
    ("query_labels", lambda t: t[:1], ValueError, "query_labels: expected shape (2, 37) or"),
    ("key_labels", lambda t: t[..., None], ValueError, "key_labels: expected shape (2, 24) or"),
    ("key_labels", lambda t: t.to("meta"), ValueError, "key_labels is on meta, query on cpu"),
    (
        "key_labels",
        lambda t: SemanticLayout.build(t[:, :9], 5),
        ValueError,
        "key_labels: expected shape (2, 24) or",
    ),
    ("empty", lambda _: "mean", ValueError, "empty: expected 'zero' or 'uniform', got 'mean'"),
    ("scale", lambda _: torch.tensor(1.0), TypeError, "scale: expected a number, got Tensor"),
    ("scale", lambda _: "big", TypeError, "scale: expected a number, got str"),
    ("scale", lambda _: np.ones(2), TypeError, "scale: expected a number, got ndarray"),
    ("scale", lambda _: float("nan"), ValueError, "scale: expected a finite number, got nan"),
    ("query", lambda t: t.to_sparse(), TypeError, "query: expected a dense tensor, got torch.sp"),
    (
        "key",
        lambda t: t.to(torch.float8_e4m3fn),
        TypeError,
        "key: expected a floating dtype (fp64",
    ),
    ("backend", lambda _: "tpu", ValueError, "cpu, reference, got 'tpu'"),
]


def arguments() -> dict[str, Any]:
    query, key, value, query_labels, key_labels = make_inputs(heads=4, key_heads=2).arguments()
    return {
        "query": query,
        "key": key,
        "value": value,
        "query_labels": query_labels,
        "key_labels": key_labels,
        "scale": None,
        "empty": "zero",
        "backend": "reference",
    }


@pytest.mark.parametrize(("argument", "mutation", "kind", "message"), CASES)
def test_refused(argument: str, mutation: Mutation, kind: type[Exception], message: str) -> None:
    given = arguments()
    given[argument] = mutation(given[argument])
    with pytest.raises(kind) as caught:
        semantic_cross_attention(**given)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    if argument != "backend":
        del given["backend"]
        with pytest.raises(kind):
            explain(**given)


def test_the_unchanged_arguments_are_accepted() -> None:
    semantic_cross_attention(**arguments())


@pytest.mark.parametrize(
    ("labels", "num_labels", "kind", "message"),
    [
        ([1], 2, TypeError, "labels: expected a tensor, got list"),
        (torch.ones(1, 4), 2, TypeError, "labels: expected uint8, int8, int16, int32 or int64"),
        (
            torch.ones(1, 4).to(torch.uint16),
            2,
            TypeError,
            "int64 (x.long() makes one), got torch.uint16",
        ),
        (torch.ones(1, 1, 1, 4).long(), 2, ValueError, "(B, N), (N,) or (B, H, W), got (1, 1"),
        (torch.ones(1, 4).long(), 0, ValueError, "num_labels: expected 1 to 2147483646, got 0"),
        (
            torch.ones(1, 4).long(),
            2**60,
            ValueError,
            "num_labels: expected 1 to 2147483646, got 1",
        ),
        (torch.ones(1).long().expand(2, 2**40), 2, ValueError, "expected at most 2147483647 elem"),
    ],
)
def test_layouts_refused(
    labels: Any, num_labels: int, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        SemanticLayout.build(labels, num_labels)
    assert message in str(caught.value)


def test_use_backend_refuses_an_unknown_name() -> None:
    with pytest.raises(ValueError, match="got 'tpu'"), use_backend("tpu"):
        pass


def test_the_map_refuses_to_show_nothing() -> None:
    query, key, _, *labels = make_inputs().arguments()
    with pytest.raises(ValueError, match="max_keys: expected at least 1, got 0"):
        semantic_attention_map(query, key, *labels, max_keys=0)
