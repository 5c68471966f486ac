# SPDX-License-Identifier: Apache-2.0
"""Statistics of normalisation apart from their use, against PyTorch's own layers."""

import pytest
import torch
from torch import nn

from scam.nn.statistics import BatchStatistics, InstanceStatistics, batch_statistics


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_batch_statistics_are_those_of_batch_norm(memory: torch.memory_format) -> None:
    torch.manual_seed(0)
    ours, torchs = BatchStatistics(4), nn.BatchNorm2d(4, affine=False)
    for _ in range(3):
        x = torch.randn(3, 4, 5, 6).mul(3).add(1).to(memory_format=memory)
        mean, rstd = ours(x)
        y = (x - mean.view(-1, 1, 1)) * rstd.view(-1, 1, 1)
        torch.testing.assert_close(y, torchs(x))
    torch.testing.assert_close(ours.running_mean, torchs.running_mean)
    torch.testing.assert_close(ours.running_var, torchs.running_var)
    ours.eval()
    torchs.eval()
    mean, rstd = ours(x)
    torch.testing.assert_close((x - mean.view(-1, 1, 1)) * rstd.view(-1, 1, 1), torchs(x))


def test_gradients() -> None:
    torch.manual_seed(1)
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)

    def both(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, variance, _ = batch_statistics(x)
        return mean, variance

    assert torch.autograd.gradcheck(both, (x,))
    assert torch.autograd.gradcheck(InstanceStatistics(), (x,))


def test_sixteen_bits_are_summed_in_more() -> None:
    x = (torch.randn(2, 3, 32, 32) + 100).bfloat16()
    mean, variance, count = batch_statistics(x)
    assert (mean.dtype, variance.dtype, count) == (torch.float32, torch.float32, 2048)
    torch.testing.assert_close(variance, x.float().var((0, 2, 3), correction=0))


def test_instances_by_themselves() -> None:
    x = torch.randn(2, 3, 4, 5)
    mean, rstd = InstanceStatistics()(x)
    y = (x - mean[..., None, None]) * rstd[..., None, None]
    torch.testing.assert_close(y, nn.InstanceNorm2d(3)(x))
