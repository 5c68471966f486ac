# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
import torch.nn.functional as F

from scam.nn.norm import instance_norm, instance_norm_once

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


@pytest.mark.parametrize("batch", [1, 2])
def test_a_single_pixel_becomes_zero(batch: int) -> None:
    x = torch.randn(batch, 6, 1, 1)
    assert torch.equal(instance_norm(x), torch.zeros_like(x))


def test_without_a_second_gradient_it_is_the_same() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 7, 6).to(memory_format=torch.channels_last).requires_grad_()
    given = torch.randn(2, 5, 7, 6)
    found, expected = instance_norm_once(x), instance_norm(x)
    torch.testing.assert_close(found, expected)
    assert found.is_contiguous(memory_format=torch.channels_last)
    gradients = [torch.autograd.grad(y, x, given)[0] for y in (found, expected)]
    torch.testing.assert_close(*gradients)
    with pytest.raises(NotImplementedError, match="first-order gradients only"):
        torch.autograd.grad(instance_norm_once(x), x, given, create_graph=True)
