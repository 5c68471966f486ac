# SPDX-License-Identifier: Apache-2.0
"""The initial weights of the paper's baselines and of their discriminators."""

import math

from torch import nn
from torch.nn.utils import parametrize

from scam.nn.label_linear import LabelLinear
from scam.nn.spectral import refine_norms

GAIN = 0.02
_WEIGHTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, LabelLinear)


def initialise(network: nn.Module, *, released: bool) -> None:
    """Xavier-normal weights with gain 0.02 in every convolution and linear layer.

    The authors' networks begin with biases of 0, and layers under spectral norm keep PyTorch's
    default weights. ``released=True`` is as SCAM's copies begin: layers under spectral norm are
    drawn too, and biases keep PyTorch's default. Tables and other parameters stay as they are.
    """
    for module in network.modules():
        if not isinstance(module, _WEIGHTED):
            continue
        spectral = parametrize.is_parametrized(module, "weight")
        if isinstance(module, LabelLinear):  # each label's by itself
            nn.init.normal_(module.weight, std=GAIN * math.sqrt(2 / sum(module.weight.shape[1:])))
        elif released or not spectral:
            name = "parametrizations.weight.original" if spectral else "weight"
            nn.init.xavier_normal_(module.get_parameter(name), GAIN)
        if module.bias is not None and not released:
            nn.init.zeros_(module.bias)
    if released:
        refine_norms(network, times=15)  # as many as PyTorch takes for a new layer
        network.train(network.training)
