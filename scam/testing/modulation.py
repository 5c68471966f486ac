# SPDX-License-Identifier: Apache-2.0
"""Inputs of the modulation, and its results held against an fp64 oracle."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scam.ops import Labels, semantic_modulation
from scam.testing.budget import assert_within_budget
from scam.testing.maps import Arguments, drawn_gradient, lay_out_map


@dataclass(frozen=True)
class ModulationInputs(Arguments):
    """Arguments of :func:`scam.ops.semantic_modulation`, shapes and dtypes as there."""

    constant = ("labels", "token_labels", "position", "noise")

    x: Tensor
    labels: Labels
    keys: Tensor
    key_bias: Tensor
    gamma: Tensor
    beta: Tensor
    token_labels: Labels
    position: Tensor | None = None
    default_gamma: Tensor | None = None
    default_beta: Tensor | None = None
    noise: Tensor | None = None
    noise_scale: Tensor | None = None


def make_modulation_inputs(
    *,
    batch: int = 2,
    heads: int = 1,
    channels: int = 16,
    size: tuple[int, int] = (7, 6),
    tokens: int = 24,
    num_labels: int = 5,
    memory: str = "channels_first",
    extras: bool = True,
    reach: float | None = None,
    offset: float = 0.5,
    label_dtype: torch.dtype = torch.int64,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    seed: int = 0,
) -> ModulationInputs:
    """Draw inputs: unsorted labels, some ignored (in signed dtypes), the last without tokens.

    ``memory`` lays out x: ``channels_first``, ``channels_last``, or ``sliced`` out of a wider map
    whose other numbers are NaN. ``extras``: whether position, defaults and noise are given.
    ``reach`` is about the largest score that x and the keys give, ``offset`` the mean of x.
    """
    random = torch.Generator().manual_seed(seed)
    height, width = size

    def draw(*shape: int) -> Tensor:
        drawn = torch.randn(shape, generator=random, dtype=torch.float64)
        return drawn.to(device, dtype)

    def draw_labels(shape: tuple[int, ...], up_to: int) -> Tensor:
        lowest = -1 if label_dtype.is_signed else 0
        drawn = torch.randint(lowest, max(1, up_to), shape, generator=random)
        return drawn.to(device, label_dtype)

    x = draw(batch, channels, height, width) + offset
    spread = channels**-0.5  # keeps the softmax from choosing one token
    keys = draw(batch, heads, tokens, channels).double() * spread
    if reach is not None and x.numel() and keys.numel():
        scores = keys @ x.flatten(2).double().unsqueeze(1)
        keys = keys * (reach / float(scores.abs().max()))
    keys = keys.to(dtype)
    optional: dict[str, Tensor] = {}
    if extras:
        optional = {
            "position": draw(channels, height, width),
            "default_gamma": draw(channels),
            "default_beta": draw(batch, channels),
            "noise": draw(batch, 1, height, width),
            "noise_scale": draw(channels),
        }
    return ModulationInputs(
        x=lay_out_map(x, memory),
        labels=draw_labels((batch, height, width), num_labels),
        keys=keys,
        key_bias=draw(batch, heads, tokens),
        gamma=draw(batch, heads, tokens, channels),
        beta=draw(batch, heads, tokens, channels),
        token_labels=draw_labels((batch, tokens), num_labels - 1),
        **optional,
    )


def modulation_outcome(
    inputs: ModulationInputs,
    *,
    backend: str | None,
    rounded_to: torch.dtype | None = None,
    seed: int = 1,
    comparable: Tensor | None = None,
    **options: Any,
) -> dict[str, Tensor]:
    """Run forward and backward; return y and ``grad_<name>`` of every differentiable argument.

    The gradient of y is drawn from ``seed`` in fp64 and rounded to ``rounded_to`` (default: the
    inputs' dtype), so that runs in two dtypes can share it; it is zero where ``comparable``, like
    y, is false. ``options``: eps, negative_slope.
    """
    leaves = inputs.leaves()
    y = semantic_modulation(**leaves.arguments(), backend=backend, **options)
    y.backward(drawn_gradient(y, dtype=rounded_to or y.dtype, comparable=comparable, seed=seed))
    return {"y": y.detach()} | leaves.gradients()


def away_from_kink(inputs: ModulationInputs, **options: Any) -> Tensor:
    """Where rounding cannot carry the leaky ReLU's argument across 0: bool, like y.

    Elsewhere no two gradients are comparable. ``options``: eps, negative_slope.
    """
    linear = semantic_modulation(
        **inputs.to(torch.float64).arguments(),
        backend="reference",
        **{**options, "negative_slope": 1.0},
    )
    return linear.abs() > 64 * torch.finfo(inputs.x.dtype).eps * (1 + linear.abs())


def assert_modulation_matches_oracle(
    inputs: ModulationInputs, *, backend: str, **options: Any
) -> None:
    """Hold one backend's results and gradients against fp64 on the same, already rounded inputs.

    The reference in the inputs' own dtype is the yardstick; see
    :func:`scam.testing.assert_within_budget`. Gradients arrive only :func:`away_from_kink`. Those
    of x and of the defaults are small differences of large sums, in which eager code may be exact
    by luck: they are allowed 16 roundings.
    """
    dtype = inputs.x.dtype
    comparable = away_from_kink(inputs, **options)
    runs = {"comparable": comparable, "rounded_to": dtype, **options}
    actual = modulation_outcome(inputs, backend=backend, **runs)
    eager = modulation_outcome(inputs, backend="reference", **runs)
    exact = modulation_outcome(inputs.to(torch.float64), backend="reference", **runs)
    assert actual.keys() == exact.keys()
    for name in exact:
        roundings = None if dtype == torch.float64 else 4 if name == "y" else 16
        assert_within_budget(name, actual[name], exact[name], eager[name], roundings=roundings)
