# SPDX-License-Identifier: Apache-2.0
"""LPIPS, whose trunks are torchvision's and whose calibration comes with package lpips."""

import warnings
from pathlib import Path
from typing import cast

from torch import Tensor, nn

from scam.errors import InputError, MissingError
from scam.pretrained.weights import load_weights, package


def lpips_distance(net: str, weights: Path) -> nn.Module:
    """LPIPS of two batches (B, 3, H, W) in [-1, 1], with ``net`` "alex" or "vgg" as its trunk.

    ``weights``: torchvision's state dict of the trunk; the calibration comes with package lpips,
    without which this is a MissingError.
    """
    lpips = package("lpips")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips speaks to torchvision in old words
        distance = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    holder = nn.Module()
    holder.features = nn.Sequential()
    for part in distance.net.children():
        for index, layer in part.named_children():
            holder.features.add_module(index, layer)
    load_weights(holder, weights, only="features.")
    frozen: nn.Module = distance.eval().requires_grad_(False)
    return frozen


class LpipsDistance(nn.Module):
    """LPIPS with its VGG-16 trunk loaded from torchvision's file (Zhang et al., CVPR 2018)."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        try:
            self.distance = lpips_distance("vgg", weights)
        except MissingError as error:
            raise InputError(f"{{perceptual}}: {error}", perceptual="lpips") from error

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """fake and real (B, 3, H, W) in [-1, 1] -> a scalar."""
        return cast(Tensor, self.distance(fake, real)).mean()
