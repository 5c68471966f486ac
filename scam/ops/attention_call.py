# SPDX-License-Identifier: Apache-2.0
"""One attention as backends are asked for it, and the memory of what they return."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scam.ops.problem import Empty
from scam.ops.sorting import Layouts, Side

Gradients = tuple[Tensor, Tensor, Tensor | None]
"""Of query, key and value; None where no value is given."""


def empty_output(query: Tensor, width: int) -> Tensor:
    """Uninitialised (B, H, Nq, ``width``) for a query (B, H, Nq, D).

    In the query's order of axes, packed densely, when ``width == D``; else contiguous.
    """
    if width == query.shape[-1]:
        return torch.empty_like(query)
    return query.new_empty((*query.shape[:-1], width))


@dataclass(frozen=True, eq=False)
class AttentionCall:
    """Checked arguments of :func:`scam.ops.semantic_cross_attention`.

    Attributes:
        query: (B, H, Nq, D), any strides.
        key: (B, Hkv, Nk, D), any strides.
        value: (B, Hkv, Nk, Dv), any strides, or None: the keys are the values.
        query_labels: (B, Nq).
        key_labels: (B, Nk).
        layout: of the queries and of the keys.
        scale: factor of the logits.
        empty: ``"zero"`` or ``"uniform"``.
        keys_learn: whether the gradients of key and value are wanted.
        most_queries, most_keys: no label has more of them; 0: not known.
    """

    query: Tensor
    key: Tensor
    value: Tensor | None
    query_labels: Tensor
    key_labels: Tensor
    layout: Layouts
    scale: float
    empty: Empty
    keys_learn: bool = True
    most_queries: int = 0
    most_keys: int = 0

    @property
    def values(self) -> Tensor:
        """(B, Hkv, Nk, Dv), the keys where they are the values."""
        return self.key if self.value is None else self.value

    @property
    def widths(self) -> tuple[int, int]:
        """D and Dv."""
        return self.query.shape[3], self.values.shape[3]

    @property
    def group(self) -> int:
        """Heads per kv head."""
        return self.query.shape[1] // self.key.shape[1]

    @property
    def wide_queries(self) -> bool:
        """Whether the queries are the wide side (see :mod:`scam.ops.sorting`), else the keys."""
        return self.query.shape[2] >= self.key.shape[2]

    @property
    def most_narrow(self) -> int:
        """No label has more items of the narrow side."""
        if self.wide_queries:
            return self.most_keys or self.key.shape[2]
        return self.most_queries or self.query.shape[2]

    @property
    def sides(self) -> tuple[Side, Side]:
        """The wide side and the narrow one."""
        queries, keys = (self.query_labels, self.layout[:2]), (self.key_labels, self.layout[2:])
        return (queries, keys) if self.wide_queries else (keys, queries)

    @property
    def empty_lse(self) -> float:
        """lse of a query that sees no key."""
        keys = self.key.shape[2]
        return math.log(keys) if self.empty == "uniform" and keys else -math.inf

    def empty_results(self) -> tuple[Tensor, Tensor, Tensor]:
        """Uninitialised out, laid out as ``empty_output``, lse and lse_rest, both (B, H, Nq).

        The latter two are contiguous and fp32, fp64 for fp64.
        """
        wide = torch.promote_types(self.query.dtype, torch.float32)
        out = empty_output(self.query, self.widths[1])
        lse = self.query.new_empty(self.query.shape[:-1], dtype=wide)
        return out, lse, torch.empty_like(lse)

    def empty_gradients(self) -> Gradients:
        """Uninitialised, laid out as ``empty_like`` of query, key and value."""
        of_value = None if self.value is None else torch.empty_like(self.value)
        return torch.empty_like(self.query), torch.empty_like(self.key), of_value
