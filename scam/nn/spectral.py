# SPDX-License-Identifier: Apache-2.0
"""Spectral normalisation (Miyato et al., ICLR 2018), refined once a step, not once a pass."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class SpectralConv2d(nn.Conv2d):
    """A convolution whose weight is divided by an estimate of its largest singular value.

    Arguments and shapes as for :class:`torch.nn.Conv2d`. In training mode each forward pass
    refines the estimate, so that two passes differ, unless :func:`refine_norms` holds it. The
    raw weight is ``parametrizations.weight.original``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=bias
        )
        spectral_norm(self)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W); the norm is computed in the weight's own precision under autocast."""
        with torch.autocast(x.device.type, enabled=False):
            weight = self.weight
        return self._conv_forward(x, weight, self.bias)


@torch.no_grad()
def refine_norms(network: nn.Module, times: int = 1) -> None:
    """Refine the estimate of every spectral norm in ``network``, then hold it.

    Passes until the next ``network.train()`` use the same weights: parts of an accumulated batch,
    and the second computation of gradient checkpointing.
    """
    for module in network.modules():
        if isinstance(module, SpectralConv2d):
            norm = cast(nn.ModuleDict, module.parametrizations)["weight"]
            norm.train()
            for _ in range(times):
                _ = module.weight  # reading it iterates
            norm.eval()
