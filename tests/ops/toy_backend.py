# SPDX-License-Identifier: Apache-2.0
"""A backend in forty lines, to prove that adding a file and a name is all it takes."""

import torch
from torch import Tensor

from scam.ops import reference
from scam.ops.memory import empty_output
from scam.ops.problem import Problem

name = "toy"


def refusals(problem: Problem) -> list[str]:
    return ["toy dislikes fp16"] if problem.dtype == torch.float16 else []


def _wide(tensor: Tensor, group: int) -> Tensor:
    wide = tensor.to(torch.promote_types(tensor.dtype, torch.float32))
    return wide.repeat_interleave(group, 1)


def forward(query, key, value, query_labels, key_labels, layout, *, scale, empty):
    assert len(layout) == 4
    options = {"scale": scale, "empty": empty}
    out, lse = reference.attend(query, key, value, query_labels, key_labels, **options)
    laid_out = empty_output(query, out.shape[-1])
    laid_out.copy_(out)
    return laid_out, lse


def backward(
    grad_out,
    grad_lse,
    query,
    key,
    value,
    out,
    lse,
    query_labels,
    key_labels,
    layout,
    *,
    scale,
    empty,
):
    group = query.shape[1] // key.shape[1]
    q, k, v = _wide(query, 1), _wide(key, group), _wide(key if value is None else value, group)
    visible = reference.visibility(query_labels, key_labels)
    sees = visible.any(-1, keepdim=True)
    logits = (q @ k.mT * scale).masked_fill(~visible, -torch.inf)
    weights = (logits - lse.unsqueeze(-1)).exp()
    delta = (grad_out * out).sum(-1, keepdim=True)
    if grad_lse is not None:
        delta = delta - grad_lse.unsqueeze(-1)
    weights = weights.masked_fill(~visible, 0)
    grad_logits = (weights * (_wide(grad_out, 1) @ v.mT - delta)).masked_fill(~visible, 0)
    if empty == "uniform":
        weights = weights.masked_fill(~sees, 1 / max(1, key.shape[2]))
    grad_query = grad_logits @ k * scale
    grad_key, grad_value = grad_logits.mT @ q * scale, weights.mT @ _wide(grad_out, 1)
    grad_key, grad_value = (
        grad.unflatten(1, (-1, group)).sum(2) for grad in (grad_key, grad_value)
    )
    if value is None:
        grad_key, grad_value = grad_key + grad_value, None
    results = zip((grad_query, grad_key, grad_value), (query, key, value), strict=True)
    return tuple(
        None if grad is None else torch.empty_like(like).copy_(grad) for grad, like in results
    )
