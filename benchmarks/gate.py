# SPDX-License-Identifier: Apache-2.0
"""The oracle gate: a time counts only if result and gradients agree with fp64."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.peers import Attend
from scam.ops import semantic_cross_attention
from scam.testing import Inputs, assert_within_budget

ROUNDINGS = 16
"""What the reference keeps in fp32 (weights, partial sums) others round a few times more."""
ORACLE_PAIRS = {"cpu": 3 << 23, "cuda": 3 << 27}
"""Pairs of query and key up to which the dense fp64 oracle sees all of a problem."""

WRONG = "wrong"
"""What the reason of a contender that missed the oracle begins with."""

Results = dict[str, Tensor]


def sample(inputs: Inputs) -> Inputs:
    """The problem itself, or every q-th pixel of it where the oracle would not fit."""
    pairs = inputs.query.shape[0] * inputs.query.shape[2] * inputs.key.shape[2]
    every = -(-pairs // ORACLE_PAIRS[inputs.query.device.type])
    if every == 1:
        return inputs
    if inputs.query.shape[2] >= inputs.key.shape[2]:
        labels = inputs.query_labels
        assert isinstance(labels, Tensor)
        query = _thinned(inputs.query, every)
        return replace(inputs, query=query, query_labels=labels[:, ::every].contiguous())
    labels = inputs.key_labels
    assert isinstance(labels, Tensor)
    value = None if inputs.value is None else _thinned(inputs.value, every)
    key = _thinned(inputs.key, every)
    return replace(inputs, key=key, value=value, key_labels=labels[:, ::every].contiguous())


def _thinned(tensor: Tensor, every: int) -> Tensor:
    """Every q-th item of (B, H, N, D), in the same order of axes in memory."""
    thin = tensor[:, :, ::every]
    return thin.mT.contiguous().mT if tensor.stride(2) == 1 else thin.contiguous()


def attention_results(attend: Attend, inputs: Inputs, backward: bool) -> Results:
    """Output and, if asked for, gradients under a fixed random gradient of the output."""
    if not backward:
        with torch.no_grad():
            return {"out": attend(inputs)}
    leaves = inputs.leaves()
    out = attend(leaves)
    named = {"grad_query": leaves.query, "grad_key": leaves.key}
    if leaves.value is not None:
        named["grad_value"] = leaves.value
    grads = torch.autograd.grad(out, list(named.values()), gradient_like(out))
    return {"out": out.detach(), **dict(zip(named, grads, strict=True))}


def gradient_like(out: Tensor) -> Tensor:
    """Numbers in [-1, 1] that every dtype holds exactly, the same in each run, laid out as out."""
    random = torch.Generator().manual_seed(1)
    drawn = torch.randint(-8, 9, out.shape, generator=random)
    return torch.empty_like(out).copy_(drawn / 8)


def reference(inputs: Inputs) -> Tensor:
    """The oracle's and the yardstick's code."""
    return semantic_cross_attention(*inputs.arguments(), backend="reference")


class Gate:
    """What fp64 says about one problem, and the error that eager code makes on it.

    Args:
        results: (inputs, dtype or None for the problem's own) -> the reference's results.
    """

    def __init__(self, results: Callable[[torch.dtype | None], Results]) -> None:
        self._exact = results(torch.float64)
        self._eager = results(None)

    def check(self, found: Results) -> dict[str, float]:
        """Raise AssertionError beyond the budget, else return the largest relative errors."""
        errors: dict[str, float] = {}
        assert found.keys() == self._exact.keys(), f"{sorted(found)} != {sorted(self._exact)}"
        for name, exact in self._exact.items():
            assert_within_budget(name, found[name], exact, self._eager[name], roundings=ROUNDINGS)
            largest = float(exact.abs().max()) or 1.0
            errors[name] = float((found[name].double() - exact).abs().max()) / largest
        return errors


def attention_gate(inputs: Inputs, backward: bool) -> Gate:
    """The gate of one problem of the op."""

    def results(dtype: torch.dtype | None) -> Results:
        return attention_results(
            reference, inputs if dtype is None else inputs.to(dtype), backward
        )

    return Gate(results)


def first_line(error: BaseException) -> str:
    """A reason short enough for a table."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = f"{WRONG}: {text}" if isinstance(error, AssertionError) else text
    return text if len(text) <= 200 else f"{text[:197]}..."
