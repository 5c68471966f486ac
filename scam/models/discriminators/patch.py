# SPDX-License-Identifier: Apache-2.0
"""Two-scale PatchGAN on image and label map, with gradient-normalised logits."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.nn.narrow_conv import NarrowConv2d
from scam.nn.norm import instance_norm
from scam.nn.pyramid import (
    known_labels,
    label_maps,
    nearest_labels,
    one_hot,
    pyramid_sizes,
)
from scam.nn.sat import LEAK
from scam.nn.spectral import SpectralConv2d

_EPSILON = 1e-6


class PatchDiscriminator(nn.Module):
    """4x4 convolutions with padding 2; one logit per patch.

    Args:
        in_channels: of the image and its label map together.
        width: channels after the first convolution; each further one doubles them.
        strides: of every convolution.
        spectral: whether all but the first and the last are under spectral norm.
        biased: whether those have a bias, which the instance norm behind them takes away.
        released: whether the last convolution keeps the rounding of the published systems'.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        strides: Sequence[int] = (2, 2, 2, 1, 1),
        *,
        spectral: bool = False,
        biased: bool = True,
        released: bool = False,
    ) -> None:
        super().__init__()
        last = len(strides) - 1
        widths = [in_channels, *(width << index for index in range(last)), 1]
        self.convs = nn.ModuleList()
        for index, stride in enumerate(strides):
            if index == last and stride == 1 and not released:
                self.convs.append(NarrowConv2d(widths[index], 1, 4, padding=2))
                continue
            inner = 0 < index < last
            make = SpectralConv2d if spectral and inner else nn.Conv2d
            bias = biased or not inner
            self.convs.append(
                make(widths[index], widths[index + 1], 4, stride=stride, padding=2, bias=bias)
            )

    def forward(self, x: Tensor) -> list[Tensor]:
        """x (B, 3 + L, H, W) -> what follows each convolution; last the logits (B, 1, p, q)."""
        last = len(self.convs) - 1
        maps = []
        for index, conv in enumerate(self.convs):
            x = conv(x)
            if 0 < index < last:
                x = instance_norm(x)
            if index < last:
                x = F.leaky_relu(x, LEAK)
            maps.append(x)
        return maps


class Discriminator(nn.Module):
    """One :class:`PatchDiscriminator` at full and one at half resolution.

    Gradient normalisation divides each logit f by ``|f| + ||d f / d input||`` and so bounds it by
    1 (Wu et al., ICCV 2021). The gradient is that of the mean logit with respect to the image;
    ``fidelity="released"`` takes the sum over all patches, and the label planes as well.
    """

    def __init__(
        self, num_labels: int, width: int, *, released: bool = False, gradient_norm: bool = True
    ) -> None:
        super().__init__()
        self.num_labels = num_labels
        self.released = released
        self.gradient_norm = gradient_norm
        self.scales = nn.ModuleList(
            PatchDiscriminator(3 + num_labels, width, released=released) for _ in range(2)
        )

    def label_maps(self, labels: Tensor) -> tuple[Tensor, ...]:
        """Labels (B, H, W) as :meth:`forward` reads them: at full and half size, -1 = none."""
        if self.released:
            labels = known_labels(labels, self.num_labels)
            half = nearest_labels(labels, pyramid_sizes(labels.shape[1], labels.shape[2], 1)[1])
            return labels, half
        (full, half), _ = label_maps(labels, self.num_labels, 1)
        return full, half

    def forward(self, image: Tensor, maps: Sequence[Tensor]) -> list[Tensor]:
        """image (B, 3, H, W) and its label maps -> one logit map (B, 1, p, q) per scale.

        With gradient normalisation the graph back to ``image`` is kept, so that a loss on the
        logits can be minimised in the image and in the parameters; grad mode must be on.
        """
        planes = [one_hot(labels, self.num_labels).to(image.dtype) for labels in maps]
        if not self.gradient_norm:
            return self._logits(image, planes)
        if not image.requires_grad:
            image = image.detach().requires_grad_(True)
        sources = [image]
        if self.released:
            full = planes[0].requires_grad_(True)
            # The half-size map is a nearest resize of the full one: the released gradient
            # flows through it.
            planes = [full, F.interpolate(full, size=planes[1].shape[2:], mode="nearest")]
            sources.append(full)
        return [self._normalise(raw, sources) for raw in self._logits(image, planes)]

    def _logits(self, image: Tensor, planes: list[Tensor]) -> list[Tensor]:
        half = F.avg_pool2d(image, 3, stride=2, padding=1, count_include_pad=False)
        return [
            scale(torch.cat([picture, labels], dim=1))[-1].float()
            for scale, picture, labels in zip(self.scales, (image, half), planes, strict=True)
        ]

    def _normalise(self, raw: Tensor, sources: list[Tensor]) -> Tensor:
        summary = raw.sum() if self.released else raw.mean((1, 2, 3)).sum()
        gradients = torch.autograd.grad(summary, sources, create_graph=True)
        squares = torch.stack([g.float().square().sum((1, 2, 3)) for g in gradients]).sum(0)
        # sqrt has no slope at 0, and 0 / 0 waits where logit and gradient both vanish.
        norm = (squares + _EPSILON**2).sqrt()[:, None, None, None]
        return raw / (norm + raw.abs())
