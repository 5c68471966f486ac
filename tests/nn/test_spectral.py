# SPDX-License-Identifier: Apache-2.0
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from scam.nn.spectral import SpectralConv2d, refine_norms


def test_passes_after_refining_use_the_same_weights() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(SpectralConv2d(3, 8, 3), nn.ReLU(), SpectralConv2d(8, 4, 3))
    image = torch.randn(2, 3, 9, 9)
    assert not torch.equal(network(image), network(image))
    start = [x.clone() for x in network.buffers()]
    refine_norms(network)
    assert any(not torch.equal(a, b) for a, b in zip(start, network.buffers(), strict=True))
    assert torch.equal(network(image), network(image))
    network.train()
    assert not torch.equal(network(image), network(image))


def test_refined_again_and_again_the_norm_is_one() -> None:
    torch.manual_seed(0)
    conv = SpectralConv2d(16, 8, 3, padding=1)
    refine_norms(conv, times=100)
    norm = torch.linalg.matrix_norm(conv.weight.detach().flatten(1), ord=2)
    torch.testing.assert_close(norm, torch.tensor(1.0), atol=1e-4, rtol=0)


def test_gradient_checkpointing_computes_the_same_bits() -> None:
    torch.manual_seed(0)
    conv, image = SpectralConv2d(3, 8, 3), torch.randn(2, 3, 9, 9)
    refine_norms(conv)
    gradients = []
    for compute in (conv, lambda x: checkpoint(conv, x, use_reentrant=False)):
        compute(image).square().sum().backward()
        original = conv.parametrizations.weight.original
        gradients.append(original.grad.clone())
        original.grad = None
    assert torch.equal(*gradients)


def test_under_autocast_the_norm_is_computed_in_float32() -> None:
    norms = []
    for enabled in (False, True):
        torch.manual_seed(0)
        conv = SpectralConv2d(16, 8, 3)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            made = conv(torch.randn(1, 16, 9, 9))
        norms.append(dict(conv.named_buffers()))
    assert made.dtype == torch.bfloat16
    assert all(torch.equal(norms[1][name], x) for name, x in norms[0].items())
