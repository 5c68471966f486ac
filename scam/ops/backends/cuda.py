# SPDX-License-Identifier: Apache-2.0
"""The CUDA C++ kernels in ``kernels/sca_cuda``: bf16 and fp16 on NVIDIA GPUs from sm_80 on.

Tensor cores multiply, so widths are multiples of 16; fp32 and other widths are for Triton. First
order gradients only. Nothing here waits for the device.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from scam.ops.attention_call import AttentionCall, Gradients
from scam.ops.backends.cuda_call import (
    DTYPES,
    Packed,
    Planned,
    Result,
    in_order,
    load,
    readable,
    stream_of,
    view,
)
from scam.ops.backends.cuda_modulation import modulation_backward, modulation_forward
from scam.ops.problem import MINIMUM_CAPABILITY, MODULATION, Problem, dtype_name

__all__ = ["backward", "forward", "modulation_backward", "modulation_forward", "name", "refusals"]

name = "cuda"

SHARED_99 = ((8, 6), (8, 9), (12, 0), (12, 1))
"""Capabilities that let a block have 99 KB of shared memory; the others have 163 KB or more."""


def _why_not_here(problem: Problem) -> str | None:
    """What keeps the kernels from running where the tensors are."""
    if problem.device_type != "cuda":
        return f"computes on NVIDIA GPUs, the tensors are on {problem.device_type}"
    if torch.version.hip is not None:
        return "computes on NVIDIA GPUs, this torch is built for ROCm"
    found = problem.capability
    if found is None:
        return "torch finds no usable GPU"
    if found < MINIMUM_CAPABILITY:
        return f"needs compute capability 8.0, this GPU has {found[0]}.{found[1]}"
    return None


def refusals(problem: Problem) -> list[str]:
    """Why the kernels cannot serve a problem, in words; [] when they can."""
    reasons = []
    here = _why_not_here(problem)
    if here:
        reasons.append(here)
    if problem.dtype not in DTYPES:
        reasons.append(f"computes in bf16 and fp16, not {dtype_name(problem.dtype)}")
    if not problem.aligned:
        reasons.append("needs widths that are multiples of 16")
    if problem.op != MODULATION and problem.wider_than(256):
        reasons.append("serves attention up to width 256")
    if problem.op == MODULATION and problem.wider_than(1024):
        reasons.append("serves a modulation up to 1024 channels")
    elif problem.op == MODULATION and problem.wider_than(672) and problem.capability in SHARED_99:
        major, minor = problem.capability
        reasons.append(
            "serves a modulation up to 672 channels where a block has 99 KB of shared memory, "
            f"as on this GPU of compute capability {major}.{minor}"
        )
    if problem.empty != "zero":
        reasons.append(f"has no empty={problem.empty!r}")
    try:
        load()
    except ImportError as error:
        reasons.append(str(error).splitlines()[0])
    return reasons


def _in_one_width(call: AttentionCall) -> AttentionCall:
    """The same with D == Dv: zeros added to what is narrower."""
    most = max(call.widths)
    query, key, values = (_widened(t, most) for t in (call.query, call.key, call.values))
    return replace(call, query=query, key=key, value=values)


def _widened(tensor: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(tensor, (0, width - tensor.shape[-1]))


def _kernels(call: AttentionCall, x: Tensor, last: bool, packed: Packed) -> Any:
    """A call as the kernels take it; x (B, H, N, D) is the wide side, packed the narrow one."""
    kernels = load().Attention()
    kernels.batch, kernels.heads, kernels.pixels, kernels.channels = x.shape
    kernels.dtype, kernels.channels_last = DTYPES.index(x.dtype), last
    kernels.scale, kernels.tokens = call.scale, packed.tokens
    kernels.x = view(x, "bhic")
    return kernels


def forward(call: AttentionCall) -> tuple[Tensor, Tensor, Tensor]:
    """Attend; see :class:`scam.ops.backends.Backend`."""
    out, lse, lse_rest = call.empty_results()
    width, value_width = call.widths
    if not lse.numel():
        return out, lse, lse_rest
    if value_width != width:
        wide, lse, lse_rest = forward(_in_one_width(call))
        return out.copy_(wide[..., :value_width]), lse, lse_rest
    stream, plan = stream_of(call.query), Planned(*call.sides)
    order = plan.narrow_order
    if call.wide_queries:
        x, last = readable(call.query)
        packed = Packed(order, (call.key, call.values))
        kernels = _kernels(call, x, last, packed)
        result = Result(out, last)
        kernels.pixel_out = view(result.written, "bhic")
        kernels.lse, kernels.lse_rest = lse.data_ptr(), lse_rest.data_ptr()
        kernels.plan = plan.tiles(last)
        load().pixels_read_forward(kernels, stream)
        return result.final(), lse, lse_rest
    x, last = readable(call.key)
    packed = Packed(order, (call.query,))
    kernels = _kernels(call, x, last, packed)
    z = None if call.value is None else in_order(call.value, last)
    kernels.z = view(z, "bhic")
    kernels.lse, kernels.lse_rest = lse.data_ptr(), lse_rest.data_ptr()
    kernels.token_out = [view(out, "bhic")]
    kernels.plan, partials = plan.pieces(call.query.shape[1], width + 2)
    kernels.partials = partials.data_ptr()
    load().latents_read_forward(kernels, stream)
    return out, lse, lse_rest


def backward(
    call: AttentionCall,
    grad_out: Tensor,
    grad_lse: Tensor | None,
    out: Tensor,
    lse: Tensor,
    lse_rest: Tensor,
) -> Gradients:
    """Return all gradients; see :class:`scam.ops.backends.Backend`."""
    grad_query, grad_key, grad_value = gradients = call.empty_gradients()
    width, value_width = call.widths
    given = [grad for grad in gradients if grad is not None]
    if not call.query.numel() or not call.key.numel():
        for grad in given:
            grad.zero_()
        return gradients
    if value_width != width:
        most = max(width, value_width)
        found = backward(
            _in_one_width(call), _widened(grad_out, most), grad_lse,
            _widened(out, most), lse, lse_rest,
        )  # fmt: skip
        for grad, wide in zip(given, found, strict=True):
            assert wide is not None
            grad.copy_(wide[..., : grad.shape[-1]])
        return gradients
    lse, lse_rest = lse.contiguous(), lse_rest.contiguous()
    plan = Planned(*call.sides)
    order = plan.narrow_order
    if call.wide_queries:
        x, last = readable(call.query)
        packed = Packed(order, (call.key, call.values))
        kernels = _kernels(call, x, last, packed)
        z: Tensor | None = in_order(grad_out, last)
        results = [Result(grad_query, last)]
        kernels.pixels_read, kernels.grad_lse = 1, view(grad_lse, "bhi")
        kernels.token_out = [view(grad_key, "bhic"), view(grad_value, "bhic")]
        row = 2 * width
    else:
        x, last = readable(call.key)
        rows, scalars = (call.query, grad_out), (lse, lse_rest, grad_lse)
        packed = Packed(order, rows, scalars, out)
        kernels = _kernels(call, x, last, packed)
        z = None if call.value is None else in_order(call.value, last)
        results = [Result(grad, last) for grad in given[1:]]
        kernels.token_out = [view(grad_query, "bhic")]
        if grad_value is not None:
            kernels.grad_z = view(results[1].written, "bhic")
        row = width
    kernels.z = view(z, "bhic")
    kernels.lse, kernels.lse_rest = lse.data_ptr(), lse_rest.data_ptr()
    kernels.pixel_out = view(results[0].written, "bhic")
    kernels.plan, partials = plan.pieces(call.query.shape[1], row)
    kernels.partials = partials.data_ptr()
    load().attention_backward(kernels, stream_of(call.query))
    for result in results:
        result.final()
    return gradients
