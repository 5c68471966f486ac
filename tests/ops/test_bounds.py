# SPDX-License-Identifier: Apache-2.0
"""Bounds from running error analysis: right code stays within, wrong code does not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from scam.testing import (
    Inputs,
    ModulationInputs,
    assert_attention_within_bounds,
    assert_modulation_within_bounds,
    assert_within_bound,
    attention_bounds,
    away_from_kink,
    make_inputs,
    make_modulation_inputs,
    modulation_bounds,
    modulation_outcome,
    outcome,
)
from scam.testing.bounds import judge_attention, judge_modulation
from scam.testing.rounded import Rounded, softmax

EPS = torch.finfo(torch.float32).eps
Results = dict[str, Tensor]
ATTENTION: list[dict[str, Any]] = [
    {},
    {"empty": "uniform", "heads": 4, "key_heads": 2},
    {"shared_value": True, "scale": 0.05, "num_labels": 1},
    {"width": 1, "value_width": 7, "scale": -8.0},
]
MODULATION: list[dict[str, Any]] = [
    {},
    {"heads": 3, "extras": False, "negative_slope": 0.0},
    {"size": (3, 2), "channels": 43, "tokens": 2},
    {"size": (1, 1), "eps": 0.1},
]
DTYPES = [torch.float64, torch.float32, torch.bfloat16]


def apart(options: dict[str, Any], *names: str) -> tuple[dict[str, Any], dict[str, Any]]:
    chosen = {name: options[name] for name in names if name in options}
    return {name: option for name, option in options.items() if name not in names}, chosen


def attend(inputs: Inputs, **options: Any) -> Results:
    return outcome(inputs, backend="reference", **options)


def modulate(inputs: ModulationInputs, **options: Any) -> Results:
    return modulation_outcome(inputs, backend="reference", **options)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", ATTENTION, ids=str)
def test_attention_stays_within(options: dict[str, Any], dtype: torch.dtype, fused: str) -> None:
    made, called = apart(options, "empty", "scale")
    inputs = make_inputs(**made, dtype=dtype)
    for backend in ("reference", fused):
        part = assert_attention_within_bounds(inputs, backend=backend, **called)
        assert part < 1
        assert part > 0 or dtype == torch.float64


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("options", MODULATION, ids=str)
def test_modulation_stays_within(options: dict[str, Any], dtype: torch.dtype) -> None:
    made, called = apart(options, "eps", "negative_slope")
    inputs = make_modulation_inputs(**made, dtype=dtype)
    assert_modulation_within_bounds(inputs, backend="reference", **called)


@pytest.mark.parametrize("options", ATTENTION, ids=str)
def test_the_analysis_follows_the_attention(options: dict[str, Any]) -> None:
    """Its values come with the bounds: a bound of other maths would be none."""
    made, called = apart(options, "empty", "scale")
    inputs = make_inputs(**made, dtype=torch.float64)
    exact = attend(inputs, **called)
    for name, found in attention_bounds(inputs, **called).items():
        assert_within_bound(name, torch.where(exact[name].isinf(), exact[name], found.value),
                            exact[name], found.error)  # fmt: skip


@pytest.mark.parametrize("options", MODULATION, ids=str)
def test_the_analysis_follows_the_modulation(options: dict[str, Any]) -> None:
    made, called = apart(options, "eps", "negative_slope")
    inputs = make_modulation_inputs(**made, dtype=torch.float64)
    called["comparable"] = away_from_kink(inputs, **called)
    exact = modulate(inputs, **called)
    for name, found in modulation_bounds(inputs, **called).items():
        assert_within_bound(name, found.value, exact[name], found.error)


def rounded_to_tf32(tensor: Tensor) -> Tensor:
    return (tensor.view(torch.int32) + 0x1000 & ~0x1FFF).view(torch.float32)


def without_label(labels: Any, index: int) -> Any:
    labels = labels.clone()
    labels[:, index] = -1
    return labels


ATTENTION_FAULTS: dict[str, Callable[[Inputs], Results]] = {
    "a token is dropped": lambda i: attend(replace(i, key_labels=without_label(i.key_labels, 3))),
    "a query is dropped": lambda i: attend(
        replace(i, query_labels=without_label(i.query_labels, 3))
    ),
    "the scale is off by 1e-3": lambda i: attend(i, scale=16**-0.5 * 1.001),
    "an operand is rounded to TF32": lambda i: attend(replace(i, query=rounded_to_tf32(i.query))),
    "results in bf16": lambda i: {n: t.bfloat16().float() for n, t in attend(i).items()},
    "the gradients are 1e-5 too long": lambda i: {
        n: t * (1 + 1e-5 * n.startswith("grad")) for n, t in attend(i).items()
    },
}  # fmt: skip


@pytest.mark.parametrize("fault", ATTENTION_FAULTS)
def test_a_wrong_attention_is_caught(fault: str) -> None:
    inputs = make_inputs(num_labels=3)
    judge_attention(inputs, attend(inputs))
    with pytest.raises(AssertionError):
        judge_attention(inputs, ATTENTION_FAULTS[fault](inputs))


def test_two_hundredths_that_all_numbers_share_are_caught_in_bf16_too() -> None:
    """Each number is allowed more, but not all of them in one direction."""
    inputs = make_inputs(queries=400, keys=300, width=64, dtype=torch.bfloat16)
    judge_attention(inputs, attend(inputs))
    scaled = attend(inputs)
    scaled["out"] = (scaled["out"].double() * 1.02).bfloat16()
    with pytest.raises(AssertionError, match="signed bias"):
        judge_attention(inputs, scaled)


def test_a_softmax_without_its_maximum_is_caught() -> None:
    inputs = make_inputs(num_labels=1, keys=6)
    scale = 40.0
    found = attend(inputs, scale=scale)
    logits = (inputs.query @ inputs.key.mT * scale).exp()  # inf
    with pytest.raises(AssertionError, match="nan"):
        judge_attention(
            inputs, found | {"out": logits @ inputs.value / logits.sum(-1, True)}, scale=scale
        )


def nearly_decided(dtype: torch.dtype = torch.float32) -> ModulationInputs:
    """A pixel whose softmax leaves 2e-4 to the second of two tokens: gradients cancel."""
    inputs = make_modulation_inputs(
        batch=1, channels=2, size=(1, 22), tokens=2, num_labels=2, dtype=dtype
    )
    sees = (torch.arange(22) == 14).long() - 1
    bias = torch.tensor([0.0, 8.5], dtype=dtype).expand(1, 1, 2)
    return replace(
        inputs,
        labels=sees.view(1, 1, 22),
        token_labels=torch.zeros(1, 2, dtype=torch.int64),
        key_bias=bias,
    )


def by_logsumexp(inputs: ModulationInputs, forget_mean: bool = False) -> Tensor:
    """grad_key_bias as kernels find it, in the inputs' dtype: probabilities from logsumexp."""
    options: dict[str, Any] = {"comparable": away_from_kink(inputs), "negative_slope": 1.0}
    grad_gamma = modulate(inputs, **options)["grad_gamma"]
    grad_beta = modulate(inputs, **options)["grad_beta"]
    pixel = (inputs.x + inputs.position)[0, :, 0, 14]
    logits = inputs.keys[0, 0] @ pixel + inputs.key_bias[0, 0]
    weights = (logits - logits.logsumexp(0)).exp()
    by_norm, by_one = grad_gamma[0, 0, 1] / weights[1], grad_beta[0, 0, 1] / weights[1]
    reads = inputs.gamma[0, 0] @ by_norm + inputs.beta[0, 0] @ by_one
    return weights * (reads - (0 if forget_mean else (weights * reads).sum()))


def test_a_cancelling_gradient_is_held_by_its_terms() -> None:
    """Next to their own size such errors are large: no multiple of it tells right from wrong."""
    inputs = nearly_decided()
    options: dict[str, Any] = {"comparable": away_from_kink(inputs), "negative_slope": 1.0}
    wide = modulate(inputs.to(torch.float64), rounded_to=torch.float32, **options)
    exact, bound = wide["grad_key_bias"], modulation_bounds(inputs, **options)["grad_key_bias"]
    found = by_logsumexp(inputs).expand(1, 1, 2)
    assert assert_within_bound("grad_key_bias", found, exact, bound.error) < 0.5
    assert bound.error.max() > 1000 * EPS * exact.abs().max()
    wrong = by_logsumexp(inputs, forget_mean=True).expand(1, 1, 2)
    with pytest.raises(AssertionError, match="worst at"):
        assert_within_bound("grad_key_bias", wrong, exact, bound.error)


def one_token_less(inputs: ModulationInputs) -> ModulationInputs:
    return replace(inputs, token_labels=without_label(inputs.token_labels, 3))


def unbiased(results: Results, inputs: ModulationInputs) -> Results:
    pixels = inputs.x[0, 0].numel()
    return results | {"grad_x": results["grad_x"] * (1 - 1 / pixels) ** 0.5}


MODULATION_FAULTS: dict[str, Callable[..., Results]] = {
    "a token is dropped": lambda i, **o: modulate(one_token_less(i), **o),
    "keys are off by 1e-3": lambda i, **o: modulate(replace(i, keys=i.keys * 1.001), **o),
    "eps is forgotten": lambda i, **o: modulate(i, **{**o, "eps": 0.0}),
    "the slope is off by 1e-3": lambda i, **o: modulate(i, **{**o, "negative_slope": 0.2002}),
    "position is forgotten": lambda i, **o: modulate(replace(i, position=i.position * 0), **o),
    "the variance is unbiased": lambda i, **o: unbiased(modulate(i, **o), i),
    "a channel's sum lacks its last pixel": lambda i, **o: modulate(
        i, **{**o, "comparable": o["comparable"] & (torch.arange(6) < 5)}
    ),
}


@pytest.mark.parametrize("fault", MODULATION_FAULTS)
def test_a_wrong_modulation_is_caught(fault: str) -> None:
    inputs = make_modulation_inputs(num_labels=3)
    options = {"comparable": away_from_kink(inputs)}
    judge_modulation(inputs, modulate(inputs, **options), **options)
    with pytest.raises(AssertionError):
        judge_modulation(inputs, MODULATION_FAULTS[fault](inputs, **options), **options)


def number(*values: float) -> Rounded:
    return Rounded.exact(torch.tensor(values, dtype=torch.float64), torch.float32)


def test_errors_follow_the_terms_and_not_the_sum() -> None:
    a, b = number(1.0, 1e-3), number(1.0, 0.0)
    apart = (a * a) - b
    assert apart.value.tolist() == [0.0, pytest.approx(1e-6)]
    assert apart.error.tolist() == pytest.approx([EPS, 2e-6 * EPS])
    total = number(1.0, -1.0, 1e-3).sum(-1)
    assert float(total.error) == pytest.approx(2.001 * EPS)
    product = a.reshaped(lambda t: t[None]) @ apart.reshaped(lambda t: t[:, None])
    assert float(product.error) == pytest.approx(EPS, rel=1e-3)


def test_a_softmax_of_one_is_exact_but_for_logsumexp() -> None:
    logits = number(3.0, 5.0).reshaped(lambda t: t[None])
    logits = replace(logits, error=torch.ones(1, 2).double())
    weights, lse = softmax(logits, torch.tensor([[False, True]]))
    assert weights.value.tolist() == [[0.0, 1.0]]
    assert weights.error.tolist()[0] == pytest.approx([0, 2 * EPS])  # of exp and of the sum
    assert float(lse.value) == 5
    assert float(lse.error) == pytest.approx(1 + 6 * EPS, abs=EPS / 2)  # of lse 5, of the sum 1


def test_numbers_too_small_for_a_dtype_may_be_lost() -> None:
    """A kernel's exp gives 0 below the smallest normal number."""
    tiny = torch.finfo(torch.float32).smallest_normal
    weights, _ = softmax(
        number(0.0, -88.0).reshaped(lambda t: t[None]), torch.tensor([[True, True]])
    )
    lost = weights.value[0, 1]
    assert 0 < lost < tiny
    assert weights.error[0, 1] > lost
    assert float(number(1e-30).stored(torch.float16).error) > 1e-30
    assert float(number(0.0).stored(torch.float16).error) == 0


def test_what_cannot_be_rounded_must_be_exact() -> None:
    exact = torch.tensor([0.0, 1.0]).double()
    bound = torch.tensor([0.0, 1e-7]).double()
    assert assert_within_bound("out", exact.float(), exact, bound) == 0
    with pytest.raises(AssertionError, match=r"worst at \(0,\)"):
        assert_within_bound("out", torch.tensor([1e-30, 1.0]), exact, bound)
    with pytest.raises(AssertionError, match=r"worst at \(1,\): nan"):
        assert_within_bound("out", torch.tensor([0.0, torch.nan]), exact, bound)
    with pytest.raises(AssertionError, match="shape"):
        assert_within_bound("out", torch.zeros(3), exact, bound)


def test_an_error_that_all_rows_share_is_caught_but_for_equal_rows() -> None:
    """Queries that see all keys alike get the same row, rounded alike."""
    equal = torch.full((1000, 2), 0.3).double()
    rows = torch.linspace(0.2, 0.4, 2000).double().reshape(1000, 2)
    bound = torch.full((1000, 2), 1e-7).double()
    assert assert_within_bound("out", (equal + 6e-7).float(), equal, bound) < 0.9
    with pytest.raises(AssertionError, match="signed bias"):
        assert_within_bound("out", (rows + 6e-7).float(), rows, bound)
    signs = torch.arange(1000)[:, None] % 2 * 2 - 1  # of each row as a whole
    assert assert_within_bound("out", (rows + 6e-7 * signs).float(), rows, bound) < 0.9
