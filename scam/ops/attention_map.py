# SPDX-License-Identifier: Apache-2.0
"""The attention weights, compact: for images and inspection."""

import torch
from torch import Tensor

from scam.ops.attention import semantic_cross_attention
from scam.ops.autocast import to_autocast_dtype
from scam.ops.layout import Labels, open_labels_of
from scam.ops.problem import check_integer, check_number, check_problem
from scam.settings import environment


def semantic_attention_map(
    query: Tensor,
    key: Tensor,
    query_labels: Labels,
    key_labels: Labels,
    *,
    max_keys: int,
    scale: float | None = None,
) -> Tensor:
    """The attention weights of each query, without the zeros of other labels.

    In plain PyTorch whatever the backend, since its result is dense: only the logarithms of the
    sums come from :func:`scam.ops.semantic_cross_attention`.

    Args:
        query: (B, H, Nq, D), as in :func:`scam.ops.semantic_cross_attention`.
        key: (B, Hkv, Nk, D), likewise.
        query_labels: (B, Nq), (Nq,) or a layout, likewise.
        key_labels: (B, Nk), (Nk,) or a layout, likewise.
        max_keys: how many keys of a label to return, e.g. the latents per label.
        scale: factor of the logits, default 1 / sqrt(D).

    Returns:
        (B, H, Nq, max_keys), fp32 (fp64 for fp64): entry j is the weight of the j-th key, in key
        order, that has the query's label; 0 where there is none. A label with more than
        ``max_keys`` keys is cut: what is left are weights of the whole softmax, so they sum to
        less than 1.

    Raises:
        TypeError, ValueError: as :func:`scam.ops.semantic_cross_attention`; ``max_keys`` below 1;
            under ``SCAM_CHECK=1`` a label with more than ``max_keys`` keys.
    """
    max_keys = check_integer("max_keys", max_keys)
    if max_keys < 1:
        raise ValueError(f"max_keys: expected at least 1, got {max_keys}")
    check_problem(query, key, None, scale, "zero")
    scale = query.shape[-1] ** -0.5 if scale is None else check_number("scale", scale)
    _, lse = semantic_cross_attention(
        query, key, key[..., :1], query_labels, key_labels, scale=scale, return_lse=True
    )
    queries = open_labels_of("query_labels", query_labels, query)[0].long().contiguous()
    keys, order = open_labels_of("key_labels", key_labels, key)[0].long().sort(dim=1, stable=True)
    if key.shape[2] == 0:
        return lse.new_zeros((*lse.shape, max_keys))
    begin = torch.searchsorted(keys, queries)
    end = torch.searchsorted(keys, queries, right=True).masked_fill(queries < 0, 0)
    _check_cut(end - begin, max_keys)

    q, k = to_autocast_dtype(query), to_autocast_dtype(key)
    q = q.to(lse.dtype) * scale
    q = q.unflatten(1, (key.shape[1], -1))  # (B, Hkv, H // Hkv, Nq, D)
    columns = []
    for slot in range(min(max_keys, key.shape[2])):
        chosen = order.gather(1, (begin + slot).clamp(max=key.shape[2] - 1))[:, None, :, None]
        mine = k.gather(2, chosen.expand(-1, k.shape[1], -1, k.shape[3]))  # (B, Hkv, Nq, D)
        columns.append((q * mine.unsqueeze(2)).sum(-1).flatten(1, 2))
    counts = (end - begin)[:, None, :, None]  # (B, 1, Nq, 1)
    held = torch.arange(len(columns), device=counts.device) < counts
    logits = torch.stack(columns, dim=-1).masked_fill(~held, -torch.inf)
    # Logarithms of sums serve labels that are cut alone: scores add up in another order there.
    share = (logits.logsumexp(-1) - lse).clamp(max=0).exp().unsqueeze(-1)
    weights = logits.softmax(-1) * torch.where(counts > max_keys, share, 1.0)
    weights = weights.masked_fill(~held, 0)
    return torch.nn.functional.pad(weights, (0, max_keys - len(columns)))


def _check_cut(counts: Tensor, max_keys: int) -> None:
    if torch.compiler.is_compiling() or not environment.check() or not counts.numel():
        return
    most = int(counts.max())
    if most > max_keys:
        raise ValueError(f"max_keys={max_keys}: expected at least {most}, a label has that many")
