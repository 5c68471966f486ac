# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from torch import nn

from scam.nn.narrow_conv import NarrowConv2d


@pytest.mark.parametrize(("size", "padding"), [(4, 2), (4, 1), (3, 1), (1, 0)])
@pytest.mark.parametrize("leaving", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_equals_the_convolution_in_value_and_gradients_of_both_orders(
    leaving: int, size: int, padding: int, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    ours = NarrowConv2d(6, leaving, size, padding).double()
    plain = nn.Conv2d(6, leaving, size, padding=padding).double()
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(2, 6, 7, 5, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    results = []
    for conv in (ours, plain):
        y = conv(x)
        first = torch.autograd.grad(y.square().sum(), x, create_graph=True)[0]
        inputs = (x, *conv.parameters())
        results.append((y, first, *torch.autograd.grad(first.square().sum(), inputs)))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


def test_autocast_computes_in_its_own_dtype() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert NarrowConv2d(8, 1, 4, 2)(torch.randn(1, 8, 5, 5)).dtype == torch.bfloat16
