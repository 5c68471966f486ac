# SPDX-License-Identifier: Apache-2.0
"""Scores far from 0, where rounding them shows: kernels may err as eager code errs, no more.

For the interpreter and the emulator alike. Only the output has a gradient: one of lse would hide
what a weight that is a little wrong does to the small gradient of a nearly certain choice.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from scam.ops import semantic_cross_attention, semantic_modulation
from scam.testing import Inputs, make_inputs, make_modulation_inputs, poisoned_memory

SCORES = (60.0, 600.0, 6e3, 6e4, 6e8)
FEW_AND_MANY = (  # queries, keys, labels: keys of a label in one block and in several, both sides
    (70, 9, 3),
    (9, 70, 3),
    (80, 70, 2),
    (70, 80, 2),
)
SATURATED: dict[str, dict[str, Any]] = {
    "few": {"tokens": 10, "num_labels": 4},
    "heads": {"tokens": 24, "num_labels": 4, "heads": 2},
    "many": {"tokens": 40, "num_labels": 2},
}


def check_attention(
    score: float, sizes: tuple[int, int, int], spread: bool, dtype: torch.dtype, backend: str
) -> None:
    """Scores up to ``score`` (``spread``), or all near it and about 1 apart."""
    queries, keys, labels = sizes
    inputs = make_inputs(batch=1, heads=1, queries=queries, keys=keys, num_labels=labels)
    if spread:
        inputs = replace(inputs, query=inputs.query * (score / 12))
    else:
        inputs.query[..., 0], inputs.key[..., 0] = 1, score
    inputs = inputs.to(dtype)
    exact, eager = _attend(inputs.to(torch.float64), "reference"), _attend(inputs, "reference")
    with poisoned_memory():
        actual = _attend(inputs, backend)
    for name in exact:
        # In channel 0 of a common score the gradients are its product with a sum of 0.
        parts = (t[name] if spread else t[name][..., 1:] for t in (actual, exact, eager))
        # In 16 bits, where latents read pixels, the result itself enters gradients, rounded.
        rounded = dtype if name.startswith("grad") and queries < keys else torch.float32
        size = float(inputs.query.abs().max()) if (name, backend) == ("grad_key", "cuda") else 1
        _assert_as_eager(name, *parts, rounded, size)
    assert inputs.value is not None
    assert actual["out"].abs().max() <= inputs.value.abs().max(), "weights above 1"


def _attend(inputs: Inputs, backend: str) -> dict[str, Tensor]:
    leaves = inputs.leaves()
    out = semantic_cross_attention(*leaves.arguments(), scale=1.0, backend=backend)
    random = torch.Generator().manual_seed(1)
    out.backward(torch.randn(out.shape, generator=random).bfloat16().to(out.dtype))
    assert leaves.value is not None
    named = {"query": leaves.query.grad, "key": leaves.key.grad, "value": leaves.value.grad}
    gradients = {f"grad_{name}": grad for name, grad in named.items() if grad is not None}
    return {"out": out.detach(), **gradients}


def check_modulation(which: str, offset: float, dtype: torch.dtype, backend: str) -> None:
    """Tokens that choose sharply, of x far from 0."""
    drawn = make_modulation_inputs(batch=1, size=(6, 8), extras=False, **SATURATED[which])
    inputs = replace(drawn, x=drawn.x + offset, keys=drawn.keys * 100)
    inputs = inputs.to(dtype)
    runs = []
    for given, name in ((inputs, backend), (inputs.to(torch.float64), "reference"),
                        (inputs, "reference")):  # fmt: skip
        leaves = given.leaves()
        with poisoned_memory():
            y = semantic_modulation(**leaves.arguments(), negative_slope=1.0, backend=name)
        random = torch.Generator().manual_seed(1)
        y.backward(torch.randn(y.shape, generator=random).bfloat16().to(y.dtype))
        runs.append({"y": y.detach()} | leaves.gradients())
    for name in runs[0]:
        parts = (run[name] for run in runs)
        _assert_as_eager(name, *parts, torch.float32)


def _assert_as_eager(
    name: str, actual: Tensor, exact: Tensor, eager: Tensor, rounded: torch.dtype, size: float = 1
) -> None:
    """Errors of all numbers together. ``rounded``: what a term of about ``size`` is rounded to
    before it is summed; where the sum is nearly 0, as gradients of certain choices are, that is
    what is left."""
    error, allowed = ((t.double() - exact).norm() for t in (actual, eager))
    rounding = 4 * torch.finfo(actual.dtype).eps * exact.norm()
    terms = 8 * torch.finfo(rounded).eps * exact.numel() ** 0.5 * size
    bound = 3 * allowed + rounding + terms
    assert error <= bound, f"{name}: {float(error):.2e} > {float(bound):.2e}"


def check_bad_gradients_of_blind_pixels(dtype: torch.dtype, backend: str) -> None:
    """NaN in the gradient of what sees nothing reaches no token."""
    for queries, keys in ((48, 24), (24, 48)):
        inputs = make_inputs(queries=queries, keys=keys, dtype=dtype)
        assert isinstance(inputs.query_labels, Tensor)
        assert isinstance(inputs.key_labels, Tensor)
        seen = (inputs.query_labels[..., None] == inputs.key_labels[:, None]).any(-1)
        blind = ~seen | (inputs.query_labels < 0)
        assert blind.any()
        leaves = inputs.leaves()
        out = semantic_cross_attention(*leaves.arguments(), backend=backend)
        out.backward(torch.ones_like(out).masked_fill(blind[:, None, :, None], torch.nan))
        assert leaves.value is not None
        for tensor in (leaves.query, leaves.key, leaves.value):
            assert tensor.grad is not None
            assert tensor.grad.isfinite().all()
    drawn = make_modulation_inputs(size=(6, 8), extras=False, dtype=dtype)
    blind = ~(drawn.labels.flatten(1)[..., None] == drawn.token_labels[:, None]).any(-1)
    blind |= drawn.labels.flatten(1) < 0
    pixels = drawn.leaves()
    y = semantic_modulation(**pixels.arguments(), backend=backend)
    y.backward(torch.ones_like(y).masked_fill(blind.view(2, 1, 6, 8), torch.nan))
    for name in ("keys", "key_bias", "gamma", "beta"):
        assert pixels.gradients()[f"grad_{name}"].isfinite().all(), name


def check_bad_scores(bad: float, dtype: torch.dtype, backend: str) -> None:
    """NaN and infinities among the scores of a query make its whole row NaN, and lse."""
    for queries, keys in ((48, 24), (24, 48), (30, 60), (60, 30)):
        inputs = make_inputs(batch=1, queries=queries, keys=keys, num_labels=3, dtype=dtype)
        assert isinstance(inputs.query_labels, Tensor)
        assert isinstance(inputs.key_labels, Tensor)
        spoilt = inputs.key.clone()
        spoilt[:, :, int((inputs.key_labels[0] == 1).nonzero()[0])] = bad
        leaves = replace(inputs, key=spoilt).leaves()
        out, lse = semantic_cross_attention(*leaves.arguments(), return_lse=True, backend=backend)
        hit = inputs.query_labels[0] == 1
        assert out[:, :, hit].isnan().all()
        assert lse[:, :, hit].isnan().all()
        assert out[:, :, ~hit].isfinite().all()
        out.sum().backward()
        assert leaves.query.grad is not None
        assert leaves.query.grad[:, :, hit].isnan().all()
        assert leaves.query.grad[:, :, ~hit].isfinite().all()
