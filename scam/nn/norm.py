# SPDX-License-Identifier: Apache-2.0
"""Normalisation without parameters."""

from typing import Any

import torch
from torch import Tensor

from scam.nn.memory_format import is_channels_last

_EPSILON = 1e-5


def instance_norm(x: Tensor) -> Tensor:
    """Each channel of each image of x (B, C, H, W) to mean 0, biased variance 1 (eps 1e-5).

    As a group norm of single channels: on a CPU the gradient of ``F.instance_norm`` is wrong for
    one image when the gradient that arrives is channels-last (torch 2.15).
    """
    # Not F.group_norm, which refuses a single pixel, but only of a single image.
    return torch.group_norm(x, x.shape[1], eps=_EPSILON)


def instance_norm_once(x: Tensor) -> Tensor:
    """:func:`instance_norm`, up to rounding, where its gradient is not differentiated.

    On a CPU PyTorch's gradient takes eight times as long for channels-last maps.
    """
    if x.device.type == "cpu" and x.dtype != torch.float64 and is_channels_last(x):
        normalised: Tensor = _InstanceNorm.apply(x.float())[0]
        return normalised.to(x.dtype)
    return instance_norm(x)


class _InstanceNorm(torch.autograd.Function):
    """Of channels-last maps, as (B, pixels, C): means over the middle are fast there."""

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        centred = _pixels(x)
        centred = centred - centred.mean(1, keepdim=True)
        rstd = (centred.square().mean(1, keepdim=True) + _EPSILON).rsqrt_()
        return _map(centred.mul_(rstd), x), rstd

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(*output)
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: None) -> Tensor:
        if torch.is_grad_enabled():
            raise NotImplementedError("instance_norm_once gives first-order gradients only")
        y, rstd = ctx.saved_tensors
        own, normalised = _pixels(grad), _pixels(y)
        shared = (own * normalised).mean(1, keepdim=True)
        centred = own - own.mean(1, keepdim=True)
        return _map(centred.addcmul_(normalised, shared, value=-1).mul_(rstd), y)


def _pixels(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def _map(pixels: Tensor, like: Tensor) -> Tensor:
    return pixels.unflatten(1, like.shape[2:]).permute(0, 3, 1, 2)
