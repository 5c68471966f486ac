# SPDX-License-Identifier: Apache-2.0
"""The CUDA C++ kernels in ``kernels/sca_cuda``: bf16 and fp16 on NVIDIA GPUs from sm_80 on.

Tensor cores multiply, so widths are multiples of 16; fp32 and other widths are for Triton. First
order gradients only. Nothing here waits for the device.
"""

from typing import Any

import torch
from torch import Tensor

from scam.ops.backends.cuda_call import (
    DTYPES,
    Packed,
    Result,
    in_order,
    labels_of,
    load,
    pieces_of,
    readable,
    stream_of,
    view,
)
from scam.ops.backends.cuda_modulation import modulation_backward, modulation_forward
from scam.ops.layout import Layouts
from scam.ops.memory import empty_output
from scam.ops.problem import MODULATION, Problem

__all__ = ["backward", "forward", "modulation_backward", "modulation_forward", "name", "refusals"]

name = "cuda"

MINIMUM_CAPABILITY = (8, 0)


def _why_not_here(device_type: str) -> str | None:
    """What keeps the kernels from running where the tensors are."""
    if device_type != "cuda":
        return f"computes on NVIDIA GPUs, the tensors are on {device_type}"
    if torch.version.hip is not None:
        return "computes on NVIDIA GPUs, this torch is built for ROCm"
    if not torch.cuda.is_available():
        return "torch finds no usable GPU"
    found = torch.cuda.get_device_capability()
    if found < MINIMUM_CAPABILITY:
        return f"needs compute capability 8.0, this GPU has {found[0]}.{found[1]}"
    return None


def refusals(problem: Problem) -> list[str]:
    """Why the kernels cannot serve a problem, in words; [] when they can."""
    reasons = []
    here = _why_not_here(problem.device_type)
    if here:
        reasons.append(here)
    if problem.dtype not in DTYPES:
        found = str(problem.dtype).removeprefix("torch.")
        reasons.append(f"computes in bf16 and fp16, not {found}")
    if not problem.aligned:
        reasons.append("needs widths that are multiples of 16")
    if problem.op != MODULATION and problem.beyond_256:
        reasons.append("serves attention up to width 256")
    if problem.op == MODULATION and problem.beyond_1024:
        reasons.append("serves a modulation up to 1024 channels")
    if problem.empty != "zero":
        reasons.append(f"has no empty={problem.empty!r}")
    try:
        load()
    except ImportError as error:
        reasons.append(str(error).splitlines()[0])
    return reasons


def _swapped(layout: Layouts) -> Layouts:
    return (*layout[2:], *layout[:2])


def _widened(tensor: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(tensor, (0, width - tensor.shape[-1]))


def _attention(x: Tensor, last: bool, labels: Tensor, packed: Packed, scale: float) -> Any:
    """A call of the attention kernels; x (B, H, N, D) and labels are of the longer side."""
    call = load().Attention()
    call.batch, call.heads, call.pixels, call.channels = x.shape
    call.dtype, call.channels_last = DTYPES.index(x.dtype), last
    call.scale, call.labels, call.tokens = scale, labels_of(labels), packed.tokens
    call.x = view(x, "bhic")
    return call


def forward(
    query: Tensor,
    key: Tensor,
    value: Tensor | None,
    query_labels: Tensor,
    key_labels: Tensor,
    layout: Layouts,
    *,
    scale: float,
    empty: str,
) -> tuple[Tensor, Tensor]:
    """Return out (B, H, Nq, Dv), laid out as ``empty_output``, and lse (B, H, Nq), fp32."""
    width, value_width = query.shape[-1], (query if value is None else value).shape[-1]
    out = empty_output(query, value_width)
    lse = query.new_empty(query.shape[:-1], dtype=torch.float32)
    if not lse.numel():
        return out, lse
    if value is not None and value_width != width:
        most = max(width, value_width)
        wide, lse = forward(
            _widened(query, most), _widened(key, most), _widened(value, most), query_labels,
            key_labels, layout, scale=scale, empty=empty,
        )  # fmt: skip
        return out.copy_(wide[..., :value_width]), lse
    stream = stream_of(query)
    if query.shape[2] >= key.shape[2]:
        x, last = readable(query)
        packed = Packed(key_labels, (key, key if value is None else value), (None, None))
        call = _attention(x, last, query_labels, packed, scale)
        result = Result(out, last)
        call.grad_x, call.lse = view(result.written, "bhic"), lse.data_ptr()
        load().pixels_read_forward(call, stream)
        return result.final(), lse
    x, last = readable(key)
    packed = Packed(query_labels, (query,), (None, None))
    call = _attention(x, last, key_labels, packed, scale)
    z = None if value is None else in_order(value, last)
    call.z, call.lse, call.token_out = view(z, "bhic"), lse.data_ptr(), [view(out, "bhic")]
    call.plan, memory = pieces_of(
        key_labels, query_labels, _swapped(layout), query.shape[1], width + 2
    )
    call.partials = memory[-1].data_ptr()
    load().latents_read_forward(call, stream)
    return out, lse


def backward(
    grad_out: Tensor,
    grad_lse: Tensor | None,
    query: Tensor,
    key: Tensor,
    value: Tensor | None,
    out: Tensor,
    lse: Tensor,
    query_labels: Tensor,
    key_labels: Tensor,
    layout: Layouts,
    *,
    scale: float,
    empty: str,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the gradients of query, key and value (None if value is), each laid out as they."""
    grad_query, grad_key = torch.empty_like(query), torch.empty_like(key)
    grad_value = None if value is None else torch.empty_like(value)
    width = query.shape[-1]
    if not query.numel() or not key.numel():
        none = None if grad_value is None else grad_value.zero_()
        return grad_query.zero_(), grad_key.zero_(), none
    if value is not None and grad_value is not None and value.shape[-1] != width:
        most = max(width, value.shape[-1])
        found = backward(
            _widened(grad_out, most), grad_lse, _widened(query, most), _widened(key, most),
            _widened(value, most), _widened(out, most), lse, query_labels, key_labels, layout,
            scale=scale, empty=empty,
        )  # fmt: skip
        for grad, wide in zip((grad_query, grad_key, grad_value), found, strict=True):
            if wide is not None:
                grad.copy_(wide[..., : grad.shape[-1]])
        return grad_query, grad_key, grad_value
    lse = lse.contiguous()
    if query.shape[2] >= key.shape[2]:
        x, last = readable(query)
        packed = Packed(key_labels, (key, key if value is None else value), (None, None))
        call = _attention(x, last, query_labels, packed, scale)
        z: Tensor | None = in_order(grad_out, last)
        results = [Result(grad_query, last)]
        call.pixels_read, call.grad_lse = 1, view(grad_lse, "bhi")
        call.token_out = [view(grad_key, "bhic"), view(grad_value, "bhic")]
        narrow, heads, row = key_labels, query.shape[1], 2 * width
    else:
        x, last = readable(key)
        packed = Packed(query_labels, (query, grad_out), (lse, grad_lse), out)
        call = _attention(x, last, key_labels, packed, scale)
        z = None if value is None else in_order(value, last)
        results = [Result(grad, last) for grad in (grad_key, grad_value) if grad is not None]
        call.token_out = [view(grad_query, "bhic")]
        if grad_value is not None:
            call.grad_z = view(results[1].written, "bhic")
        narrow, heads, row, layout = query_labels, query.shape[1], width, _swapped(layout)
    call.z, call.lse = view(z, "bhic"), lse.data_ptr()
    call.grad_x = view(results[0].written, "bhic")
    wide_labels = query_labels if narrow is key_labels else key_labels
    call.plan, memory = pieces_of(wide_labels, narrow, layout, heads, row)
    call.partials = memory[-1].data_ptr()
    load().attention_backward(call, stream_of(query))
    for result in results:
        result.final()
    return grad_query, grad_key, grad_value
