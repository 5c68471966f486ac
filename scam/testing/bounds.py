# SPDX-License-Identifier: Apache-2.0
"""How far rounding may carry each result and gradient of the two ops: error bounds in fp64."""

from typing import Any

import torch
from torch import Tensor

from scam.ops import Labels
from scam.ops.layout import plain_labels
from scam.ops.reference import visibility
from scam.testing.attention import Inputs, drawn_gradients, lay_out, outcome
from scam.testing.budget import assert_within_bound
from scam.testing.maps import drawn_gradient
from scam.testing.modulation import ModulationInputs, away_from_kink, modulation_outcome
from scam.testing.rounded import Rounded, softmax, through_softmax


def assert_attention_within_bounds(inputs: Inputs, *, backend: str, **options: Any) -> float:
    """Hold one backend's results and gradients against fp64, each by its own error bound.

    Unlike :func:`scam.testing.assert_matches_oracle` no error of eager code is a yardstick: among
    thousands of small problems it is 0 now and then, and gradients cancel. ``options``: empty,
    scale, grad_memory.

    Returns:
        The largest part of its budget that an error takes.

    Raises:
        AssertionError: see :func:`scam.testing.assert_within_bound`.
    """
    return judge_attention(inputs, outcome(inputs, backend=backend, **options), **options)


def judge_attention(inputs: Inputs, actual: dict[str, Tensor], **options: Any) -> float:
    """:func:`assert_attention_within_bounds` of results that are there."""
    dtype, wide = inputs.query.dtype, inputs.to(torch.float64)
    exact = outcome(wide, backend="reference", rounded_to=dtype, **options)
    return _largest_part(actual, exact, attention_bounds(inputs, **options))


def assert_modulation_within_bounds(
    inputs: ModulationInputs, *, backend: str, **options: Any
) -> float:
    """As :func:`assert_attention_within_bounds`; gradients arrive only :func:`away_from_kink`.

    ``options``: eps, negative_slope.
    """
    given = {"comparable": away_from_kink(inputs, **options), **options}
    return judge_modulation(inputs, modulation_outcome(inputs, backend=backend, **given), **given)


def judge_modulation(inputs: ModulationInputs, actual: dict[str, Tensor], **options: Any) -> float:
    """:func:`assert_modulation_within_bounds` of results that are there.

    ``options``: with comparable, the pixels that gradients arrived at.
    """
    dtype, wide = inputs.x.dtype, inputs.to(torch.float64)
    exact = modulation_outcome(wide, backend="reference", rounded_to=dtype, **options)
    return _largest_part(actual, exact, modulation_bounds(inputs, **options))


def _largest_part(
    actual: dict[str, Tensor], exact: dict[str, Tensor], bounds: dict[str, Rounded]
) -> float:
    assert actual.keys() == exact.keys() == bounds.keys()
    return max(
        assert_within_bound(name, actual[name], exact[name], bounds[name].error) for name in exact
    )


def attention_bounds(
    inputs: Inputs,
    *,
    empty: str = "zero",
    scale: float | None = None,
    grad_memory: str = "contiguous",
) -> dict[str, Rounded]:
    """What :func:`scam.testing.outcome` returns, with the error one rounding a step may cause.

    Arithmetic is in fp32 (fp64 for fp64); probabilities, their gradients and results are also
    rounded to the inputs' dtype, as where a GPU multiplies matrices.
    """
    own, dtype = inputs.query.dtype, _arithmetic(inputs.query.dtype)
    wide = inputs.to(torch.float64)
    query, key = wide.query, wide.key
    value = key if wide.value is None else wide.value
    group = query.shape[1] // key.shape[1]
    labels = (_labels(wide.query_labels, query), _labels(wide.key_labels, key))
    visible = visibility(*labels)
    sees = visible.any(-1, keepdim=True)
    if empty == "uniform":
        visible = visible | ~sees
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    q = Rounded.exact(query, dtype)
    k, v = (Rounded.exact(t.repeat_interleave(group, 1), dtype) for t in (key, value))
    # A row that sees nothing has equal logits.
    logits = (q @ k.mT).times(scale).where(sees)
    weights, lse = softmax(logits, visible)
    weights = weights.stored(own)
    out = (weights @ v).stored(own)
    given = drawn_gradients(out.value, lse.value.squeeze(-1), dtype=own)
    grad_out = Rounded.exact(lay_out(given[0], grad_memory), dtype)
    grad_lse = Rounded.exact(given[1].unsqueeze(-1), dtype)
    mean = (grad_out * out).sum(-1, keepdim=True) - grad_lse
    slope = through_softmax(weights, grad_out @ v.mT, mean).where(sees).stored(own)
    grad_key, grad_value = (slope.mT @ q).times(scale), weights.mT @ grad_out
    results = {"out": out, "lse": lse.reshaped(lambda t: t.squeeze(-1))}
    results["grad_query"] = (slope @ k).times(scale)
    if wide.value is None:
        grad_key = grad_key + grad_value
    else:
        results["grad_value"] = _of_group(grad_value, group)
    results["grad_key"] = _of_group(grad_key, group)
    return {n: r if n == "lse" else r.stored(own) for n, r in results.items()}


def modulation_bounds(
    inputs: ModulationInputs,
    *,
    comparable: Tensor | None = None,
    eps: float = 1e-5,
    negative_slope: float = 0.2,
) -> dict[str, Rounded]:
    """What :func:`scam.testing.modulation_outcome` returns, as :func:`attention_bounds`."""
    own, dtype = inputs.x.dtype, _arithmetic(inputs.x.dtype)
    wide = inputs.to(torch.float64)

    def exact(tensor: Tensor) -> Rounded:
        return Rounded.exact(tensor, dtype)

    x = exact(wide.x.flatten(2).mT)  # (B, N, C)
    visible = visibility(_labels(wide.labels, wide.x), _labels(wide.token_labels, wide.x))
    unseeing = ~visible.any(-1).squeeze(1).unsqueeze(-1)  # (B, N, 1)
    scored = x if wide.position is None else x + exact(wide.position.flatten(1).mT)
    scored = _per_head(scored.stored(own))
    keys, gamma, beta = (exact(t) for t in (wide.keys, wide.gamma, wide.beta))
    logits = scored @ keys.mT + exact(wide.key_bias.unsqueeze(-2))
    weights = softmax(logits, visible)[0].stored(own)  # (B, heads, N, m)
    norm, rstd = _normalised(x, eps)
    scale = _filled((weights @ gamma).sum(1), wide.default_gamma, unseeing)
    scale = scale + exact(torch.ones_like(x.value))
    y = scale * norm + _filled((weights @ beta).sum(1), wide.default_beta, unseeing)
    noise = None if wide.noise is None else exact(wide.noise.flatten(1).unsqueeze(-1))
    if noise is not None and wide.noise_scale is not None:
        y = y + noise * exact(wide.noise_scale)
    bend = torch.where(y.value > 0, 1, torch.full_like(y.value, negative_slope))

    given = drawn_gradient(wide.x, dtype=own, comparable=comparable)
    grad = (exact(given.flatten(2).mT) * exact(bend)).stored(own)
    by_norm = (grad * norm).stored(own)
    read = _per_head(by_norm) @ gamma.mT + _per_head(grad) @ beta.mT
    mean = (weights * read).sum(-1, keepdim=True)
    slope = through_softmax(weights, read, mean).where(visible).stored(own)
    results = {
        "y": _map(y.times(bend), wide.x),
        "grad_x": _map(_through_norm(grad * scale, norm, rstd) + (slope @ keys).sum(1), wide.x),
        "grad_keys": slope.mT @ scored,
        "grad_key_bias": slope.sum(-2),
        "grad_gamma": weights.mT @ _per_head(by_norm),
        "grad_beta": weights.mT @ _per_head(grad),
    }
    defaults = {"gamma": (wide.default_gamma, by_norm), "beta": (wide.default_beta, grad)}
    for name, (default, of_pixels) in defaults.items():
        if default is not None:
            total = of_pixels.where(unseeing).sum(1)
            results[f"grad_default_{name}"] = total.sum(0) if default.dim() == 1 else total
    if noise is not None:
        results["grad_noise_scale"] = (grad * noise).sum(1).sum(0)
    return {name: result.stored(own) for name, result in results.items()}


def _arithmetic(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _labels(labels: Labels, like: Tensor) -> Tensor:
    """(B, N) for ``like`` (B, ...)."""
    labels = plain_labels(labels)
    return labels.reshape(like.shape[0], -1) if labels.dim() > 2 else labels.expand(len(like), -1)


def _of_group(gradient: Rounded, group: int) -> Rounded:
    return gradient.reshaped(lambda t: t.unflatten(1, (-1, group))).sum(2)


def _per_head(pixels: Rounded) -> Rounded:
    return pixels.reshaped(lambda t: t.unsqueeze(1))


def _map(pixels: Rounded, like: Tensor) -> Rounded:
    return pixels.reshaped(lambda t: t.mT.reshape(like.shape))


def _filled(read: Rounded, default: Tensor | None, unseeing: Tensor) -> Rounded:
    """(B, N, C) with the default, (C,) or (B, C), where a pixel sees no token."""
    if default is None:
        return read
    default = default.expand(len(read.value), -1).unsqueeze(1)
    return Rounded(torch.where(unseeing, default, read.value), read.error, read.dtype)


def _normalised(x: Rounded, eps: float) -> tuple[Rounded, Rounded]:
    """(B, N, C) -> the instance norm of it, and (B, 1, C) its 1 / deviation."""
    centred = x - x.mean(1, keepdim=True)
    variance = (centred * centred).mean(1, keepdim=True)
    rstd = Rounded(variance.value + eps, variance.error, x.dtype).rsqrt()
    return centred * rstd, rstd


def _through_norm(gradient: Rounded, norm: Rounded, rstd: Rounded) -> Rounded:
    """The gradient of what was normalised, from that of the norm."""
    rest = gradient - gradient.mean(1, keepdim=True)
    return rstd * (rest - norm * (gradient * norm).mean(1, keepdim=True))
