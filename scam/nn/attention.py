# SPDX-License-Identifier: Apache-2.0
"""Semantic cross attention with its four projections (SCAM paper, section 3.1)."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.nn.cost import Form, attention_cost, cheapest, weighed
from scam.ops import Labels, semantic_attention_map, semantic_cross_attention
from scam.ops.autocast import active_dtype
from scam.ops.layout import plain_labels
from scam.ops.problem import EMPTY, Empty, check_integer

_LEAST_SQUARE = 1e-8
Watch = Callable[[Tensor, Tensor, Labels, Labels], None]
"""Is shown queries, keys and the labels of both, before they meet."""


class SemanticCrossAttention(nn.Module):
    """Queries attend to the keys of their own label: ``W_O softmax(Q K^T / sqrt(a)) V``.

    Args:
        query_dim: channels of queries and result.
        key_dim: channels of keys, which are the values too.
        attention_dim: a, width of projected queries, keys and values over all heads.
        heads: must divide ``attention_dim``.
        empty: what a query without any key of its label receives: ``"zero"`` (nothing at all, the
            bias of ``to_out`` included) or ``"uniform"`` (the mean over every key, as released).
        key_bias: whether the key projection has a bias, as in the released networks; the softmax
            cancels it.
        bounded: the side, ``"queries"`` or ``"keys"``, whose vectors are brought to a learned
            length, one a head: what they become behind both projections, where a score is their
            product with the other side as it comes, which should be normalised. Without it scores
            grow with the weights, until the softmax takes one key alone and passes no gradient.
        fused: how it is computed, never what: both ways own the same parameters and agree to
            rounding.
        latents_per_label: only weighs the costs by which the fused way chooses its form.

    Raises:
        TypeError: a size that is no integer.
        ValueError: a size below 1, or ``heads``, ``empty`` or ``bounded`` none of these.
    """

    def __init__(
        self,
        query_dim: int,
        key_dim: int,
        attention_dim: int = 256,
        heads: int = 1,
        *,
        empty: Empty = "zero",
        key_bias: bool = False,
        bounded: Literal["queries", "keys"] | None = None,
        fused: bool = True,
        latents_per_label: int = 8,
    ) -> None:
        super().__init__()
        sizes = {"query_dim": query_dim, "key_dim": key_dim, "attention_dim": attention_dim}
        for name, size in (sizes | {"latents_per_label": latents_per_label}).items():
            if check_integer(name, size) < 1:
                raise ValueError(f"{name}={size}: expected at least 1")
        if check_integer("heads", heads) < 1 or attention_dim % heads:
            raise ValueError(f"heads={heads} must divide attention_dim={attention_dim}")
        if empty not in EMPTY:
            raise ValueError(f"empty={empty!r}: expected 'zero' or 'uniform'")
        if bounded not in (None, "queries", "keys"):
            raise ValueError(f"bounded={bounded!r}: expected 'queries', 'keys' or None")
        self.heads = heads
        self.empty = empty
        self.fused = fused
        # Not a module's forward hook: a folded modulation attends without calling forward.
        self.watch: Watch | None = None
        self.latents_per_label = latents_per_label
        self.bounded = bounded
        self.scale = 1.0 if bounded else (attention_dim // heads) ** -0.5
        self.log_length = nn.Parameter(torch.zeros(heads, 1, 1)) if bounded else None
        self.to_query = nn.Linear(query_dim, attention_dim)
        self.to_key = nn.Linear(key_dim, attention_dim, bias=key_bias)
        self.to_value = nn.Linear(key_dim, attention_dim)
        self.to_out = nn.Linear(attention_dim, query_dim)

    def forward(
        self, queries: Tensor, keys: Tensor, query_labels: Labels, key_labels: Labels
    ) -> Tensor:
        """Attend. queries (B, Nq, query_dim), keys (B, Nk, key_dim), labels (B, N) or (N,).

        Labels may come as layouts, too. Returns (B, Nq, query_dim).

        Raises:
            TypeError: no tensors, or of another dtype than the parameters (autocast excepted).
            ValueError: other shapes.
        """
        self._check(queries, "queries", self.to_query)
        self._check(keys, "keys", self.to_key)
        batch, found = queries.shape[0], keys.shape[0]
        # A traced graph may leave the batch free.
        if not torch.compiler.is_compiling() and found != batch:
            raise ValueError(f"keys: expected a batch of {batch}, got {found}")
        watch = self.watch  # once: another thread may take it away
        if watch is not None:
            watch(queries, keys, query_labels, key_labels)
        if self.fused:
            mixed, unseen = self._attend_fused(queries, keys, query_labels, key_labels)
        else:
            mixed, unseen = self._attend_dense(queries, keys, query_labels, key_labels)
        out = self.to_out(mixed.transpose(1, 2).flatten(2))
        return out if self.empty == "uniform" else out.masked_fill(unseen, 0.0)

    def _check(self, given: Tensor, name: str, projection: nn.Linear) -> None:
        """Refuse what one form of the computation would take and another would not."""
        if not isinstance(given, Tensor):
            raise TypeError(f"{name}: expected a tensor, got {type(given).__name__}")
        width = projection.in_features
        if given.dim() != 3 or given.shape[2] != width:
            raise ValueError(f"{name}: expected shape (B, N, {width}), got {tuple(given.shape)}")
        dtype = projection.weight.dtype
        if given.dtype != dtype and active_dtype(given.device.type) is None:
            raise TypeError(f"{name}: expected {dtype} like the parameters, got {given.dtype}")

    def weights(
        self,
        queries: Tensor,
        keys: Tensor,
        query_labels: Labels,
        key_labels: Labels,
        max_keys: int,
    ) -> Tensor:
        """How much of each key of its label a query takes: (B, heads, Nq, max_keys), for images.

        Arguments as of :meth:`forward`; ``max_keys``: as of
        :func:`scam.ops.semantic_attention_map`. Never Nq x Nk.
        """
        q, k = self._queries(queries), self._keys(keys)
        return semantic_attention_map(
            q, k, query_labels, key_labels, max_keys=max_keys, scale=self.scale
        )

    def weights_by_key(
        self,
        queries: Tensor,
        keys: Tensor,
        query_labels: Labels,
        key_labels: Labels,
        max_queries: int,
    ) -> Tensor:
        """The same numbers seen from the keys, for few queries and many keys.

        Returns (B, heads, Nk, max_queries). Entry j of a key is the weight that the j-th query of
        its label gives to it.
        """
        q, k = _at_least_float(self._queries(queries)), _at_least_float(self._keys(keys))
        q = q * self.scale
        _, lse = semantic_cross_attention(
            q, k, k[..., :1], query_labels, key_labels, scale=1.0, return_lse=True
        )
        # A channel more makes each score the logarithm of the weight; then keys ask queries.
        less = -lse.masked_fill(lse == -torch.inf, 0.0).unsqueeze(-1)
        q = torch.cat([q, less.to(q.dtype)], dim=-1)
        k = torch.cat([k, torch.ones_like(k[..., :1])], dim=-1)
        share = semantic_attention_map(
            k, q, key_labels, query_labels, max_keys=max_queries, scale=1.0
        )
        _, total = semantic_cross_attention(
            k, q, q[..., :1], key_labels, query_labels, scale=1.0, return_lse=True
        )
        return (share * total.exp().unsqueeze(-1)).clamp(max=1.0)  # above by rounding alone

    def cost(self, queries: int, keys: int, head_dim: int = 0) -> dict[Form, int]:
        """Multiply-adds of every form, for numbers of queries and keys in one image.

        A number that a traced graph leaves free counts as ``scam.nn.cost.TRACED_SIZE``.
        """
        queries, keys = weighed(queries), weighed(keys)
        return attention_cost(
            queries,
            keys,
            max(queries, keys) * self.latents_per_label,
            self.to_query.in_features,
            self.to_key.in_features,
            self.to_query.out_features,
            self.heads,
            head_dim,
        )

    def absorbed_keys(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Keys for queries that are never projected: their scores are ``x . key + bias``.

        tokens (B, m, key_dim) -> keys (B, heads, m, query_dim) and biases (B, heads, m), the
        scale inside. The key projection's own bias cancels in the softmax but for the query's
        part, which is kept.
        """
        keys, bias = self._behind_queries(self._split_heads(self.to_key(tokens)) * self.scale)
        if self.bounded == "keys":
            length = self._to_length(keys, bias)
            keys, bias = keys * length, bias * length
        return keys, bias.squeeze(-1)

    def absorbed_values(self, tokens: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Values behind the output projection and a head ``x @ weight.T + bias``.

        tokens (B, m, key_dim), weight (G, query_dim) -> (B, heads, m, G), which summed over
        heads give what the head makes of :meth:`forward`, for queries that see something.
        """
        v = self._split_heads(self.to_value(tokens))
        out_of = self.to_out.weight.t().unflatten(0, (self.heads, -1)) @ weight.t()
        return self._times(v, out_of, (bias + weight @ self.to_out.bias) / self.heads)

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)

    def _times(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """``x @ weight + bias``: x (B, heads, m, a), weight (heads, a, C), bias (heads, 1, C) or
        (C,) -> (B, heads, m, C).
        """
        if self.empty == "uniform":  # the released networks keep their rounding
            return x @ weight if bias is None else x @ weight + bias
        # One product for all images: theirs are small, and the gradient of the weight is a sum.
        rows = x.transpose(0, 1).flatten(1, 2)
        product = torch.bmm(rows, weight) if bias is None else torch.baddbmm(bias, rows, weight)
        return product.unflatten(1, (x.shape[0], x.shape[2])).transpose(0, 1)

    def _queries(self, queries: Tensor) -> Tensor:
        """Projected (B, heads, Nq, a / heads), for scores ``scale * q . k`` with :meth:`_keys`."""
        q = self._split_heads(self.to_query(queries))
        return q * self._to_length(self._behind_keys(q)) if self.bounded == "queries" else q

    def _keys(self, keys: Tensor) -> Tensor:
        k = self._split_heads(self.to_key(keys))
        return k * self._to_length(*self._behind_queries(k)) if self.bounded == "keys" else k

    def _behind_keys(self, q: Tensor) -> Tensor:
        """What projected queries are to keys as they come: (B, heads, Nq, key_dim)."""
        return self._times(q, self.to_key.weight.unflatten(0, (self.heads, -1)).to(q.dtype))

    def _behind_queries(self, k: Tensor) -> tuple[Tensor, Tensor]:
        """What projected keys are to queries as they come: (B, heads, Nk, query_dim), and a bias
        (B, heads, Nk, 1).
        """
        into = self.to_query.weight.unflatten(0, (self.heads, -1))
        query_bias = self.to_query.bias.unflatten(0, (self.heads, -1, 1))
        return self._times(k, into), self._times(k, query_bias)

    def _to_length(self, vectors: Tensor, bias: Tensor | None = None) -> Tensor:
        """What brings vectors (B, heads, N, C), each with its bias, to the learned length."""
        assert self.log_length is not None
        squares = _at_least_float(vectors).square().sum(-1, keepdim=True)
        if bias is not None:
            squares = squares + bias.square()
        return (self.log_length.exp() * (squares + _LEAST_SQUARE).rsqrt()).to(vectors.dtype)

    def _attend_fused(
        self, queries: Tensor, keys: Tensor, query_labels: Labels, key_labels: Labels
    ) -> tuple[Tensor, Tensor]:
        cost = self.cost(queries.shape[1], keys.shape[1])
        if self.bounded is not None:  # what is brought to a length is what the other side meets
            del cost["absorbed_queries" if self.bounded == "keys" else "absorbed_keys"]
        form = cheapest(cost)
        scale = self.scale
        if form == "absorbed_queries":
            # The key bias cancels in the softmax.
            q = self._behind_keys(self._split_heads(self.to_query(queries)))
            if self.bounded == "queries":
                q = q * self._to_length(q)
            k, v = keys.unsqueeze(1).to(q.dtype), None
        elif form == "absorbed_keys":
            # A channel of ones carries the bias; it needs a copy of the queries.
            k, bias = self.absorbed_keys(keys)
            k = torch.cat([k, bias.unsqueeze(-1)], dim=-1)
            ones = queries.new_ones(()).expand(*queries.shape[:2], 1)
            q = torch.cat([queries, ones], dim=2).to(k.dtype).unsqueeze(1)
            q, scale = q.expand(-1, self.heads, -1, -1), 1.0
            v = self._split_heads(self.to_value(keys))
        else:
            q, k = self._queries(queries), self._keys(keys)
            v = self._split_heads(self.to_value(keys))
        mixed, lse = semantic_cross_attention(
            q,
            k,
            v,
            query_labels,
            key_labels,
            scale=scale,
            empty=self.empty,
            return_lse=True,
        )
        if form == "absorbed_queries":
            weight = self.to_value.weight.unflatten(0, (self.heads, -1)).to(mixed.dtype)
            bias = self.to_value.bias.unflatten(0, (self.heads, 1, -1)).to(mixed.dtype)
            mixed = self._times(mixed, weight.transpose(1, 2), bias)
        return mixed, (lse[:, 0] == -torch.inf).unsqueeze(-1)

    def _attend_dense(
        self, queries: Tensor, keys: Tensor, query_labels: Labels, key_labels: Labels
    ) -> tuple[Tensor, Tensor]:
        """Every pair of the n x m table, as the paper writes it; kept to compare against."""
        q, k = self._queries(queries), self._keys(keys)
        v = self._split_heads(self.to_value(keys))
        scores = _at_least_float(q @ k.transpose(2, 3)) * self.scale
        of_queries, of_keys = plain_labels(query_labels), plain_labels(key_labels)
        allowed = of_queries.unsqueeze(-1) == of_keys.unsqueeze(-2)
        allowed = allowed & (of_queries.unsqueeze(-1) >= 0)
        allowed = allowed if allowed.dim() == 3 else allowed.unsqueeze(0)
        # A row of equal fills is a uniform softmax: what the released code computes there.
        scores = scores.masked_fill(~allowed.unsqueeze(1), -1e9)
        unseen = ~allowed.any(-1, keepdim=True)
        return F.softmax(scores, dim=-1).to(v.dtype) @ v, unseen


def _at_least_float(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
