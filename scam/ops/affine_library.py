# SPDX-License-Identifier: Apache-2.0
"""``scam::affine_fwd`` and ``scam::affine_bwd``: the affine by index as PyTorch sees it.

Pixels are flattened: shapes as in :class:`scam.ops.affine_call.AffineCall`.
"""

from typing import Any, cast

import torch
from torch import Tensor

from scam.ops import autocast, dispatch
from scam.ops.affine_call import AffineCall
from scam.ops.backends import AffineBackend
from scam.ops.problem import AFFINE, map_problem
from scam.ops.registration import (
    as_saved,
    define,
    first_order_only,
    register_autograd,
    returnable,
)

_ARGUMENTS = (
    "Tensor x, Tensor index, Tensor scale, Tensor shift, Tensor? mean, Tensor? rstd, "
    "float negative_slope, str backend"
)
_FORWARD = f"affine_fwd({_ARGUMENTS}) -> Tensor"
_BACKWARD = (
    f"affine_bwd(Tensor grad_y, {_ARGUMENTS}) -> "
    "(Tensor grad_x, Tensor grad_scale, Tensor grad_shift, Tensor grad_mean, Tensor grad_rstd)"
)
_DIFFERENTIABLE = (0, 2, 3, 4, 5)  # places among the arguments
_CAST = (0, 2, 3)  # by autocast, which leaves statistics alone


def _serving(name: str, x: Tensor) -> AffineBackend:
    return cast(AffineBackend, dispatch.serving(name, map_problem(AFFINE, x, x.dtype)))


def _forward(*args: Any) -> Tensor:
    *fields, name = args
    call = AffineCall(*fields)
    if not call.x.numel():
        return torch.empty_like(call.x)
    with torch.cuda.device_of(call.x):
        return _serving(name, call.x).affine_forward(call)


def _forward_fake(x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x)


def _cast_inputs(*args: Any) -> tuple[Any, ...]:
    return tuple(
        autocast.to_autocast_dtype(value) if place in _CAST else value
        for place, value in enumerate(args)
    )


def _backward(grad_y: Tensor, *args: Any) -> tuple[Tensor, ...]:
    *fields, name = args
    call = AffineCall(*fields)
    if not call.x.numel():
        gradients = call.empty_gradients()
        return returnable(tuple(None if grad is None else grad.zero_() for grad in gradients))
    with torch.cuda.device_of(call.x):
        return returnable(_serving(name, call.x).affine_backward(call, grad_y))


def _backward_fake(grad_y: Tensor, *args: Any) -> tuple[Tensor, ...]:
    return returnable(AffineCall(*args[:-1]).empty_gradients())


affine_fwd = define(_FORWARD, _forward, _forward_fake, _cast_inputs)
affine_bwd = define(_BACKWARD, _backward, _backward_fake, as_saved)


class _LookUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        *tensors, ctx.negative_slope, ctx.backend = args
        ctx.save_for_backward(*tensors)
        with torch._C._AutoDispatchBelowAutograd():
            return cast(Tensor, affine_fwd(*args))

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Any, ...]:
        tensors = ctx.saved_tensors
        gradients = affine_bwd(grad_y, *tensors, ctx.negative_slope, ctx.backend)
        wanted: list[Tensor | None] = [None] * (len(tensors) + 2)
        for place, gradient in zip(_DIFFERENTIABLE, gradients, strict=True):
            wanted[place] = None if tensors[place] is None else gradient
        return tuple(wanted)


register_autograd(affine_fwd, AFFINE, _LookUp)
first_order_only(affine_bwd, AFFINE)
