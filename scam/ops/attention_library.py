# SPDX-License-Identifier: Apache-2.0
"""``scam::sca_fwd`` and ``scam::sca_bwd``: semantic cross attention as PyTorch sees it."""

from typing import Any

import torch
from torch import Tensor

from scam.ops import dispatch
from scam.ops.attention_call import AttentionCall
from scam.ops.autocast import to_autocast_dtype
from scam.ops.backends import Backend
from scam.ops.problem import ATTENTION, attention_problem
from scam.ops.registration import (
    as_saved,
    define,
    first_order_only,
    register_autograd,
    returnable,
)
from scam.ops.sorting_library import layouts_for

_LABELS = (
    "Tensor query_labels, Tensor key_labels, Tensor? query_order, Tensor? query_offsets, "
    "Tensor? key_order, Tensor? key_offsets, float scale, str empty, str backend"
)
_MOST = "int most_queries=0, int most_keys=0"
_NUM_OTHERS = 9  # of _LABELS, none of which gets a gradient
_NUM_GIVEN = 3 + _NUM_OTHERS  # before _MOST
_NUM_TENSORS = 9  # query, key and value with their labels and layouts
_STATISTICS = "Tensor lse, Tensor lse_rest"
_FORWARD = (
    f"sca_fwd(Tensor query, Tensor key, Tensor? value, {_LABELS}, {_MOST}) "
    f"-> (Tensor out, {_STATISTICS})"
)
_BACKWARD = (
    "sca_bwd(Tensor grad_out, Tensor? grad_lse, Tensor query, Tensor key, Tensor? value, "
    f"Tensor out, {_STATISTICS}, {_LABELS}, bool keys_learn=True, {_MOST}) "
    "-> (Tensor grad_query, Tensor grad_key, Tensor grad_value)"
)


def _call(
    query: Tensor, key: Tensor, value: Tensor | None, *rest: Any
) -> tuple[AttentionCall, str]:
    """Arguments of the backward operator as a call, and the name of its backend."""
    query_labels, key_labels, *layout, scale, empty, name = rest[:_NUM_OTHERS]
    tensors = (query, key, value, query_labels, key_labels)
    four: Any = tuple(layout)
    # Programs exported by earlier versions lack the last ones, and PyTorch leaves out defaults.
    return AttentionCall(*tensors, four, scale, empty, *rest[_NUM_OTHERS:]), name


def _forward_call(*args: Any) -> tuple[AttentionCall, str]:
    """The same of the forward operator, which does not ask whether keys learn."""
    return _call(*args[:_NUM_GIVEN], True, *args[_NUM_GIVEN:])


def _serving(name: str, call: AttentionCall) -> Backend:
    facts = (call.query, call.value, call.empty, call.query.dtype)
    return dispatch.serving(name, attention_problem(*facts))


def _forward(*args: Any) -> tuple[Tensor, ...]:
    call, name = _forward_call(*args)
    if not call.query.numel():  # nothing to do, however many images there are
        return call.empty_results()
    with torch.cuda.device_of(call.query):
        return _serving(name, call).forward(call)


def _forward_fake(*args: Any) -> tuple[Tensor, ...]:
    call, _ = _forward_call(*args)
    return call.empty_results()


def _cast_inputs(query: Tensor, key: Tensor, value: Tensor | None, *rest: Any) -> tuple[Any, ...]:
    tensors = (None if x is None else to_autocast_dtype(x) for x in (query, key, value))
    return *tensors, *rest


def _backward(*args: Any) -> tuple[Tensor, ...]:
    grad_out, grad_lse, query, key, value, out, lse, lse_rest, *rest = args
    call, name = _call(query, key, value, *rest)
    if not query.numel() or not key.numel():
        zeros = (None if grad is None else grad.zero_() for grad in call.empty_gradients())
        return _wanted(tuple(zeros), call)
    with torch.cuda.device_of(query):
        backend = _serving(name, call)
        gradients = backend.backward(call, grad_out, grad_lse, out, lse, lse_rest)
    return _wanted(gradients, call)


def _backward_fake(*args: Any) -> tuple[Tensor, ...]:
    _, _, query, key, value, _, _, _, *rest = args
    call, _ = _call(query, key, value, *rest)
    return _wanted(call.empty_gradients(), call)


def _wanted(gradients: tuple[Tensor | None, ...], call: AttentionCall) -> tuple[Tensor, ...]:
    return returnable(gradients if call.keys_learn else (gradients[0], None, None))


sca_fwd = define(_FORWARD, _forward, _forward_fake, _cast_inputs)
sca_bwd = define(_BACKWARD, _backward, _backward_fake, as_saved)


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
        tensors, ctx.options = inputs[:_NUM_TENSORS], inputs[_NUM_TENSORS:_NUM_GIVEN]
        ctx.most = inputs[_NUM_GIVEN:]
        *items, query_labels, key_labels = tensors[:5]
        queries, keys = (query_labels, tensors[5:7]), (key_labels, tensors[7:9])
        with torch._C._AutoDispatchBelowAutograd():
            layouts = layouts_for(ctx.options[-1], queries, keys, by_size=True)
            tensors = (*items, query_labels, key_labels, *layouts)
            out, lse, lse_rest = sca_fwd(*tensors, *ctx.options, *ctx.most)
        ctx.save_for_backward(*tensors, out, lse, lse_rest)
        ctx.mark_non_differentiable(lse_rest)
        ctx.set_materialize_grads(False)
        return out, lse, lse_rest

    @staticmethod
    def backward(
        ctx: Any, grad_out: Tensor | None, grad_lse: Tensor | None, _: None
    ) -> tuple[Any, ...]:
        query, key, value, *labels, out, lse, lse_rest = ctx.saved_tensors
        others = (None,) * (_NUM_OTHERS + len(ctx.most))
        if grad_out is None and grad_lse is None:
            return None, None, None, *others
        if grad_out is None:
            grad_out = torch.zeros_like(out)
        options = (*ctx.options, any(ctx.needs_input_grad[1:3]), *ctx.most)
        grad_query, grad_key, grad_value = sca_bwd(
            grad_out, grad_lse, query, key, value, out, lse, lse_rest, *labels, *options
        )
        gradients = (grad_query, grad_key, grad_value)
        wanted = zip(gradients, ctx.needs_input_grad[:3], strict=True)
        return *(gradient if needed else None for gradient, needed in wanted), *others


register_autograd(sca_fwd, ATTENTION, _Attend)
first_order_only(sca_bwd, ATTENTION)
