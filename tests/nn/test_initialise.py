# SPDX-License-Identifier: Apache-2.0
import math

import pytest
import torch
from torch import nn

from scam.nn.initialise import initialise
from scam.nn.spectral import SpectralConv2d


def network() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            "conv": nn.Conv2d(128, 64, 3),
            "grouped": nn.Conv2d(128, 64, 3, groups=4),
            "up": nn.ConvTranspose2d(64, 128, 3),
            "linear": nn.Linear(512, 256),
            "spectral": SpectralConv2d(128, 64, 3),
            "table": nn.Embedding(19, 256),
        }
    )


def raw(module: nn.Module) -> torch.Tensor:
    name = "parametrizations.weight.original" if isinstance(module, SpectralConv2d) else "weight"
    return module.get_parameter(name).detach()


def xavier(fan_in: int, fan_out: int) -> float:
    return 0.02 * math.sqrt(2 / (fan_in + fan_out))


@pytest.mark.parametrize("released", [False, True])
def test_weights_and_biases(released: bool) -> None:
    """Spectral layers of the authors keep uniform weights: deviation 1 / sqrt(3 fan_in)."""
    found, before = network(), network()
    initialise(found, released=released)
    expected = {
        "conv": xavier(128 * 9, 64 * 9),
        "grouped": xavier(32 * 9, 64 * 9),
        "up": xavier(128 * 9, 64 * 9),
        "linear": xavier(512, 256),
        "spectral": xavier(128 * 9, 64 * 9) if released else 1 / math.sqrt(3 * 128 * 9),
    }
    for name, deviation in expected.items():
        assert float(raw(found[name]).std()) == pytest.approx(deviation, rel=0.02), name
        bias, old = found[name].bias, before[name].bias
        assert torch.equal(bias, old if released else torch.zeros_like(old)), name
    assert torch.equal(found["table"].weight, before["table"].weight)


def test_spectral_norms_are_those_of_the_drawn_weights() -> None:
    found = network()
    initialise(found, released=True)
    weight = found["spectral"].eval().weight.detach().flatten(1)
    assert float(torch.linalg.matrix_norm(weight, ord=2)) == pytest.approx(1, abs=0.05)
    found.train()
    assert all(module.training for module in found.modules())
