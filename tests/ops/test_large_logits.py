# SPDX-License-Identifier: Apache-2.0
"""Large logits: errors as of the plain form, weights never above 1, whatever the layouts."""

from typing import Any

import pytest
import torch
from torch import Tensor

from scam.ops import semantic_attention_map, semantic_cross_attention
from scam.testing import (
    assert_attention_within_bounds,
    assert_modulation_within_bounds,
    make_inputs,
    make_modulation_inputs,
    modulation_outcome,
    outcome,
)

REACHES = [60.0, 600.0, 6e3, 6e4]
SIDES = {"wide queries": {"queries": 900, "keys": 40}, "wide keys": {"queries": 40, "keys": 900}}
MEMORY = ("channels_first", "contiguous")  # a map, rows


def assert_as_plain(ours: dict[str, Tensor], plain: dict[str, Tensor], exact: dict[str, Tensor]):
    for name, expected in exact.items():
        if name != "lse":
            eps = torch.finfo(ours[name].dtype).eps
            error, allowed = ((t[name] - expected).norm() for t in (ours, plain))
            assert error <= 4 * allowed + 8 * eps * expected.norm(), name


@pytest.mark.parametrize("reach", REACHES)
@pytest.mark.parametrize("grad_memory", MEMORY)
@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize("side", SIDES)
def test_gradients_are_as_exact_as_the_plain_forms(
    isa: str, side: str, memory: str, grad_memory: str, reach: float
) -> None:
    inputs = make_inputs(**SIDES[side], batch=4, memory=memory, reach=reach)
    how: dict[str, Any] = {"grad_memory": grad_memory, "rounded_to": torch.float32}
    exact = outcome(inputs.to(torch.float64), backend="reference", **how)
    runs = (outcome(inputs, backend=name, **how) for name in ("cpu", "reference"))
    if reach < 1e4:  # beyond, a few undecided rows make the whole error
        assert_as_plain(*runs, exact)
    assert_attention_within_bounds(inputs, backend="cpu", grad_memory=grad_memory)


@pytest.mark.parametrize(
    "more",
    [
        {"heads": 4, "key_heads": 2, "width": 31, "value_width": 7},
        {"empty": "uniform", "dtype": torch.bfloat16},
        {"shared_value": True, "offset": 30.0},
        {"num_labels": 2, "keys": 300, "queries": 400},  # more keys of a label than are held
        {"dtype": torch.float64, "memory": "channels_first", "grad_memory": "channels_last"},
    ],
    ids=str,
)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("reach", [600.0, 1e5])
def test_other_problems_stay_within_their_bounds(
    side: str, more: dict[str, Any], reach: float
) -> None:
    made = {**SIDES[side], "reach": reach, **more}
    called = {name: made.pop(name) for name in ("empty", "grad_memory") if name in made}
    assert_attention_within_bounds(make_inputs(**made), backend="cpu", **called)


@pytest.mark.parametrize("memory", ["channels_first", "channels_last"])
@pytest.mark.parametrize("reach", [60.0, 600.0, 6e4])
@pytest.mark.parametrize("heads", [1, 3])
def test_modulation_by_saturated_keys_far_from_zero(
    isa: str, memory: str, reach: float, heads: int
) -> None:
    inputs = make_modulation_inputs(
        size=(24, 24), heads=heads, memory=memory, reach=reach, offset=30.0, extras=False
    )
    how: dict[str, Any] = {"rounded_to": torch.float32, "negative_slope": 1.0}
    exact = modulation_outcome(inputs.to(torch.float64), backend="reference", **how)
    runs = (modulation_outcome(inputs, backend=name, **how) for name in ("cpu", "reference"))
    assert_as_plain(*runs, exact)
    assert_modulation_within_bounds(inputs, backend="cpu", negative_slope=1.0)


@pytest.mark.parametrize("reach", [1e5, 6e8])
@pytest.mark.parametrize("grad_memory", MEMORY)
@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize("side", SIDES)
def test_no_weight_exceeds_1(
    isa: str, side: str, memory: str, grad_memory: str, reach: float
) -> None:
    """Seen in the gradient of values: with ones from above, each is a sum of weights."""
    inputs = make_inputs(**SIDES[side], memory=memory, reach=reach).leaves()
    out = semantic_cross_attention(*inputs.arguments(), backend="cpu")
    assert inputs.value is not None
    assert out.abs().max() <= inputs.value.abs().max() * 1.00001
    ones = torch.ones_like(out.mT).mT if grad_memory == "channels_first" else torch.ones(out.shape)
    out.backward(ones)
    assert inputs.value.grad is not None
    sees = (inputs.query_labels[:, :, None] == inputs.key_labels[:, None, :]).any(-1)
    sees &= inputs.query_labels >= 0
    total, seeing = inputs.value.grad[:, 0, :, 0].sum(-1), sees.sum(-1).float()
    torch.testing.assert_close(total, seeing, rtol=1e-5, atol=1e-5)
    if reach == 6e8:  # decided: nothing is left to the scores' gradients
        assert inputs.query.grad is not None
        assert inputs.query.grad.abs().max() <= 1e-3 * inputs.key.abs().max()


@pytest.mark.parametrize("cut", [1, 8])
@pytest.mark.parametrize("reach", [60.0, 6e4, 6e8])
def test_maps_of_weights_do_not_exceed_1(reach: float, cut: int) -> None:
    inputs = make_inputs(**SIDES["wide queries"], reach=reach)
    query, key, _, *labels = inputs.arguments()
    weights = semantic_attention_map(query, key, *labels, max_keys=cut)
    assert weights.max() <= 1
    exact = semantic_attention_map(query.double(), key.double(), *labels, max_keys=cut)
    torch.testing.assert_close(weights.double(), exact, rtol=0, atol=min(1.0, 1e-6 * reach))


def test_a_kernel_that_reads_weights_off_lse_alone_is_caught(toy: str) -> None:
    assert_attention_within_bounds(make_inputs(), backend=toy)
    with pytest.raises(AssertionError):
        assert_attention_within_bounds(
            make_inputs(**SIDES["wide queries"], reach=6e3), backend=toy
        )
