# SPDX-License-Identifier: Apache-2.0
"""The memory layout of results: one rule for kernels, shape inference and the reference."""

import torch
from torch import Tensor


def empty_output(query: Tensor, width: int) -> Tensor:
    """Uninitialised (B, H, Nq, ``width``) for a query (B, H, Nq, D).

    In the query's order of axes, packed densely, when ``width == D``; else contiguous.
    """
    if width == query.shape[-1]:
        return torch.empty_like(query)
    return query.new_empty((*query.shape[:-1], width))
