# SPDX-License-Identifier: Apache-2.0
"""What is not finite shows where it is seen, and nowhere else."""

from typing import Any

import pytest
import torch
from torch import Tensor

from scam.ops import semantic_attention_map, semantic_cross_attention, semantic_modulation
from scam.testing import MAPS, make_inputs, make_modulation_inputs

NAN, INF = torch.nan, torch.inf
SIDES = [
    {"queries": 700, "keys": 24, "memory": "channels_first", "num_labels": 2},
    {"queries": 700, "keys": 24},
    {"queries": 24, "keys": 700},
    {"queries": 500, "keys": 400, "num_labels": 2},
]


def seen_by(inputs: Any) -> tuple[Tensor, Tensor]:
    """Of image 0: a key that is seen, and who sees it."""
    queries, keys = inputs.query_labels[0], inputs.key_labels[0]
    visible = (queries[:, None] == keys) & (queries >= 0)[:, None]
    key = int(visible.any(0).nonzero()[-1])
    return key, visible[:, key]


@pytest.mark.parametrize("number", [NAN, INF, -INF])
@pytest.mark.parametrize("side", SIDES, ids=str)
def test_a_key_that_is_not_finite_shows(isa: str, side: dict[str, Any], number: float) -> None:
    inputs = make_inputs(**side, batch=1)
    key, sees = seen_by(inputs)
    inputs.key[0, :, key] = number
    out, lse = semantic_cross_attention(*inputs.arguments(), return_lse=True, backend="cpu")
    if number != number:
        assert out[0][:, sees].isnan().all()
        assert lse[0][:, sees].isnan().all()
    assert out[0][:, ~sees].isfinite().all()
    plain = semantic_cross_attention(*inputs.arguments(), backend="reference")
    assert torch.equal(out[0][:, sees].isnan(), plain[0][:, sees].isnan())


@pytest.mark.parametrize("side", SIDES, ids=str)
@pytest.mark.parametrize("number", [NAN, INF])
def test_a_query_or_value_that_is_not_finite_shows(
    isa: str, side: dict[str, Any], number: float
) -> None:
    inputs = make_inputs(**side, batch=1)
    key, sees = seen_by(inputs)
    query = int(sees.nonzero()[0])
    inputs.query[0, :, query] = number
    out, lse = semantic_cross_attention(*inputs.arguments(), return_lse=True, backend="cpu")
    assert not out[0, :, query].isfinite().any()
    assert not (lse[0, :, query] == -INF).any()
    assert inputs.value is not None
    inputs.query[0, :, query], inputs.value[0, :, key] = 0.0, NAN
    out = semantic_cross_attention(*inputs.arguments(), backend="cpu")
    assert out[0][:, sees].isnan().all()
    assert out[0][:, ~sees].isfinite().all()


@pytest.mark.parametrize("keys", [1, 3, 100])
def test_scores_of_minus_infinity_alone_are_not_mistaken_for_nothing_seen(
    isa: str, backend: str, keys: int
) -> None:
    for query, key in ((200, keys), (2, 200)):
        q, k = torch.full((1, 1, query, 4), INF), -torch.ones(1, 1, key, 4)
        labels = (torch.zeros(1, n, dtype=torch.int64) for n in (query, key))
        _, lse = semantic_cross_attention(q, k, None, *labels, return_lse=True, backend=backend)
        assert (lse != -INF).all() or backend == "toy"


@pytest.mark.parametrize("side", SIDES, ids=str)
@pytest.mark.parametrize("number", [NAN, INF])
def test_gradients_at_queries_that_see_nothing_reach_nobody(
    backend: str, side: dict[str, Any], number: float
) -> None:
    inputs = make_inputs(**side).leaves()
    out = semantic_cross_attention(*inputs.arguments(), backend=backend)
    blind = ~((inputs.query_labels[..., None] == inputs.key_labels[:, None]).any(-1))
    blind |= inputs.query_labels < 0
    assert blind.any()
    given = torch.randn_like(out).masked_fill(blind[:, None, :, None], number)
    out.backward(given)
    for leaf in (inputs.query, inputs.key, inputs.value):
        assert leaf is not None
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()


@pytest.mark.parametrize("extras", [False, True])
@pytest.mark.parametrize("name", ["cpu", "reference"])
def test_gradients_at_pixels_that_see_nothing_reach_no_token(name: str, extras: bool) -> None:
    inputs = make_modulation_inputs(extras=extras).leaves()
    y = semantic_modulation(**inputs.arguments(), backend=name)
    given = torch.randn_like(y).masked_fill((inputs.labels < 0)[:, None], NAN)
    y.backward(given)
    for token in (inputs.keys, inputs.key_bias, inputs.gamma, inputs.beta):
        assert token.grad is not None
        # those of pixels that see something pass the norm, whose means are NaN, on to x alone
        assert token.grad.isfinite().all()


@pytest.mark.parametrize("memory", MAPS)
@pytest.mark.parametrize("name", ["x", "keys", "key_bias", "gamma", "beta", "position", "noise"])
def test_what_is_not_finite_shows_in_the_modulation(isa: str, name: str, memory: str) -> None:
    inputs = make_modulation_inputs(batch=1, size=(16, 16), memory=memory)
    tensor = getattr(inputs, name)
    token = int((inputs.token_labels[0] == 1).nonzero()[0])
    where = (0, 0, 3, 3) if name in ("x", "noise") else (0, 3, 3)
    tensor[(0, 0, token) if name in ("keys", "key_bias", "gamma", "beta") else where] = NAN
    ours, plain = (
        semantic_modulation(**inputs.arguments(), backend=backend).isnan()
        for backend in ("cpu", "reference")
    )
    seeing = (inputs.labels == 1)[:, None].expand_as(ours)
    assert ours.any()
    assert torch.equal(ours & seeing, plain & seeing)
    assert (ours <= plain).all()


def test_a_map_of_weights_shows_it() -> None:
    inputs = make_inputs(batch=1)
    key, sees = seen_by(inputs)
    inputs.key[0, :, key] = NAN
    query, keys, _, *labels = inputs.arguments()
    weights = semantic_attention_map(query, keys, *labels, max_keys=24)
    assert weights[0][:, sees].isnan().any(-1).all()
    assert weights[0][:, ~sees].isfinite().all()
