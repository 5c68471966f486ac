# SPDX-License-Identifier: Apache-2.0
"""``scam::modulation_fwd`` and ``scam::modulation_bwd``: the modulation as PyTorch sees it.

Pixels are flattened: shapes as in :class:`scam.ops.modulation_call.ModulationCall`.
"""

from typing import Any, cast

import torch
from torch import Tensor

from scam.ops import autocast, dispatch
from scam.ops.backends import ModulationBackend
from scam.ops.modulation_call import ModulationCall
from scam.ops.problem import MODULATION, map_problem
from scam.ops.registration import (
    as_saved,
    define,
    first_order_only,
    register_autograd,
    returnable,
)
from scam.ops.sorting_library import layouts_for

_INPUTS = (
    "Tensor x, Tensor labels, Tensor keys, Tensor key_bias, Tensor gamma, Tensor beta, "
    "Tensor token_labels, Tensor? position, Tensor? default_gamma, Tensor? default_beta, "
    "Tensor? noise, Tensor? noise_scale"
)
_OPTIONS = (
    "Tensor? pixel_order, Tensor? pixel_offsets, Tensor? token_order, Tensor? token_offsets, "
    "float eps, float negative_slope, str backend, int most_tokens=0"
)
_STATISTICS = "Tensor lse, Tensor lse_rest, Tensor mean, Tensor rstd"
_FORWARD = f"modulation_fwd({_INPUTS}, {_OPTIONS}) -> (Tensor y, {_STATISTICS})"
_BACKWARD = (
    f"modulation_bwd(Tensor grad_y, {_INPUTS}, {_STATISTICS}, {_OPTIONS}) "
    "-> (Tensor grad_x, Tensor grad_keys, Tensor grad_key_bias, Tensor grad_gamma, "
    "Tensor grad_beta, Tensor grad_default_gamma, Tensor grad_default_beta, "
    "Tensor grad_noise_scale)"
)
_DIFFERENTIABLE = (0, 2, 3, 4, 5, 8, 9, 11)  # places among the inputs
_NUM_INPUTS, _NUM_OPTIONS = 12, 7  # options but the last, which may be left out
_NUM_TENSORS = _NUM_INPUTS + 4
"""Inputs and layouts; also inputs and statistics, which in backward stand before the options."""
_LABELS = (1, 6)
_BACKEND = 2  # place among the options after the layouts


def _call(inputs: tuple[Any, ...], options: tuple[Any, ...]) -> tuple[ModulationCall, str]:
    """An operator's arguments as a call, and the name of its backend."""
    *layout, eps, negative_slope, name = options[:_NUM_OPTIONS]
    # Programs exported by earlier versions lack the last one, and PyTorch leaves out defaults.
    arguments: Any = (*inputs, tuple(layout), eps, negative_slope, *options[_NUM_OPTIONS:])
    return ModulationCall(*arguments), name


def _serving(name: str, x: Tensor) -> ModulationBackend:
    return cast(ModulationBackend, dispatch.serving(name, map_problem(MODULATION, x, x.dtype)))


def _forward(*args: Any) -> tuple[Tensor, ...]:
    call, name = _call(args[:_NUM_INPUTS], args[_NUM_INPUTS:])
    if not call.x.numel():  # nothing to do, however many images there are
        return torch.empty_like(call.x), *(t.zero_() for t in call.empty_statistics())
    with torch.cuda.device_of(call.x):
        return _serving(name, call.x).modulation_forward(call)


def _forward_fake(*args: Any) -> tuple[Tensor, ...]:
    call, _ = _call(args[:_NUM_INPUTS], args[_NUM_INPUTS:])
    return torch.empty_like(call.x), *call.empty_statistics()


def _cast_inputs(*args: Any) -> tuple[Any, ...]:
    inputs = (
        value if value is None or place in _LABELS else autocast.to_autocast_dtype(value)
        for place, value in enumerate(args[:_NUM_INPUTS])
    )
    return *inputs, *args[_NUM_INPUTS:]


def _backward(grad_y: Tensor, *args: Any) -> tuple[Tensor, ...]:
    statistics = args[_NUM_INPUTS:_NUM_TENSORS]
    call, name = _call(args[:_NUM_INPUTS], args[_NUM_TENSORS:])
    if not call.x.numel():
        gradients = call.empty_gradients()
        return returnable(tuple(None if grad is None else grad.zero_() for grad in gradients))
    with torch.cuda.device_of(call.x):
        return returnable(_serving(name, call.x).modulation_backward(call, grad_y, *statistics))


def _backward_fake(grad_y: Tensor, *args: Any) -> tuple[Tensor, ...]:
    call, _ = _call(args[:_NUM_INPUTS], args[_NUM_TENSORS:])
    return returnable(call.empty_gradients())


modulation_fwd = define(_FORWARD, _forward, _forward_fake, _cast_inputs)
modulation_bwd = define(_BACKWARD, _backward, _backward_fake, as_saved)


class _Modulate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, ...]:
        tensors, ctx.options = inputs[:_NUM_TENSORS], inputs[_NUM_TENSORS:]
        given, layout = tensors[:_NUM_INPUTS], tensors[_NUM_INPUTS:]
        pixels, tokens = (
            (given[place], layout[2 * side : 2 * side + 2]) for side, place in enumerate(_LABELS)
        )
        with torch._C._AutoDispatchBelowAutograd():
            layouts = layouts_for(ctx.options[_BACKEND], pixels, tokens, by_size=False)
            tensors = (*given, *layouts)
            y, *statistics = modulation_fwd(*tensors, *ctx.options)
        ctx.save_for_backward(*tensors, *statistics)
        ctx.mark_non_differentiable(*statistics)
        ctx.set_materialize_grads(False)
        return y, *statistics

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor | None, *_: None) -> tuple[Any, ...]:
        *tensors, lse, lse_rest, mean, rstd = ctx.saved_tensors
        inputs, layout = tensors[:_NUM_INPUTS], tensors[_NUM_INPUTS:]
        wanted: list[Tensor | None] = [None] * (len(tensors) + len(ctx.options))
        if grad_y is None:
            return tuple(wanted)
        statistics = (lse, lse_rest, mean, rstd)
        gradients = modulation_bwd(grad_y, *inputs, *statistics, *layout, *ctx.options)
        for place, gradient in zip(_DIFFERENTIABLE, gradients, strict=True):
            wanted[place] = None if inputs[place] is None else gradient
        return tuple(wanted)


register_autograd(modulation_fwd, MODULATION, _Modulate)
first_order_only(modulation_bwd, MODULATION)
