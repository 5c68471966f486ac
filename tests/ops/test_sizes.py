# SPDX-License-Identifier: Apache-2.0
"""Sizes at the edge, as views of stride 0: an error in words, or done at once."""

from typing import Any

import pytest
import torch
from torch import Tensor

from scam.ops import semantic_attention_map, semantic_cross_attention, semantic_modulation

HUGE = 2**60


def view(*shape: int) -> Tensor:
    return torch.zeros(1).expand(*shape)


def labels(*shape: int) -> Tensor:
    return torch.zeros(1, dtype=torch.int64).expand(*shape)


def attend(
    batch: int = 1, heads: int = 1, kv: int = 1, n: int = 1, m: int = 1, d: int = 1, dv: int = 1
) -> dict[str, Any]:
    given = view(batch, heads, n, d), view(batch, kv, m, d), view(batch, kv, m, dv)
    return dict(zip(("query", "key", "value"), given, strict=True)) | {
        "query_labels": labels(batch, n),
        "key_labels": labels(batch, m),
    }


def modulate(
    batch: int = 1, c: int = 1, h: int = 1, w: int = 1, heads: int = 1, m: int = 1
) -> dict[str, Any]:
    tokens = {name: view(batch, heads, m, c) for name in ("keys", "gamma", "beta")}
    return {
        "x": view(batch, c, h, w),
        "labels": labels(batch, h, w),
        **tokens,
        "key_bias": view(batch, heads, m),
        "token_labels": labels(batch, m),
    }


TOO_LARGE = [{"d": HUGE}, {"dv": HUGE}, {"heads": HUGE}, {"heads": HUGE, "kv": HUGE}, {"n": HUGE},
             {"m": HUGE}, {"batch": HUGE}, {"d": HUGE, "n": 0}, {"d": HUGE, "m": 0, "dv": 3},
             {"batch": 0, "d": HUGE}, {"heads": 2**30, "m": 2**30}]  # fmt: skip


@pytest.mark.parametrize("sizes", TOO_LARGE, ids=str)
def test_an_attention_too_large_is_refused(backend: str, sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"channels below 2\^48, got query \("):
        semantic_cross_attention(**attend(**sizes), backend=backend)


MAPS_TOO_LARGE = [{"c": HUGE}, {"h": 2**30, "w": 2**30}, {"h": 2**31, "w": 2**31}, {"m": HUGE},
                  {"heads": HUGE}, {"batch": HUGE}, {"c": HUGE, "h": 0}]  # fmt: skip


@pytest.mark.parametrize("sizes", MAPS_TOO_LARGE, ids=str)
def test_a_modulation_too_large_is_refused(sizes: dict[str, int]) -> None:
    for backend in ("cpu", "reference"):
        with pytest.raises(ValueError, match=r"channels below 2\^48, got x \("):
            semantic_modulation(**modulate(**sizes), backend=backend)


def test_no_pixels_in_many_images_are_done_at_once(fused: str) -> None:
    many = 2**32
    out = semantic_cross_attention(**attend(many, n=0, m=0), backend=fused)
    assert out.shape == (many, 1, 0, 1)
    assert semantic_cross_attention(**attend(many, n=0, m=3), backend=fused).shape == out.shape


@pytest.mark.parametrize("empty", ["zero", "uniform"])
@pytest.mark.parametrize("sizes", [{"n": 0}, {"m": 0}, {"n": 0, "m": 0}, {"batch": 0}], ids=str)
def test_gradients_of_nothing_are_zeros(backend: str, sizes: dict[str, int], empty: str) -> None:
    given = attend(**{"batch": 2, "heads": 2, "n": 3, "m": 4, "d": 5, "dv": 5, **sizes})
    leaves = [given[name].clone().requires_grad_() for name in ("query", "key", "value")]
    given |= dict(zip(("query", "key", "value"), leaves, strict=True))
    semantic_cross_attention(**given, empty=empty, backend=backend).sum().backward()
    for leaf in leaves:
        assert leaf.grad is not None
        assert not leaf.grad.any()


def test_more_slots_than_keys_cost_nothing() -> None:
    given = attend(n=3, m=2)
    asked = (given[name] for name in ("query", "key", "query_labels", "key_labels"))
    weights = semantic_attention_map(*asked, max_keys=10**6)
    assert weights.shape == (1, 1, 3, 10**6)
    assert weights.sum(-1).tolist() == [[[1.0, 1.0, 1.0]]]
