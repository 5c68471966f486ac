# SPDX-License-Identifier: Apache-2.0
"""The modulation on the CUDA kernels."""

import torch
from torch import Tensor

from scam.ops.backends import Layouts
from scam.ops.backends.cuda_call import (
    DTYPES,
    Packed,
    Result,
    in_order,
    labels_of,
    load,
    on_device,
    pieces_of,
    readable,
    stream_of,
    view,
)


def _strips(batch: int, pixels: int) -> int:
    """Strips of an image that statistics are taken of, about 1024 in all."""
    return max(1, min(pixels // 256, -(-1024 // max(1, batch))))


class _Modulation:
    """One call of the modulation: arguments as in ``ModulationBackend``, as kernels take them."""

    def __init__(
        self,
        x: Tensor,
        labels: Tensor,
        keys: Tensor,
        key_bias: Tensor,
        gamma: Tensor,
        beta: Tensor,
        token_labels: Tensor,
        position: Tensor | None,
        default_gamma: Tensor | None,
        default_beta: Tensor | None,
        noise: Tensor | None,
        noise_scale: Tensor | None,
        eps: float,
        negative_slope: float,
    ) -> None:
        most = load().max_channels
        if x.shape[1] > most:
            raise ValueError(f"x: backend 'cuda' serves up to {most} channels, got {x.shape[1]}")
        self.x, self.last = readable(x.mT)
        self.packed = Packed(token_labels, (keys, gamma, beta), (key_bias, None))
        self.keep: list[Tensor] = []
        call = load().Modulation()
        call.batch, call.pixels, call.channels = self.x.shape
        call.dtype, call.channels_last = DTYPES.index(x.dtype), self.last
        call.eps, call.negative_slope = eps, negative_slope
        call.x, call.labels, call.tokens = (
            view(self.x, "bic"),
            labels_of(labels),
            self.packed.tokens,
        )
        if position is not None:
            call.position = view(self.held(in_order(position.mT, self.last)), "ic")
        call.default_gamma = view(default_gamma, "bc")
        call.default_beta = view(default_beta, "bc")
        call.noise = view(noise, "bi")
        if noise_scale is not None:
            call.noise_scale = self.held(noise_scale.contiguous()).data_ptr()
        self.call = call
        self.stream = stream_of(x)

    def held(self, tensor: Tensor) -> Tensor:
        """Keeps memory alive until the kernels are on their way."""
        self.keep.append(tensor)
        return tensor

    def set_statistics(self, lse: Tensor, mean: Tensor, rstd: Tensor) -> None:
        """lse (B, heads, N), mean and rstd (B, C), contiguous fp32."""
        self.call.lse, self.call.mean = lse.data_ptr(), mean.data_ptr()
        self.call.rstd = rstd.data_ptr()


@on_device
def modulation_forward(
    x: Tensor,
    labels: Tensor,
    keys: Tensor,
    key_bias: Tensor,
    gamma: Tensor,
    beta: Tensor,
    token_labels: Tensor,
    position: Tensor | None,
    default_gamma: Tensor | None,
    default_beta: Tensor | None,
    noise: Tensor | None,
    noise_scale: Tensor | None,
    layout: Layouts,
    *,
    eps: float,
    negative_slope: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return y, laid out as ``empty_like`` of x, lse, mean and rstd."""
    made = _Modulation(
        x, labels, keys, key_bias, gamma, beta, token_labels, position, default_gamma,
        default_beta, noise, noise_scale, eps, negative_slope,
    )  # fmt: skip
    batch, channels, pixels = x.shape
    lse = x.new_empty((batch, keys.shape[1], pixels), dtype=torch.float32)
    mean, rstd = (x.new_empty((batch, channels), dtype=torch.float32) for _ in range(2))
    y = Result(torch.empty_like(x).mT, made.last)
    if x.numel():
        call = made.call
        call.strips = _strips(batch, pixels)
        moments = mean.new_empty((batch, call.strips, channels, 2))
        call.moments, call.y = moments.data_ptr(), view(y.written, "bic")
        made.set_statistics(lse, mean, rstd)
        load().modulation_statistics(call, made.stream)
        load().modulation_forward(call, made.stream)
    return y.final().mT, lse, mean, rstd


@on_device
def modulation_backward(
    grad_y: Tensor,
    x: Tensor,
    labels: Tensor,
    keys: Tensor,
    key_bias: Tensor,
    gamma: Tensor,
    beta: Tensor,
    token_labels: Tensor,
    position: Tensor | None,
    default_gamma: Tensor | None,
    default_beta: Tensor | None,
    noise: Tensor | None,
    noise_scale: Tensor | None,
    lse: Tensor,
    mean: Tensor,
    rstd: Tensor,
    layout: Layouts,
    *,
    eps: float,
    negative_slope: float,
) -> tuple[Tensor | None, ...]:
    """Return the gradients of x, keys, key_bias, gamma, beta, the defaults and noise_scale."""
    made = _Modulation(
        x, labels, keys, key_bias, gamma, beta, token_labels, position, default_gamma,
        default_beta, noise, noise_scale, eps, negative_slope,
    )  # fmt: skip
    call = made.call
    tokens = [torch.empty_like(tensor) for tensor in (keys, key_bias, gamma, beta)]
    shared = [
        None if tensor is None else torch.empty(tensor.shape, dtype=x.dtype, device=x.device)
        for tensor in (default_gamma, default_beta, noise_scale)
    ]
    grad_x = Result(torch.empty_like(x).mT, made.last)
    if not x.numel():
        zeros = (torch.zeros_like(t) if t is not None else None for t in (*tokens, *shared))
        return torch.zeros_like(x), *zeros
    batch, channels, _ = x.shape
    call.plan, memory = pieces_of(labels, token_labels, layout, keys.shape[1], 3 * channels + 1)
    piece_partials = lse.new_empty((batch, call.plan.count, 3, channels))
    means = lse.new_empty((batch, 2, channels))
    call.partials, call.means = memory[-1].data_ptr(), means.data_ptr()
    call.piece_partials = piece_partials.data_ptr()
    made.set_statistics(*(made.held(tensor.contiguous()) for tensor in (lse, mean, rstd)))
    call.grad_y = view(made.held(in_order(grad_y.mT, made.last)), "bic")
    call.grad_keys, call.grad_gamma, call.grad_beta = (view(tokens[i], "bhic") for i in (0, 2, 3))
    call.grad_key_bias = view(tokens[1], "bhi")
    call.grad_default_gamma, call.grad_default_beta, call.grad_noise_scale = (
        0 if tensor is None else tensor.data_ptr() for tensor in shared
    )
    call.y = view(grad_x.written, "bic")
    load().modulation_token_gradients(call, made.stream)
    load().modulation_pixel_gradient(call, made.stream)
    return grad_x.final().mT, *tokens, *shared
