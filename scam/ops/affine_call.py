# SPDX-License-Identifier: Apache-2.0
"""One affine by index as backends are asked for it."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class AffineCall:
    """Checked arguments of :func:`scam.ops.indexed_affine`, pixels flattened, N = H * W.

    Attributes:
        x: (B, C, N), any strides.
        index: (B, N).
        scale, shift: (R, C).
        mean, rstd: (B, C), of ``statistics_dtype``; both or neither.
    """

    x: Tensor
    index: Tensor
    scale: Tensor
    shift: Tensor
    mean: Tensor | None
    rstd: Tensor | None
    negative_slope: float

    def empty_gradients(self) -> tuple[Tensor, *tuple[Tensor | None, ...]]:
        """Uninitialised gradients of x, scale, shift, mean and rstd.

        Laid out as ``empty_like`` of x, else contiguous; None for statistics not given.
        """
        small = (self.scale, self.shift, self.mean, self.rstd)
        contiguous = (None if t is None else t.new_empty(t.shape) for t in small)
        return torch.empty_like(self.x), *contiguous


def statistics_dtype(dtype: torch.dtype) -> torch.dtype:
    """Of mean and rstd where the rest is ``dtype``: fp64 for fp64, else fp32."""
    return torch.promote_types(dtype, torch.float32)
