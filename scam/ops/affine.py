# SPDX-License-Identifier: Apache-2.0
"""``indexed_affine``: checks, the choice of a backend, the call."""

from typing import Any

import torch
from torch import Tensor

from scam.ops import affine_library, dispatch, reference
from scam.ops.affine_call import AffineCall, statistics_dtype
from scam.ops.problem import (
    AFFINE,
    Problem,
    check_labels,
    check_not_negative,
    check_size,
    check_tensors,
    map_problem,
)


def indexed_affine(
    x: Tensor,
    index: Tensor,
    scale: Tensor,
    shift: Tensor,
    *,
    mean: Tensor | None = None,
    rstd: Tensor | None = None,
    negative_slope: float = 1.0,
    backend: str | None = None,
) -> Tensor:
    """Scale and shift each pixel of a feature map by the rows of two tables that it names.

    ::

        r = index[b, p]
        y[b, :, p] = leaky_relu(scale[r] * ((x[b, :, p] - mean[b]) * rstd[b]) + shift[r])
        y[b, :, p] = 0 where r is not one of 0 .. R - 1

    The last step of a norm whose affine depends on the pixel. The index is the label in CLADE
    (Tan et al., 2021), the instance in INADE (Tan et al., 2021), and the number of the distinct
    label patch around the pixel in SPADE (Park et al., 2019) and SEAN (Zhu et al., 2020), whose
    convolutions give equal results on equal patches. Reads x once and writes y; autograd keeps
    the arguments only. Sums over pixels in the gradients are the same to the bit for any number
    of threads.

    Args:
        x: (B, C, H, W), any floating dtype; the result has its memory format.
        index: (B, H, W) or (H, W); uint8, int8, int16, int32 or int64. A pixel whose index is
            negative or at least R gets 0 and passes no gradient.
        scale: (R, C), R >= 0, dtype of x (autocast excepted). 1 is not added.
        shift: (R, C), dtype of x (autocast excepted).
        mean: (C,) or (B, C), subtracted from x: statistics of a batch or of each image. Always
            fp32, or fp64 with an x of fp64. Given together with ``rstd`` or not at all. Gradients
            reach both; what they are statistics of is the caller's.
        rstd: (C,) or (B, C), a factor; dtype as that of ``mean``.
        negative_slope: of the leaky ReLU, at least 0; 1 leaves it out.
        backend: as in :func:`scam.ops.semantic_cross_attention`.

    Returns:
        y, like x.

    Raises:
        TypeError: an argument that is not a tensor, or of a dtype that does not fit.
        ValueError: shapes or devices that do not fit, ``mean`` without ``rstd`` or the other way
            round, ``negative_slope`` negative, or a forced backend that cannot serve.
    """
    negative_slope = check_not_negative("negative_slope", negative_slope)
    problem, tensors = _opened(x, index, scale, shift, mean, rstd)
    chosen = dispatch.choose(problem, backend)
    fields: Any = (*tensors, negative_slope)
    if chosen == dispatch.REFERENCE:
        y = reference.look_up(AffineCall(*fields))
    else:
        y = affine_library.affine_fwd(*fields, chosen)
    return y.unflatten(2, x.shape[2:])


def explain_affine(
    x: Tensor,
    index: Tensor,
    scale: Tensor,
    shift: Tensor,
    *,
    mean: Tensor | None = None,
    rstd: Tensor | None = None,
    negative_slope: float = 1.0,
    backend: str | None = None,
) -> dict[str, list[str]]:
    """Why each backend can or cannot serve these arguments of :func:`indexed_affine`.

    ``backend`` changes nothing: with it the arguments are a call's.

    Returns:
        Backend name -> reasons against it, in order of preference; [] means that it can.

    Raises:
        TypeError, ValueError: as :func:`indexed_affine`.
    """
    check_not_negative("negative_slope", negative_slope)
    problem, _ = _opened(x, index, scale, shift, mean, rstd)
    return dispatch.explain_problem(problem, backend)


def _opened(
    x: Tensor,
    index: Tensor,
    scale: Tensor,
    shift: Tensor,
    mean: Tensor | None,
    rstd: Tensor | None,
) -> tuple[Problem, tuple[Tensor | None, ...]]:
    """Check all but the number; return the problem, and the tensors of an AffineCall."""
    dtype = check_tensors({"x": x, "scale": scale, "shift": shift})
    if x.dim() != 4 or x.shape[1] < 1:
        raise ValueError(f"x: expected shape (B, C, H, W) with C >= 1, got {tuple(x.shape)}")
    batch, channels, height, width = x.shape
    for name, table in {"scale": scale, "shift": shift}.items():
        if table.dim() != 2 or table.shape[1] != channels:
            expected = f"(R, {channels}) to fit x"
            raise ValueError(f"{name}: expected shape {expected}, got {tuple(table.shape)}")
    if shift.shape != scale.shape:
        expected = f"{tuple(scale.shape)} as of scale"
        raise ValueError(f"shift: expected shape {expected}, got {tuple(shift.shape)}")
    check_size({"x": x, "scale": scale}, batch, 1, (height * width, scale.shape[0]), (channels,))
    if not isinstance(index, Tensor):
        raise TypeError(f"index: expected a tensor, got {type(index).__name__}")
    check_labels("index", index, batch, (height, width), x.device, "x")
    statistics = _statistics({"mean": mean, "rstd": rstd}, x, dtype)
    rows = index.expand(batch, height, width).flatten(1)
    return map_problem(AFFINE, x, dtype), (x.flatten(2), rows, scale, shift, *statistics)


def _statistics(
    given: dict[str, Tensor | None], x: Tensor, dtype: torch.dtype
) -> tuple[Tensor | None, ...]:
    """Check mean and rstd where x is computed in ``dtype``; return them as (B, C), or None."""
    found = {name: tensor for name, tensor in given.items() if tensor is not None}
    if len(found) == 1:
        raise ValueError("mean and rstd: expected both or neither")
    wanted, (batch, channels) = statistics_dtype(dtype), x.shape[:2]
    for name, tensor in found.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name}: expected a tensor, got {type(tensor).__name__}")
        if tensor.dtype != wanted:
            raise TypeError(f"{name}: expected {wanted} with x in {dtype}, got {tensor.dtype}")
        if tuple(tensor.shape) not in ((channels,), (batch, channels)):
            shapes = f"{(channels,)} or {(batch, channels)}"
            raise ValueError(f"{name}: expected shape {shapes}, got {tuple(tensor.shape)}")
        if tensor.device != x.device:
            raise ValueError(f"{name} is on {tensor.device}, x on {x.device}: expected one device")
    return tuple(
        None if tensor is None else tensor.expand(batch, channels) for tensor in given.values()
    )
