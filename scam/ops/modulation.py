# SPDX-License-Identifier: Apache-2.0
"""``semantic_modulation``: checks, the choice of a backend, the call."""

from typing import Any

import torch
from torch import Tensor

from scam.ops import dispatch, modulation_library, reference
from scam.ops.layout import Labels, most_of, open_labels
from scam.ops.modulation_call import ModulationCall
from scam.ops.problem import (
    MODULATION,
    Problem,
    check_labels,
    check_not_negative,
    check_size,
    check_tensors,
    map_problem,
)
from scam.ops.sorting import Layouts

_Optional = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None, Tensor | None]
"""position, default_gamma, default_beta, noise, noise_scale."""


def semantic_modulation(
    x: Tensor,
    labels: Labels,
    keys: Tensor,
    key_bias: Tensor,
    gamma: Tensor,
    beta: Tensor,
    token_labels: Labels,
    *,
    position: Tensor | None = None,
    default_gamma: Tensor | None = None,
    default_beta: Tensor | None = None,
    noise: Tensor | None = None,
    noise_scale: Tensor | None = None,
    eps: float = 1e-5,
    negative_slope: float = 0.2,
    backend: str | None = None,
) -> Tensor:
    """Normalise a feature map and modulate each pixel by the tokens of its own label.

    ::

        p[h, i, j] = softmax_j(<x[i] + position[i], keys[h, j]> + key_bias[h, j])
        over the tokens j with token_labels[j] == labels[i] >= 0
        scale[i] = 1 + sum_hj p[h, i, j] gamma[h, j]      shift[i] = sum_hj p[h, i, j] beta[h, j]
        y[i] = leaky_relu(scale[i] * norm(x)[i] + shift[i] + noise_scale * noise[i])

    ``norm`` is the instance norm without parameters: per image and channel over all pixels,
    ignored ones included, biased variance. Everything the paper computes between pixels and
    latents (query, key, value and output projections, gamma and beta) is linear, so it folds into
    one key, one gamma and one beta per token: ``absorbed_keys`` and ``absorbed_values`` of
    :class:`scam.nn.SemanticCrossAttention` make them. Costs heads * k * C per pixel, and autograd
    keeps x and statistics only.

    Args:
        x: (B, C, H, W), any floating dtype; the result has its memory format.
        labels: (B, H, W), (H, W), (B, H * W) or (H * W,), integers as in
            :func:`scam.ops.semantic_cross_attention`, or a layout of them. Negative: sees none.
        keys: (B, heads, m, C), any scale of the scores already inside. dtype of x, like all
            tensors but the labels (autocast excepted).
        key_bias: (B, heads, m).
        gamma: (B, heads, m, C).
        beta: (B, heads, m, C).
        token_labels: (B, m) or (m,), or a layout of them. Negative: seen by no pixel.
        position: (C, H, W), a constant added to x in the scores only.
        default_gamma: (C,) or (B, C), gamma of pixels that see no token; default 0.
        default_beta: (C,) or (B, C), beta of such pixels; default 0.
        noise: (B, 1, H, W), a constant; given together with ``noise_scale`` or not at all.
        noise_scale: (C,).
        eps: added to the variance.
        negative_slope: of the leaky ReLU, at least 0; 1 leaves it out.
        backend: as in :func:`scam.ops.semantic_cross_attention`.

    Returns:
        y, like x.

    Raises:
        TypeError: an argument that is not a tensor, or of a dtype that does not fit.
        ValueError: shapes or devices that do not fit, ``noise`` without ``noise_scale`` or the
            other way round, a constant that requires a gradient, ``eps`` or ``negative_slope``
            negative, or a forced backend that cannot serve.
    """
    optional = (position, default_gamma, default_beta, noise, noise_scale)
    eps = check_not_negative("eps", eps)
    negative_slope = check_not_negative("negative_slope", negative_slope)
    problem, inputs, layout = _opened(
        x, labels, keys, key_bias, gamma, beta, token_labels, optional
    )
    chosen = dispatch.choose(problem, backend)
    if chosen == dispatch.REFERENCE:
        fields: Any = (*inputs, layout, eps, negative_slope)
        y = reference.modulate(ModulationCall(*fields))
    else:
        options = (eps, negative_slope, chosen, most_of(token_labels))
        y, *_ = modulation_library.modulation_fwd(*inputs, *layout, *options)
    return y.unflatten(2, x.shape[2:])


def explain_modulation(
    x: Tensor,
    labels: Labels,
    keys: Tensor,
    key_bias: Tensor,
    gamma: Tensor,
    beta: Tensor,
    token_labels: Labels,
    *,
    position: Tensor | None = None,
    default_gamma: Tensor | None = None,
    default_beta: Tensor | None = None,
    noise: Tensor | None = None,
    noise_scale: Tensor | None = None,
    eps: float = 1e-5,
    negative_slope: float = 0.2,
    backend: str | None = None,
) -> dict[str, list[str]]:
    """Why each backend can or cannot serve these arguments of :func:`semantic_modulation`.

    ``backend`` changes nothing: with it the arguments are a call's.

    Returns:
        Backend name -> reasons against it, in order of preference; [] means that it can.

    Raises:
        TypeError, ValueError: as :func:`semantic_modulation`.
    """
    optional = (position, default_gamma, default_beta, noise, noise_scale)
    check_not_negative("eps", eps)
    check_not_negative("negative_slope", negative_slope)
    problem, *_ = _opened(x, labels, keys, key_bias, gamma, beta, token_labels, optional)
    return dispatch.explain_problem(problem, backend)


def _opened(
    x: Tensor,
    labels: Labels,
    keys: Tensor,
    key_bias: Tensor,
    gamma: Tensor,
    beta: Tensor,
    token_labels: Labels,
    optional: _Optional,
) -> tuple[Problem, tuple[Any, ...], Layouts]:
    """Check all but the numbers; return the problem, and the tensors of a ModulationCall."""
    position, default_gamma, default_beta, noise, noise_scale = optional
    given = {"x": x, "keys": keys, "key_bias": key_bias, "gamma": gamma, "beta": beta}
    for name, tensor in {
        "position": position,
        "default_gamma": default_gamma,
        "default_beta": default_beta,
        "noise": noise,
        "noise_scale": noise_scale,
    }.items():
        if tensor is not None:
            given[name] = tensor
    problem = _check(given)
    batch, channels, height, width = x.shape
    pixels = x.flatten(2)
    tokens = _flat_labels("token_labels", token_labels, batch, keys.shape[2], x.device)
    of_pixels = _flat_labels("labels", labels, batch, height * width, x.device, (height, width))
    position = None if position is None else position.flatten(1)
    noise = None if noise is None else noise.flatten(1)
    default_gamma, default_beta = (
        None if default is None else default.expand(batch, channels)
        for default in (default_gamma, default_beta)
    )
    optional = (position, default_gamma, default_beta, noise, noise_scale)
    inputs = (pixels, of_pixels[0], keys, key_bias, gamma, beta, tokens[0], *optional)
    return problem, inputs, (*of_pixels[1:], *tokens[1:])


def _check(given: dict[str, Tensor]) -> Problem:
    dtype = check_tensors(given)
    x = given["x"]
    if x.dim() != 4 or x.shape[1] < 1:
        raise ValueError(f"x: expected shape (B, C, H, W) with C >= 1, got {tuple(x.shape)}")
    _check_shapes(given)
    (batch, channels, height, width), (_, heads, tokens, _) = x.shape, given["keys"].shape
    sizes = {"x": x, "keys": given["keys"]}
    check_size(sizes, batch, heads, (height * width, tokens), (channels,))
    for name in ("position", "noise"):
        if name in given and given[name].requires_grad:
            raise ValueError(
                f"{name} requires a gradient, which it would not get: give {name}.detach()"
            )
    if ("noise" in given) != ("noise_scale" in given):
        raise ValueError("noise and noise_scale: expected both or neither")
    return map_problem(MODULATION, x, dtype)


def _check_shapes(given: dict[str, Tensor]) -> None:
    batch, channels, height, width = given["x"].shape
    keys = given["keys"]
    if keys.dim() != 4 or keys.shape[0] != batch or keys.shape[3] != channels or not keys.shape[1]:
        raise ValueError(
            f"keys: expected shape ({batch}, heads, m, {channels}) to fit x, "
            f"got {tuple(keys.shape)}"
        )
    per_token = tuple(keys.shape)
    expected = {
        "key_bias": (per_token[:3],),
        "gamma": (per_token,),
        "beta": (per_token,),
        "position": ((channels, height, width),),
        "default_gamma": ((channels,), (batch, channels)),
        "default_beta": ((channels,), (batch, channels)),
        "noise": ((batch, 1, height, width),),
        "noise_scale": ((channels,),),
    }
    for name, shapes in expected.items():
        if name in given and tuple(given[name].shape) not in shapes:
            wanted = " or ".join(str(shape) for shape in shapes)
            raise ValueError(f"{name}: expected shape {wanted}, got {tuple(given[name].shape)}")


def _flat_labels(
    name: str,
    labels: Labels,
    batch: int,
    count: int,
    device: torch.device,
    size: tuple[int, int] | None = None,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Labels (B, N) with a layout's order and offsets; maps of ``size`` are flattened."""
    flat = ((batch, count), (count,))
    if size is not None and isinstance(labels, Tensor) and labels.shape not in flat:
        check_labels(name, labels, batch, size, device, "x", others=flat)
        labels = labels.flatten(-2)
    return open_labels(name, labels, batch, count, device, "x")
