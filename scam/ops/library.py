# SPDX-License-Identifier: Apache-2.0
"""The op as PyTorch sees it: schema, shape inference, autograd, autocast.

``scam::sca_fwd`` and ``scam::sca_bwd`` carry the name of the backend that was chosen, so a
compiled graph states what it runs. This is the only file that uses ``torch.library``.
"""

from collections.abc import Callable
from typing import Any, NoReturn

import torch
from torch import Tensor

from scam.ops import dispatch
from scam.ops.autocast import cast
from scam.ops.memory import empty_output
from scam.ops.problem import Problem

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
_TAGS = (torch.Tag.pt2_compliant_tag, torch.Tag.needs_exact_strides)

_library = torch.library.Library("scam", "FRAGMENT")
_library.define(_FORWARD, tags=_TAGS)
_library.define(_BACKWARD, tags=_TAGS)

sca_fwd = torch.ops.scam.sca_fwd.default
sca_bwd = torch.ops.scam.sca_bwd.default


def _forward(query: Tensor, key: Tensor, value: Tensor | None, *rest: Any) -> tuple[Tensor, ...]:
    query_labels, key_labels, *layout, scale, empty, name = rest
    problem = Problem(query.device.type, query.dtype, value is None, empty)
    return dispatch.serving(name, problem).forward(
        query, key, value, query_labels, key_labels, tuple(layout), scale=scale, empty=empty
    )


def _backward(*args: Any) -> tuple[Tensor, ...]:
    *tensors, scale, empty, name = args
    query, key, value = tensors[2:5]
    arguments = (*tensors[:-4], tuple(tensors[-4:]))
    problem = Problem(query.device.type, query.dtype, value is None, empty)
    grad_query, grad_key, grad_value = dispatch.serving(name, problem).backward(
        *arguments, scale=scale, empty=empty
    )
    # A schema cannot return an optional tensor.
    return grad_query, grad_key, key.new_empty(0) if grad_value is None else grad_value


for _device in ("CPU", "CUDA"):
    _library.impl("sca_fwd", _forward, _device)
    _library.impl("sca_bwd", _backward, _device)


@torch.library.register_fake("scam::sca_fwd", lib=_library)
def _forward_fake(query: Tensor, key: Tensor, value: Tensor | None, *_: Any) -> tuple[Tensor, ...]:
    out = empty_output(query, (key if value is None else value).shape[-1])
    statistics = torch.promote_types(query.dtype, torch.float32)
    return out, query.new_empty(query.shape[:-1], dtype=statistics)


@torch.library.register_fake("scam::sca_bwd", lib=_library)
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


class _FirstOrderOnly(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, ...]:
        with torch._C._AutoDispatchBelowAutograd():
            return sca_bwd(*inputs)

    @staticmethod
    def backward(ctx: Any, *_: Tensor | None) -> NoReturn:
        raise NotImplementedError(
            "semantic_cross_attention: the fused backends give first-order gradients only; "
            "pass backend='reference' to differentiate a gradient"
        )


def _register_autograd(op: Any, function: type[torch.autograd.Function]) -> None:
    """As torch.library.register_autograd, whose bookkeeping costs 0.1 ms for a dozen arguments."""

    def differentiable(*args: Any) -> Any:
        if torch.is_grad_enabled() and torch._C._any_requires_grad(*args):
            return function.apply(*args)
        with torch._C._AutoDispatchBelowAutograd():
            return op(*args)

    _library.impl(op._opname, differentiable, "Autograd")


_register_autograd(sca_fwd, _Attend)
_register_autograd(sca_bwd, _FirstOrderOnly)


def _cast_inputs(query: Tensor, key: Tensor, value: Tensor | None, *rest: Any) -> tuple[Any, ...]:
    return cast(query), cast(key), None if value is None else cast(value), *rest


def _as_saved(*args: Any) -> tuple[Any, ...]:
    return args


def _register_autocast(op: Any, prepare: Callable[..., tuple[Any, ...]], name: str) -> None:
    """``torch.library.register_autocast`` fixes one dtype and would cast lse; hence by hand."""
    key = getattr(torch._C.DispatchKey, name)

    @op.py_impl(key)
    def autocast(*args: Any) -> Any:
        args = prepare(*args)  # outside the guard: inside, autocast looks switched off
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(key)):
            return op(*args)

    _library.impl(op._opname, lambda _, *args: autocast(*args), name, with_keyset=True)


for _autocast_key in ("AutocastCPU", "AutocastCUDA"):
    _register_autocast(sca_fwd, _cast_inputs, _autocast_key)
    _register_autocast(sca_bwd, _as_saved, _autocast_key)
