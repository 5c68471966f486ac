# SPDX-License-Identifier: Apache-2.0
"""A linear layer of its own for every label."""

import math

import torch
from torch import Tensor, nn


class LabelLinear(nn.Module):
    """L linear layers, each for the vectors of one label.

    weight: (L, leaving, entering). bias: (L, leaving). Both begin as those of ``nn.Linear``.
    """

    def __init__(self, num_labels: int, entering: int, leaving: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_labels, leaving, entering))
        self.bias = nn.Parameter(torch.empty(num_labels, leaving))
        bound = 1 / math.sqrt(entering)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """x (B, l, entering) of ``labels`` (l,), or of all -> (B, l, leaving)."""
        weight: Tensor = self.weight if labels is None else self.weight[labels]
        bias: Tensor = self.bias if labels is None else self.bias[labels]
        return (x.transpose(0, 1) @ weight.mT + bias.unsqueeze(1)).transpose(0, 1)
