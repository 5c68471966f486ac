# SPDX-License-Identifier: Apache-2.0
"""``scam::sca_fwd`` and ``scam::sca_bwd``: semantic cross attention as PyTorch sees it."""

from typing import Any

import torch
from torch import Tensor

from scam.ops import dispatch
from scam.ops.autocast import cast
from scam.ops.memory import empty_output
from scam.ops.problem import ATTENTION, attention_problem
from scam.ops.registration import as_saved, define, first_order_only, register_autograd

_LABELS = (
    "Tensor query_labels, Tensor key_labels, Tensor? query_order, Tensor? query_offsets, "
    "Tensor? key_order, Tensor? key_offsets, float scale, str empty, str backend"
)
_FORWARD = (
    f"sca_fwd(Tensor query, Tensor key, Tensor? value, {_LABELS}) -> (Tensor out, Tensor lse)"
)
_BACKWARD = (
    "sca_bwd(Tensor grad_out, Tensor? grad_lse, Tensor query, Tensor key, Tensor? value, "
    f"Tensor out, Tensor lse, {_LABELS}) "
    "-> (Tensor grad_query, Tensor grad_key, Tensor grad_value)"
)


def _forward(query: Tensor, key: Tensor, value: Tensor | None, *rest: Any) -> tuple[Tensor, ...]:
    query_labels, key_labels, *layout, scale, empty, name = rest
    problem = attention_problem(query, value, empty, query.dtype)
    with torch.cuda.device_of(query):
        return dispatch.serving(name, problem).forward(
            query, key, value, query_labels, key_labels, tuple(layout), scale=scale, empty=empty
        )


def _forward_fake(query: Tensor, key: Tensor, value: Tensor | None, *_: Any) -> tuple[Tensor, ...]:
    out = empty_output(query, (key if value is None else value).shape[-1])
    statistics = torch.promote_types(query.dtype, torch.float32)
    return out, query.new_empty(query.shape[:-1], dtype=statistics)


def _cast_inputs(query: Tensor, key: Tensor, value: Tensor | None, *rest: Any) -> tuple[Any, ...]:
    return cast(query), cast(key), None if value is None else cast(value), *rest


def _backward(*args: Any) -> tuple[Tensor, ...]:
    *tensors, scale, empty, name = args
    query, key, value = tensors[2:5]
    arguments = (*tensors[:-4], tuple(tensors[-4:]))
    problem = attention_problem(query, value, empty, query.dtype)
    with torch.cuda.device_of(query):
        grad_query, grad_key, grad_value = dispatch.serving(name, problem).backward(
            *arguments, scale=scale, empty=empty
        )
    # A schema cannot return an optional tensor.
    return grad_query, grad_key, key.new_empty(0) if grad_value is None else grad_value


def _backward_fake(
    grad_out: Tensor,
    grad_lse: Tensor | None,
    query: Tensor,
    key: Tensor,
    value: Tensor | None,
    *_: Any,
) -> tuple[Tensor, ...]:
    grad_value = key.new_empty(0) if value is None else torch.empty_like(value)
    return torch.empty_like(query), torch.empty_like(key), grad_value


sca_fwd = define(_FORWARD, _forward, _forward_fake, _cast_inputs)
sca_bwd = define(_BACKWARD, _backward, _backward_fake, as_saved)


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        *tensors, ctx.scale, ctx.empty, ctx.backend = inputs
        with torch._C._AutoDispatchBelowAutograd():
            out, lse = sca_fwd(*inputs)
        ctx.save_for_backward(*tensors, out, lse)
        ctx.set_materialize_grads(False)
        return out, lse

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor | None, grad_lse: Tensor | None) -> tuple[Any, ...]:
        query, key, value, *labels, out, lse = ctx.saved_tensors
        others = (None,) * 9
        if grad_out is None and grad_lse is None:
            return None, None, None, *others
        if grad_out is None:
            grad_out = torch.zeros_like(out)
        options = (ctx.scale, ctx.empty, ctx.backend)
        grad_query, grad_key, grad_value = sca_bwd(
            grad_out, grad_lse, query, key, value, out, lse, *labels, *options
        )
        return grad_query, grad_key, None if value is None else grad_value, *others


register_autograd(sca_fwd, _Attend)
first_order_only(sca_bwd, ATTENTION)
