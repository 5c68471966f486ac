# SPDX-License-Identifier: Apache-2.0
"""The modulation on the CUDA kernels."""

import torch
from torch import Tensor

from scam.ops.backends.cuda_call import (
    DTYPES,
    Packed,
    Planned,
    Result,
    aligned,
    in_order,
    load,
    readable,
    stream_of,
    view,
)
from scam.ops.modulation_call import ModulationCall

WARPS = 8192
"""Keep a GPU busy with x alone, and leave each of them several reads."""


def _strips(call: ModulationCall, last: bool) -> int:
    """Strips of an image, in passes over x alone."""
    batch, channels, pixels = call.x.shape
    in_strip = 64 if last else channels  # warps; where channels come last a few blocks for each SM
    return max(1, min(pixels // 256, -(-WARPS // max(1, batch * in_strip))))


class _Modulation:
    """One call of the modulation: arguments as in ``ModulationBackend``, as kernels take them."""

    def __init__(self, given: ModulationCall, order: Tensor) -> None:
        self.x, self.last = readable(given.x.mT)
        keys, key_bias, gamma, beta = given.tokens
        self.packed = Packed(order, (keys, gamma, beta), (key_bias, None, None))
        self.keep: list[Tensor] = []
        call = load().Modulation()
        call.batch, call.pixels, call.channels = self.x.shape
        call.dtype, call.channels_last = DTYPES.index(self.x.dtype), self.last
        call.eps, call.negative_slope = given.eps, given.negative_slope
        call.x, call.tokens = view(self.x, "bic"), self.packed.tokens
        if given.position is not None:
            call.position = view(self.held(in_order(given.position.mT, self.last)), "ic")
        call.default_gamma = view(given.default_gamma, "bc")
        call.default_beta = view(given.default_beta, "bc")
        call.noise = view(given.noise, "bi")
        if given.noise_scale is not None:
            call.noise_scale = self.held(aligned(given.noise_scale)).data_ptr()
        self.call = call
        self.stream = stream_of(self.x)

    def held(self, tensor: Tensor) -> Tensor:
        """Keeps memory alive until the kernels are on their way."""
        self.keep.append(tensor)
        return tensor

    def set_statistics(self, *statistics: Tensor) -> None:
        """lse and lse_rest (B, heads, N), mean and rstd (B, C), contiguous fp32."""
        names = ("lse", "lse_rest", "mean", "rstd")
        for name, tensor in zip(names, statistics, strict=True):
            setattr(self.call, name, tensor.data_ptr())


def modulation_forward(call: ModulationCall) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return y, laid out as ``empty_like`` of x, lse, lse_rest, mean and rstd."""
    plan, x = Planned(*call.sides), call.x
    made = _Modulation(call, plan.narrow_order)
    statistics = call.empty_statistics()
    y = Result(torch.empty_like(x).mT, made.last)
    if x.numel():
        kernels, (batch, channels, _) = made.call, x.shape
        kernels.strips = _strips(call, made.last)
        moments = statistics[0].new_empty((batch, kernels.strips, channels, 2))
        kernels.moments, kernels.pixel_out = moments.data_ptr(), view(y.written, "bic")
        made.set_statistics(*statistics)
        kernels.plan = plan.tiles(made.last)
        load().modulation_statistics(kernels, made.stream)
        load().modulation_forward(kernels, made.stream)
    return y.final().mT, *statistics


def modulation_backward(
    call: ModulationCall,
    grad_y: Tensor,
    lse: Tensor,
    lse_rest: Tensor,
    mean: Tensor,
    rstd: Tensor,
) -> tuple[Tensor | None, ...]:
    """Return the gradients of x, keys, key_bias, gamma, beta, the defaults and noise_scale."""
    x = call.x
    grad_x, *gradients = call.empty_gradients()
    if not x.numel():
        return tuple(None if t is None else t.zero_() for t in (grad_x, *gradients))
    plan = Planned(*call.sides)
    made = _Modulation(call, plan.narrow_order)
    result = Result(grad_x.mT, made.last)
    batch, heads, _, channels = call.keys.shape
    kernels = made.call
    kernels.plan, partials = plan.pieces(heads, 3 * channels + 1)
    piece_partials = lse.new_empty((batch, kernels.plan.count, 3, channels))
    means = lse.new_empty((batch, 2, channels))
    kernels.partials, kernels.means = partials.data_ptr(), means.data_ptr()
    kernels.piece_partials = piece_partials.data_ptr()
    kernels.strips = _strips(call, made.last)
    if x.shape[2] == 1:  # its own mean: nothing passes the norm, and rounding would be all of it
        rstd = torch.zeros_like(rstd)
    statistics = (made.held(aligned(tensor)) for tensor in (lse, lse_rest, mean, rstd))
    made.set_statistics(*statistics)
    kernels.grad_y = view(made.held(in_order(grad_y.mT, made.last)), "bic")
    grad_keys, grad_key_bias, grad_gamma, grad_beta, *per_channel = gradients
    kernels.grad_keys, kernels.grad_gamma, kernels.grad_beta = (
        view(tensor, "bhic") for tensor in (grad_keys, grad_gamma, grad_beta)
    )
    kernels.grad_key_bias = view(grad_key_bias, "bhi")
    kernels.grad_default_gamma, kernels.grad_default_beta, kernels.grad_noise_scale = (
        0 if tensor is None else tensor.data_ptr() for tensor in per_channel
    )
    kernels.pixel_out = view(result.written, "bic")
    load().modulation_backward(kernels, made.stream)
    return result.final().mT, *gradients
