# SPDX-License-Identifier: Apache-2.0
"""Semantic cross attention in plain PyTorch: oracle, fallback and baseline.

Dense: every query meets every key, as in the paper's equation. Any floating dtype, any device,
any order of gradient. Finite numbers in keys and values of other labels change nothing, bit for
bit; nor do infinities and NaN in keys that *no* query sees and queries that see no key. But a
non-finite number that one query sees reaches all of them through the dense product (0 * NaN).
"""

import torch
from torch import Tensor

from scam.ops.autocast import cast, without_autocast
from scam.ops.memory import empty_output


def visibility(query_labels: Tensor, key_labels: Tensor) -> Tensor:
    """Who sees whom: labels (B, Nq) and (B, Nk) -> bool (B, 1, Nq, Nk)."""
    queries, keys = query_labels[:, None, :, None], key_labels[:, None, None, :]
    return (queries == keys) & (queries >= 0)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor | None,
    query_labels: Tensor,
    key_labels: Tensor,
    *,
    scale: float,
    empty: str,
    with_lse: bool = True,
) -> tuple[Tensor, Tensor | None]:
    """Shapes and meaning as :func:`scam.ops.semantic_cross_attention`; labels are (B, N).

    Intermediates are fp32, or fp64 for fp64 inputs. Without ``with_lse`` None stands for lse.
    """
    query, key, value = cast(query), cast(key), None if value is None else cast(value)
    with without_autocast(query.device.type):
        return _attend(query, key, value, query_labels, key_labels, scale, empty, with_lse)


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor | None,
    query_labels: Tensor,
    key_labels: Tensor,
    scale: float,
    empty: str,
    with_lse: bool,
) -> tuple[Tensor, Tensor | None]:
    wide = torch.promote_types(query.dtype, torch.float32)
    visible = visibility(query_labels, key_labels)
    sees = visible.any(-1, keepdim=True)  # (B, 1, Nq, 1)
    seen = visible.any(-2).unsqueeze(-1)  # (B, 1, Nk, 1)
    q = query.to(wide).masked_fill(~sees, 0)
    k = key.to(wide).masked_fill(~seen, 0)
    v = (key if value is None else value).to(wide)
    if empty == "zero":
        v = v.masked_fill(~seen, 0)
    group = query.shape[1] // key.shape[1]
    if group > 1:
        k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)

    # A row of equal logits stands in where nothing is seen: softmax of -inf alone is NaN.
    logits = (q @ k.mT * scale).masked_fill(~visible, -torch.inf).masked_fill(~sees, 0)
    # Zero already, but for empty rows; said again so that no gradient passes: 0 * inf is NaN.
    weights = logits.softmax(-1).masked_fill(~visible if empty == "zero" else ~visible & sees, 0)
    out = _as_laid_out((weights @ v).to(query.dtype), query)
    if not with_lse:
        return out, None
    lse = logits.logsumexp(-1)
    return out, lse.masked_fill(~sees.squeeze(-1), -torch.inf) if empty == "zero" else lse


def _as_laid_out(out: Tensor, query: Tensor) -> Tensor:
    """Give ``out`` the memory layout that every backend promises."""
    strides = empty_output(query, out.shape[-1]).stride()
    order: list[int] = []  # axes from slow to fast; sorted() refuses strides unknown when compiled
    for axis in range(4):
        slower = [other for other in order if strides[other] >= strides[axis]]
        order.insert(len(slower), axis)
    inverse = [order.index(axis) for axis in range(4)]
    return out.permute(order).contiguous().permute(inverse)
