# SPDX-License-Identifier: Apache-2.0
"""Mean and variance of feature channels, with running averages, apart from their use."""

from typing import Any

import torch
import torch.distributed
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.distributed.nn.functional import all_reduce

EPSILON = 1e-5


class BatchStatistics(nn.Module):
    """Statistics of batch normalisation: of the batch in training, running ones in evaluation.

    Buffers and their updates are those of ``nn.BatchNorm2d(channels, affine=False)``: momentum
    0.1, the running variance unbiased. Several processes share one batch.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, C, H, W) -> mean and 1 / standard deviation (C,), fp32 or x's wider dtype."""
        if not self.training:
            return wide(self.running_mean), (wide(self.running_var) + EPSILON).rsqrt()
        mean, variance, count = batch_statistics(x)
        with torch.no_grad():
            unbiased = variance * (count / max(count - 1, 1))
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
        return mean, (variance + EPSILON).rsqrt()


class InstanceStatistics(nn.Module):
    """Statistics of instance normalisation: of each image by itself, always."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, C, H, W) -> mean and 1 / standard deviation (B, C)."""
        variance, mean = torch.var_mean(wide(x), (2, 3), correction=0)
        return mean, (variance + EPSILON).rsqrt()


def batch_statistics(x: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean, biased variance (C,) and count of x (B, C, H, W), over the batches of all processes.

    Differentiable once. The processes' batches are equally large.
    """
    mean, variance = _Statistics.apply(x)
    count = x.numel() // max(x.shape[1], 1)
    processes = _processes()
    if processes > 1:
        joint = all_reduce(mean) / processes
        spread = variance + (mean - joint).square()
        mean, variance = joint, all_reduce(spread) / processes
    return mean, variance, count * processes


def _processes() -> int:
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return 1
    return torch.distributed.get_world_size()


def wide(x: Tensor) -> Tensor:
    """x in 32 bits or more."""
    return x if x.dtype == torch.float64 else x.float()


class _Statistics(torch.autograd.Function):
    """One pass forward and one backward; ``torch.var_mean`` takes three times as long (CPU)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, variance = torch.batch_norm_update_stats(wide(x), None, None, 0.0)
        ctx.save_for_backward(x, mean)
        return mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, for_mean: Tensor, for_variance: Tensor) -> Tensor:
        x, mean = ctx.saved_tensors
        count = x.numel() // x.shape[1]
        slope = for_variance * (2 / count)
        offset = for_mean / count - slope * mean
        shape = (1, -1, 1, 1)
        return torch.addcmul(offset.view(shape), wide(x), slope.view(shape)).to(x.dtype)
