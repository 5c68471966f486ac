# SPDX-License-Identifier: Apache-2.0
"""SEAN: image synthesis with semantic region-adaptive normalisation (Zhu et al., CVPR 2020).

A style code per label joins SPADE's convolutions: each norm maps it, spreads it over the label's
pixels and convolves the result. The spread map is constant within a label, so its convolutions
are tables as well.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.models.label_levels import LabelCodes, LabelLevels, Level
from scam.models.noise import Noise, draw_noise
from scam.models.recipes import PAPER
from scam.models.residual import (
    NormOf,
    ResidualConfig,
    ResidualGenerator,
    ResidualModel,
    residual_blocks,
)
from scam.models.spade import LabelBranch
from scam.nn.indexed_norm import IndexedNorm, Maps, Rows
from scam.nn.initialise import initialise
from scam.nn.label_conv import LabelConv2d, convolved_rows, fewer_by_patch
from scam.nn.label_linear import LabelLinear
from scam.nn.label_mean import label_mean
from scam.nn.label_patches import ImagePatches
from scam.nn.norm import instance_norm
from scam.nn.pyramid import nearest_labels
from scam.nn.sat import LEAK
from scam.settings.fields import setting


@dataclass(frozen=True)
class SeanConfig(ResidualConfig):
    """Shapes of one SEAN model."""

    kind: ClassVar[str] = "sean"

    paper: ClassVar[Mapping[str, Any]] = {**PAPER, "discriminator": "sean"}

    token_dim: int = setting(512, "width of a style", least=2, most=1 << 14, step=2, metavar="D")


@dataclass(frozen=True)
class NoisyCodes(LabelCodes):
    """Style codes, and noise (B, 1, h, w), one field a norm in the order of their use, or none."""

    noise: Iterator[Tensor] | None


class StyleBranch(nn.Module):
    """gamma and beta by a linear layer of each label's code and a convolution of the result."""

    def __init__(self, config: ResidualConfig, channels: int) -> None:
        super().__init__()
        self.linear = LabelLinear(config.num_labels, config.token_dim, config.token_dim)
        self.gamma = nn.Conv2d(config.token_dim, channels, 3, padding=1)
        self.beta = nn.Conv2d(config.token_dim, channels, 3, padding=1)

    def maps(self, labels: Tensor, style: NoisyCodes) -> tuple[Tensor, Tensor]:
        """labels (B, h, w) -> gamma and beta (B, C, h, w)."""
        image = torch.arange(labels.shape[0], device=labels.device).view(-1, 1, 1)
        values = F.pad(self._values(style), (0, 0, 0, 1))
        spread = values[style.places(labels, image)].permute(0, 3, 1, 2)
        return self.gamma(spread), self.beta(spread)

    def rows(self, patches: ImagePatches, style: NoisyCodes) -> tuple[Tensor, Tensor]:
        """gamma and beta (R3, C) of every 3x3 patch of an image."""
        values = self._values(style)
        taps = style.places(patches.taps, patches.image[:, None])
        gamma, beta = (
            convolved_rows(values, conv.weight, conv.bias, taps)
            for conv in (self.gamma, self.beta)
        )
        return gamma, beta

    def _values(self, style: NoisyCodes) -> Tensor:
        """What the pixels of each label hold: (B * l, d)."""
        return F.relu(self.linear(style.codes, style.labels)).flatten(0, 1)


class StyledNorm(IndexedNorm):
    """``(1 + gamma) * batch_norm(x + noise) + beta``, a blend of style and label map.

    The last block's has no style, though the weights of the blend, which nothing reads.
    """

    def __init__(self, config: ResidualConfig, channels: int, *, last: bool) -> None:
        super().__init__(channels)
        self.noise_scale = nn.Parameter(torch.zeros(channels))
        self.blend = nn.Parameter(torch.zeros(2))
        self.style = None if last else StyleBranch(config, channels)

    def forward(self, x: Tensor, level: Any, style: NoisyCodes, negative_slope: float) -> Tensor:
        """See :class:`~scam.nn.indexed_norm.IndexedNorm`."""
        if style.noise is not None:
            field = next(style.noise).to(x.dtype)
            x = x + self.noise_scale.to(x.dtype)[:, None, None] * field
        return super().forward(x, level, style, negative_slope)

    def blended(
        self, style: tuple[Tensor, Tensor], labels: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Scale and shift from gamma and beta of both."""
        gamma, beta = (
            torch.lerp(by_label.to(by_style.dtype), by_style, weight.sigmoid().to(by_style.dtype))
            for by_style, by_label, weight in zip(style, labels, self.blend, strict=True)
        )
        return 1 + gamma, beta

    @abstractmethod
    def affine(self, level: Level, style: NoisyCodes) -> Rows | Maps:
        """See :class:`~scam.nn.indexed_norm.IndexedNorm`."""


class SeanNorm(StyledNorm):
    """The label map has its part by SPADE's convolutions."""

    def __init__(self, config: ResidualConfig, channels: int, *, last: bool) -> None:
        super().__init__(config, channels, last=last)
        self.labels = LabelBranch(config.num_labels, 2 * config.width, channels)
        self.constant = 0 if last else config.token_dim

    def affine(self, level: Level, style: NoisyCodes) -> Rows | Maps:
        """By patch where that costs less, else by pixel."""
        patches = level.patches
        if patches is None or not fewer_by_patch(patches, self.labels.hidden, self.constant):
            gamma, beta = self.labels.maps(level.labels)
            if self.style is None:
                return Maps(1 + gamma, beta)
            return Maps(*self.blended(self.style.maps(level.labels, style), (gamma, beta)))
        gamma, beta = self.labels.rows(patches)
        if self.style is None:
            return Rows(patches.index, 1 + gamma, beta)
        images = patches.of_images
        by_style = self.style.rows(images, style)
        scale, shift = self.blended(
            (by_style[0][images.small], by_style[1][images.small]),
            (gamma[images.patch], beta[images.patch]),
        )
        return Rows(images.index, scale, shift)


class StyleEncoder(nn.Module):
    """An image and its label map to the mean feature of every label: (B, L, token_dim).

    Args:
        num_labels: L.
        width: channels at half the resolution of the image.
        token_dim: of a mean feature.
        released: SCAM's copy takes away each channel's mean over the image.
    """

    def __init__(
        self, num_labels: int, width: int, token_dim: int, *, released: bool = False
    ) -> None:
        super().__init__()
        self.num_labels = num_labels
        self.released = released
        self.fused = True
        widths = [width // 2, width, 2 * width]
        self.enter = nn.Conv2d(3, widths[0], 3, padding=1, padding_mode="reflect")
        self.halve = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths)
        )
        wide = 2 * widths[-1]
        self.enlarge = nn.ConvTranspose2d(
            widths[-1], wide, 3, stride=2, padding=1, output_padding=1
        )
        self.leave = nn.Conv2d(wide, token_dim, 3, padding=1, padding_mode="reflect")

    def forward(self, image: Tensor, labels: Tensor) -> Tensor:
        """image (B, 3, H, W), labels (B, H, W); labels that the map lacks get zeros."""
        x = image
        for conv in (self.enter, *self.halve, self.enlarge):
            x = F.leaky_relu(instance_norm(conv(x)), LEAK)
        x = self.leave(x)
        x = torch.tanh(instance_norm(x) if self.released else x)
        small = nearest_labels(labels, (x.shape[2], x.shape[3]))
        return label_mean(x, small, self.num_labels, fused=self.fused)


class StyledModel(ResidualModel):
    """A style code per label, and noise in training.

    Args:
        norm: makes the norms of the generator.
    """

    reads_patches = True

    def __init__(self, config: ResidualConfig, norm: NormOf, *, fused: bool = True) -> None:
        super().__init__(config, range(config.num_labels), fused)
        self.encoder = StyleEncoder(
            config.num_labels, config.width, config.token_dim, released=config.released
        )
        self.seed = LabelConv2d(config.num_labels, config.widest)
        self.generator = ResidualGenerator(config, residual_blocks(config, norm))
        initialise(self, released=config.released)

    def _encode(self, image: Tensor, labels: LabelLevels) -> Tensor:
        codes: Tensor = self.encoder(image, labels.labels)
        return codes

    def _from_tokens(self, labels: LabelLevels, tokens: Tensor, noise: Noise | None) -> Tensor:
        fields = None
        if noise is not None:
            shapes = self.generator.noise_shapes
            fields = iter(draw_noise(noise, labels.labels.shape[0], shapes, tokens.device))
        style = NoisyCodes.of(tokens, labels, noise=fields)
        seed = self.seed(labels.levels[0].labels)
        image: Tensor = self.generator(seed, labels.levels, style)
        return image


class Sean(StyledModel):
    """SEAN."""

    Config: ClassVar[type[ResidualConfig]] = SeanConfig

    def __init__(self, config: ResidualConfig, *, fused: bool = True) -> None:
        super().__init__(config, partial(SeanNorm, config), fused=fused)
