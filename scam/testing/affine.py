# SPDX-License-Identifier: Apache-2.0
"""Inputs of the affine by index, and its results held against an fp64 oracle."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scam.ops import indexed_affine
from scam.ops.affine_call import statistics_dtype
from scam.testing.budget import assert_within_budget
from scam.testing.maps import Arguments, drawn_gradient, lay_out_map

STATISTICS = (None, "batch", "image")
INDICES = ("coherent", "noise")


@dataclass(frozen=True)
class AffineInputs(Arguments):
    """Arguments of :func:`scam.ops.indexed_affine`, shapes and dtypes as there."""

    constant = ("index",)
    wide = ("mean", "rstd")

    x: Tensor
    index: Tensor
    scale: Tensor
    shift: Tensor
    mean: Tensor | None = None
    rstd: Tensor | None = None


def make_affine_inputs(
    *,
    batch: int = 2,
    channels: int = 16,
    size: tuple[int, int] = (7, 6),
    rows: int = 5,
    kind: str = "coherent",
    outside: bool = True,
    statistics: str | None = "image",
    memory: str = "channels_first",
    index_dtype: torch.dtype = torch.int64,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    seed: int = 0,
) -> AffineInputs:
    """Draw inputs; the last row is read by no pixel if there are several.

    Args:
        batch, channels, size, rows: B, C, (H, W) and R.
        kind: of index, ``coherent`` (runs of 1 to 80 pixels) or ``noise``.
        outside: whether some pixels name no row, by a negative number or by R and more.
        statistics: of the ``batch``, mean and rstd (C,), of each ``image``, (B, C), or None.
        memory: of x, one of ``MAPS``.
        index_dtype: of the index; rows that it cannot name are not read.
        dtype, device: of the tensors.
        seed: of all numbers.
    """
    random = torch.Generator().manual_seed(seed)
    height, width = size
    pixels = height * width

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float64).to(device, dtype)

    limits = torch.iinfo(index_dtype)
    lowest = -1 if outside and limits.min < 0 else 0
    highest = min(rows + 1 if outside else max(1, rows - 1), limits.max + 1)
    index = torch.randint(lowest, highest, (batch, pixels), generator=random)
    if kind == "coherent" and pixels:
        starts = torch.rand((batch, pixels), generator=random) < 1 / 20
        starts[:, 0] = True
        places = torch.where(starts, torch.arange(pixels), 0).cummax(1).values
        index = index.gather(1, places)
    if outside:
        index = torch.where(index == rows - 1, rows, index).clamp(max=limits.max)
    x = draw(batch, channels, height, width) + 0.5
    scale, shift = draw(rows, channels), draw(rows, channels)
    mean = rstd = None
    if statistics is not None:
        shape = (channels,) if statistics == "batch" else (batch, channels)
        wide = statistics_dtype(dtype)
        mean, rstd = draw(*shape).to(wide), draw(*shape).to(wide).abs() + 0.1
    numbers = index.unflatten(1, size).to(device, index_dtype)
    return AffineInputs(lay_out_map(x, memory), numbers, scale, shift, mean, rstd)


def affine_outcome(
    inputs: AffineInputs,
    *,
    backend: str | None,
    rounded_to: torch.dtype | None = None,
    seed: int = 1,
    comparable: Tensor | None = None,
    negative_slope: float = 0.2,
) -> dict[str, Tensor]:
    """Run forward and backward; return y and ``grad_<name>`` of every differentiable argument.

    As :func:`scam.testing.modulation_outcome`.
    """
    leaves = inputs.leaves()
    y = indexed_affine(**leaves.arguments(), negative_slope=negative_slope, backend=backend)
    y.backward(drawn_gradient(y, dtype=rounded_to or y.dtype, comparable=comparable, seed=seed))
    return {"y": y.detach()} | leaves.gradients()


def away_from_affine_kink(inputs: AffineInputs) -> Tensor:
    """Where rounding cannot carry the leaky ReLU's argument across 0: bool, like y.

    Rounding is of the terms, which may cancel. Pixels outside have no kink.
    """
    wide = inputs.to(torch.float64).arguments()
    linear = indexed_affine(**wide, backend="reference")
    wide["shift"] = torch.zeros_like(wide["shift"])
    product = indexed_affine(**wide, backend="reference")
    terms = product.abs() + (linear - product).abs()
    return (linear == 0) | (linear.abs() > 64 * torch.finfo(inputs.x.dtype).eps * (1 + terms))


def assert_affine_matches_oracle(
    inputs: AffineInputs, *, backend: str, negative_slope: float = 0.2
) -> None:
    """Hold one backend's results and gradients against fp64 on the same, already rounded inputs.

    The reference in the inputs' own dtype is the yardstick; see
    :func:`scam.testing.assert_within_budget`. Gradients arrive only
    :func:`away_from_affine_kink`. Those of the tables and statistics are sums that may cancel,
    over terms that were rounded a few times: they are allowed 16 roundings.
    """
    dtype, comparable = inputs.x.dtype, away_from_affine_kink(inputs)
    runs: dict[str, Any] = {
        "comparable": comparable, "rounded_to": dtype, "negative_slope": negative_slope
    }  # fmt: skip
    actual = affine_outcome(inputs, backend=backend, **runs)
    eager = affine_outcome(inputs, backend="reference", **runs)
    exact = affine_outcome(inputs.to(torch.float64), backend="reference", **runs)
    assert actual.keys() == exact.keys()
    for name in exact:
        narrow = name not in ("y", "grad_x")
        roundings = None if actual[name].dtype == torch.float64 else 16 if narrow else 4
        assert_within_budget(name, actual[name], exact[name], eager[name], roundings=roundings)
