# SPDX-License-Identifier: Apache-2.0
"""Models whose styles are normally distributed, and SPADE's encoder, which CLADE shares."""

from abc import abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.models.label_levels import LabelLevels
from scam.models.noise import Noise, draw_noise
from scam.models.prepared_labels import LabelsLike
from scam.models.residual import (
    NormOf,
    ResidualConfig,
    ResidualGenerator,
    ResidualModel,
    residual_blocks,
)
from scam.models.styles import Styles
from scam.nn.initialise import initialise
from scam.nn.norm import instance_norm
from scam.nn.sat import LEAK
from scam.nn.spectral import SpectralConv2d
from scam.settings.fields import setting

CODE_SIDE = 4
"""Pixels of the features that become a code."""


@dataclass(frozen=True)
class VariationalConfig(ResidualConfig):
    """Shapes of a model whose styles are normally distributed.

    usual_kl: images that the authors had on a GPU, times the 0.05 by which they weigh the sum of
    a GPU's divergences.
    """

    usual_kl: ClassVar[float] = 4 * 0.05

    kl: float | None = setting(
        None,
        "weight of the divergence of an image's style",
        least=0, metavar="W", told=True,
        default_help="matched and paper: 0.2, groupdnet 0.1; released: 0.4",
    )  # fmt: skip

    @property
    def kl_weight(self) -> float:
        """``kl``, or that of the variant."""
        if self.kl is not None:
            return self.kl
        return 8 * 0.05 if self.released else self.usual_kl


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence from the standard normal distribution, of an image.

    mean, log_variance: (B, ...). Summed over what an image has, averaged over images.
    """
    mean, log_variance = mean.float(), log_variance.float()
    terms = 1 + log_variance - mean.square() - log_variance.exp()
    return -0.5 * terms.flatten(1).sum(1).mean()


class VariationalModel(ResidualModel):
    """Styles are means of normal distributions; in training they are drawn about them.

    pairs: distributions of which a style is made; their divergences are averaged.
    """

    config: VariationalConfig
    draws_styles = True
    pairs = 1

    @abstractmethod
    def _moments(self, image: Tensor, labels: LabelLevels) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the tokens (B, m, d)."""

    def _training_tokens(
        self, image: Tensor, labels: LabelLevels, noise: Noise | None
    ) -> tuple[Tensor, dict[str, tuple[float, Tensor]]]:
        """Drawn with ``noise``, means without it; and the loss "kl"."""
        tokens, log_variance = self._moments(image, labels)
        weight = self.config.kl_weight / self.pairs
        losses = {"kl": (weight, divergence(tokens, log_variance))}
        if noise is not None:
            (epsilon,) = draw_noise(noise, image.shape[0], [tokens.shape[1:]], image.device)
            tokens = tokens + epsilon * (0.5 * log_variance).exp()
        return tokens, losses

    def random_styles(self, labels: LabelsLike, generator: torch.Generator) -> Styles:
        """Styles from the standard normal distribution, for label maps (B, H, W)."""
        present = self._prepared(labels, "labels").present
        shape = (present.shape[0], *self.mean_tokens.shape)
        tokens = torch.randn(shape, generator=generator, device=present.device)
        return Styles(tokens.to(self.mean_tokens.dtype), present)

    def _encode(self, image: Tensor, labels: LabelLevels) -> Tensor:
        return self._moments(image, labels)[0]


class ImageEncoder(nn.Module):
    """An image, whatever its label map, to mean and log variance of its code.

    Images are resized to 4 << (levels + 1) pixels a side, 256 in the paper; strided convolutions
    halve that to 4.
    """

    def __init__(self, config: ResidualConfig) -> None:
        super().__init__()
        convs = config.levels + 1
        self.side = CODE_SIDE << convs
        widths = [3, *(config.width << min(i, 3) for i in range(convs))]
        self.convs = nn.ModuleList(
            SpectralConv2d(a, b, 3, stride=2, padding=1, bias=config.released)
            for a, b in pairwise(widths)
        )
        features = widths[-1] * CODE_SIDE**2
        self.mean = nn.Linear(features, config.token_dim)
        self.log_variance = nn.Linear(features, config.token_dim)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """image (B, 3, H, W) -> two (B, token_dim)."""
        side = (self.side, self.side)
        x = image
        if tuple(image.shape[2:]) != side:
            x = F.interpolate(image, size=side, mode="bilinear", align_corners=False)
        for conv in self.convs:
            x = F.leaky_relu(instance_norm(conv(x)), LEAK)
        x = x.flatten(1)
        return self.mean(x), self.log_variance(x)


class CodeModel(VariationalModel):
    """One code of the whole image.

    Args:
        norm: makes the norms of the generator.
    """

    styles_per_label = False

    def __init__(self, config: VariationalConfig, norm: NormOf, *, fused: bool = True) -> None:
        super().__init__(config, [-1], fused)
        height, width = config.sizes[0]
        self.encoder = ImageEncoder(config)
        self.seed = nn.Linear(config.token_dim, config.widest * height * width)
        blocks = residual_blocks(config, norm)
        self.generator = ResidualGenerator(config, blocks, slope=config.slope)
        initialise(self, released=config.released)

    def _moments(self, image: Tensor, labels: LabelLevels) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(image)
        return mean.unsqueeze(1), log_variance.unsqueeze(1)

    def _from_tokens(self, labels: LabelLevels, tokens: Tensor, noise: Noise | None) -> Tensor:
        seed = self.seed(tokens[:, 0]).unflatten(1, (-1, *self.config.sizes[0]))
        image: Tensor = self.generator(seed, labels.levels)
        return image
