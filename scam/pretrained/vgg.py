# SPDX-License-Identifier: Apache-2.0
"""VGG-19 as a distance between pictures."""

from pathlib import Path

import torch
from torch import Tensor, nn

from scam.pretrained.weights import IMAGENET_MEAN, IMAGENET_STD, load_weights

VGG19 = "vgg19-dcbb9e9d.pth"
"""torchvision's ImageNet weights, by the name that its own download carries."""

_TAPS = {1: 1 / 32, 6: 1 / 16, 11: 1 / 8, 20: 1 / 4, 29: 1.0}  # relu1_1 ... relu5_1


class Vgg19Distance(nn.Module):
    """Weighted L1 between VGG-19 features at relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1.

    weights: torchvision's state dict. normalise: by ImageNet's mean and deviation, as the network
    was trained, or leave the picture in [-1, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: Path, *, normalise: bool) -> None:
        super().__init__()
        from torchvision.models import vgg19

        network = vgg19(weights=None)
        load_weights(network, weights)
        self.features = network.features[: max(_TAPS) + 1].eval().requires_grad_(False)
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
        pairs = zip(self._taps(fake), wanted, _TAPS.values(), strict=True)
        return torch.stack([w * (a.float() - b.float()).abs().mean() for a, b, w in pairs]).sum()

    def _taps(self, x: Tensor) -> list[Tensor]:
        x = ((x + 1) / 2 - self.mean) / self.std
        taps = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in _TAPS:
                taps.append(x)
        return taps
