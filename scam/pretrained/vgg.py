# SPDX-License-Identifier: Apache-2.0
"""VGG-19 as a distance between images."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from scam.pretrained.weights import IMAGENET_MEAN, IMAGENET_STD, load_weights

VGG_SLICES = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Weights of relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1."""
_TAPS = (1, 6, 11, 20, 29)  # where they are among the layers


class Vgg19Distance(nn.Module):
    """Weighted L1 between VGG-19 features at relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1.

    weights: torchvision's state dict. normalise: by ImageNet's mean and deviation, as the network
    was trained, or leave the image in [-1, 1]. slices: of the five features, one above 0.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, weights: Path, *, normalise: bool, slices: Sequence[float] = VGG_SLICES
    ) -> None:
        super().__init__()
        from torchvision.models import vgg19

        network = vgg19(weights=None)
        load_weights(network, weights)
        self.taps = {at: weight for at, weight in zip(_TAPS, slices, strict=True) if weight}
        self.features = network.features[: max(self.taps) + 1].eval().requires_grad_(False)
        for layer in self.features:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False
        mean, std = (IMAGENET_MEAN, IMAGENET_STD) if normalise else ((0.5,) * 3, (0.5,) * 3)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        """fake and real (B, 3, H, W) in [-1, 1] -> a scalar; no gradient flows to ``real``."""
        with torch.no_grad():
            wanted = self._taps(real)
        pairs = zip(self._taps(fake), wanted, self.taps.values(), strict=True)
        return torch.stack([w * (a.float() - b.float()).abs().mean() for a, b, w in pairs]).sum()

    def _taps(self, x: Tensor) -> list[Tensor]:
        x = ((x + 1) / 2 - self.mean) / self.std
        taps = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in self.taps:
                taps.append(x)
        return taps
