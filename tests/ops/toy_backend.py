# SPDX-License-Identifier: Apache-2.0
"""A backend in forty lines, to prove that adding a file and a name is all it takes."""

import torch
from torch import Tensor

from scam.ops import reference
from scam.ops.problem import Problem

name = "toy"


def refusals(problem: Problem) -> list[str]:
    return ["toy dislikes fp16"] if problem.dtype == torch.float16 else []


def _wide(tensor: Tensor, group: int) -> Tensor:
    wide = tensor.to(torch.promote_types(tensor.dtype, torch.float32))
    return wide.repeat_interleave(group, 1)


def forward(call):
    assert len(call.layout) == 4
    out, lse, lse_rest = call.empty_results()
    found = reference.attend(call)
    return out.copy_(found[0]), lse.copy_(found[1]), lse_rest.zero_()


def backward(call, grad_out, grad_lse, out, lse, lse_rest):
    group, scale = call.group, call.scale
    q, k, v = _wide(call.query, 1), _wide(call.key, group), _wide(call.values, group)
    visible = reference.visibility(call.query_labels, call.key_labels)
    sees = visible.any(-1, keepdim=True)
    logits = (q @ k.mT * scale).masked_fill(~visible, -torch.inf)
    if call.empty == "zero":
        grad_out = grad_out.masked_fill(~sees, 0)
    weights = (logits - lse.unsqueeze(-1)).exp()
    delta = (grad_out * out).sum(-1, keepdim=True)
    if grad_lse is not None:
        delta = delta - grad_lse.unsqueeze(-1)
    weights = weights.masked_fill(~visible, 0)
    grad_logits = (weights * (_wide(grad_out, 1) @ v.mT - delta)).masked_fill(~visible, 0)
    if call.empty == "uniform":
        weights = weights.masked_fill(~sees, 1 / max(1, call.key.shape[2]))
    grad_query = grad_logits @ k * scale
    grad_key, grad_value = grad_logits.mT @ q * scale, weights.mT @ _wide(grad_out, 1)
    grad_key, grad_value = (
        grad.unflatten(1, (-1, group)).sum(2) for grad in (grad_key, grad_value)
    )
    if call.value is None:
        grad_key, grad_value = grad_key + grad_value, None
    results = zip(call.empty_gradients(), (grad_query, grad_key, grad_value), strict=True)
    return tuple(None if mine is None else mine.copy_(found) for mine, found in results)
