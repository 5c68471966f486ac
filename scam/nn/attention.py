# SPDX-License-Identifier: Apache-2.0
"""Semantic cross attention with its four projections (SCAM paper, section 3.1)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.ops import semantic_cross_attention


class SemanticCrossAttention(nn.Module):
    """Queries attend to the keys of their own label: ``W_O softmax(Q K^T / sqrt(a)) V``.

    ``fused`` chooses how, never what: both ways own the same parameters and agree to rounding.
    ``empty`` says what a query without any key of its label receives: ``"zero"`` (nothing at all,
    the bias of ``to_out`` included) or ``"uniform"`` (the mean over every key, as released).
    """

    def __init__(
        self,
        query_dim: int,
        key_dim: int,
        attention_dim: int = 256,
        heads: int = 1,
        *,
        empty: str = "zero",
        key_bias: bool = False,
        fused: bool = True,
    ) -> None:
        super().__init__()
        if attention_dim % heads:
            raise ValueError(f"heads={heads} must divide attention_dim={attention_dim}")
        self.heads = heads
        self.empty = empty
        self.fused = fused
        self.scale = (attention_dim // heads) ** -0.5
        self.to_query = nn.Linear(query_dim, attention_dim)
        self.to_key = nn.Linear(key_dim, attention_dim, bias=key_bias)
        self.to_value = nn.Linear(key_dim, attention_dim)
        self.to_out = nn.Linear(attention_dim, query_dim)

    def forward(
        self, queries: Tensor, keys: Tensor, query_labels: Tensor, key_labels: Tensor
    ) -> Tensor:
        """Attend. queries (B, Nq, query_dim), keys (B, Nk, key_dim), labels (B, N) or (N,).

        Returns (B, Nq, query_dim).
        """
        q = self._split_heads(self.to_query(queries))
        if self.fused:
            mixed, seen = self._attend_fused(q, keys, query_labels, key_labels)
        else:
            mixed, seen = self._attend_dense(q, keys, query_labels, key_labels)
        out = self.to_out(mixed.transpose(1, 2).flatten(2))
        return out if self.empty == "uniform" else torch.where(seen, out, 0.0)

    def absorbed(self, tokens: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values for pixels that are never projected, neither before nor behind.

        Scores are linear in the pixels and everything behind the softmax is linear in the values,
        so the projections of both sides and a head ``x @ weight.T + bias`` (query_dim -> G) fold
        into the tokens: what the head makes of :meth:`forward` is the plain attention of pixels
        with a channel of ones appended, which carries the query bias, at the same ``scale``.

        tokens (B, m, key_dim) -> keys (B, heads, m, query_dim + 1), values (B, heads, m, G), for
        queries that see something; summed over heads.
        """
        width = self.to_query.out_features // self.heads
        k, v = (self._split_heads(project(tokens)) for project in (self.to_key, self.to_value))
        into = self.to_query.weight.unflatten(0, (self.heads, width))
        query_bias = self.to_query.bias.unflatten(0, (self.heads, width, 1))
        keys = torch.cat([k @ into, k @ query_bias], dim=-1)
        out_of = self.to_out.weight.t().unflatten(0, (self.heads, width)) @ weight.t()
        constant = (bias + weight @ self.to_out.bias) / self.heads
        return keys, v @ out_of + constant

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def _attend_fused(
        self, q: Tensor, keys: Tensor, query_labels: Tensor, key_labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        width = q.shape[-1]
        absorb = keys.shape[1] > q.shape[2]
        if absorb:
            # Few queries, many keys: carry the queries into the keys' own space and project the
            # mixed keys afterwards, never the keys. The key bias cancels in the softmax.
            q = q @ self.to_key.weight.unflatten(0, (self.heads, width)).to(q.dtype)
            k, v = keys.unsqueeze(1), None
        else:
            k, v = (self._split_heads(project(keys)) for project in (self.to_key, self.to_value))
        mixed, lse = semantic_cross_attention(
            q,
            k.to(q.dtype),
            v,
            query_labels,
            key_labels,
            scale=self.scale,
            empty=self.empty,
            return_lse=True,
        )
        if absorb:
            weight = self.to_value.weight.unflatten(0, (self.heads, width)).to(mixed.dtype)
            bias = self.to_value.bias.unflatten(0, (self.heads, 1, width)).to(mixed.dtype)
            mixed = mixed @ weight.transpose(1, 2) + bias
        return mixed, (lse[:, 0] > -torch.inf).unsqueeze(-1)

    def _attend_dense(
        self, q: Tensor, keys: Tensor, query_labels: Tensor, key_labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Every pair of the n x m table, as the paper writes it; kept to compare against."""
        k, v = (self._split_heads(project(keys)) for project in (self.to_key, self.to_value))
        scores = _at_least_float(q @ k.transpose(2, 3)) * self.scale
        allowed = query_labels.unsqueeze(-1) == key_labels.unsqueeze(-2)
        allowed = allowed & (query_labels.unsqueeze(-1) >= 0)
        allowed = allowed if allowed.dim() == 3 else allowed.unsqueeze(0)
        # A row of equal fills is a uniform softmax: what the released code computes there.
        scores = scores.masked_fill(~allowed.unsqueeze(1), -1e9)
        seen = allowed.any(-1, keepdim=True)
        return F.softmax(scores, dim=-1).to(v.dtype) @ v, seen


def _at_least_float(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
