# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
import torch.nn.functional as F

from scam.nn.norm import instance_norm

LAYOUTS = (torch.contiguous_format, torch.channels_last)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("arriving", LAYOUTS)
def test_instance_norm_and_its_gradient_in_any_layout(
    batch: int, arriving: torch.memory_format
) -> None:
    random = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(batch, 6, 5, 7, generator=random).double() for _ in range(2))
    x.requires_grad_()
    y = instance_norm(x)
    torch.testing.assert_close(y, F.instance_norm(x))
    (found,) = torch.autograd.grad(y, x, weight.contiguous(memory_format=arriving))
    centred = x - x.mean((2, 3), keepdim=True)
    spelt_out = centred * (centred.square().mean((2, 3), keepdim=True) + 1e-5).rsqrt()
    (exact,) = torch.autograd.grad(spelt_out, x, weight)
    torch.testing.assert_close(found, exact)
