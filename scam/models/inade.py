# SPDX-License-Identifier: Apache-2.0
"""INADE: diverse semantic image synthesis by instance-adaptive denormalisation (Tan et al., 2021).

A pair of normally distributed codes per label is scaled and shifted by its label's table in each
norm. Each label counts as one instance, as in the published models of people, faces and scenes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.models.label_levels import LabelCodes, LabelLevels, Level
from scam.models.noise import Noise, draw_noise
from scam.models.recipes import PAPER
from scam.models.residual import ResidualConfig, ResidualGenerator, residual_blocks
from scam.models.variational import VariationalConfig, VariationalModel
from scam.nn.indexed_norm import IndexedNorm, Rows
from scam.nn.initialise import initialise
from scam.nn.label_aware_conv import LabelAwareConv2d, LabelBorders, tap_means
from scam.nn.label_mean import label_mean
from scam.nn.norm import instance_norm
from scam.nn.pyramid import nearest_labels, present_labels
from scam.nn.sat import LEAK
from scam.settings.fields import setting


@dataclass(frozen=True)
class InadeConfig(VariationalConfig):
    """Shapes of one INADE model."""

    kind: ClassVar[str] = "inade"

    paper: ClassVar[Mapping[str, Any]] = {
        **PAPER,
        "feature_matching_maps": "last",
        "vgg_slices": (0.0, 0.0, 0.0, 1 / 4, 1.0),
    }

    token_dim: int = setting(
        128,
        "width of a style, a code for the scale and one for the shift",
        least=2, most=1 << 14, step=2, metavar="D",
    )  # fmt: skip


class InadeNorm(IndexedNorm):
    """``gamma * norm(x) + beta``, both by the codes of the pixel's label; 1 is not added."""

    def __init__(self, config: ResidualConfig, channels: int, *, last: bool) -> None:
        super().__init__(channels, "instance" if config.released else "batch")
        shape = (2, config.num_labels, channels)
        self.code = nn.Linear(config.token_dim // 2, channels)
        self.weight = nn.Parameter(torch.rand(shape))
        self.bias = nn.Parameter(torch.zeros(shape))

    def affine(self, level: Level, style: LabelCodes) -> Rows:
        """By image and label."""
        codes = self.code(style.codes.unflatten(2, (2, -1)))
        every = slice(None) if style.labels is None else style.labels
        weight, bias = self.weight[:, every], self.bias[:, every]
        scale, shift = ((weight[i] * codes[:, :, i] + bias[i]).flatten(0, 1) for i in range(2))
        image = torch.arange(level.labels.shape[0], device=scale.device).view(-1, 1, 1)
        return Rows(style.places(level.labels, image), scale, shift)


class CodeEncoder(nn.Module):
    """A U-Net of label-aware convolutions, and the mean over each label's pixels."""

    def __init__(self, config: ResidualConfig) -> None:
        super().__init__()
        self.num_labels = config.num_labels
        self.fused = True
        w, conv = config.width, LabelAwareConv2d
        widths = [3, w, 2 * w, 4 * w, 8 * w]
        self.down = nn.ModuleList(conv(widths[i], widths[i + 1], stride=2) for i in range(4))
        self.middle = conv(8 * w, 4 * w)
        self.up = nn.ModuleList([conv(8 * w, 2 * w), conv(4 * w, w), conv(2 * w, w)])
        # Scale's mean and log variance, shift's mean and log variance.
        self.heads = nn.ModuleList(conv(w, config.token_dim // 2) for _ in range(4))

    def forward(self, image: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """image (B, 3, H, W), labels (B, H, W) -> mean, log variance (B, L, token_dim)."""
        borders = [LabelBorders(labels)]
        features = [image]
        for conv in self.down:
            features.append(_activated(conv(features[-1], borders[-1])))
            size = (features[-1].shape[2], features[-1].shape[3])
            borders.append(LabelBorders(nearest_labels(labels, size)))
        x = _activated(self.middle(features[-1], borders[-1]))
        for step, conv in enumerate(self.up.children()):
            skip, border = features[3 - step], borders[3 - step]
            x = _activated(conv(torch.cat([_resized(x, skip), skip], dim=1), border))
        x = _resized(x, image)
        found = self._means(x, borders[0])
        return torch.cat(found[0::2], dim=2), torch.cat(found[1::2], dim=2)

    def _means(self, x: Tensor, borders: LabelBorders) -> list[Tensor]:
        """What each head gives, averaged over each label's pixels; absent labels 0."""
        if not self.fused:
            return [
                label_mean(head(x, borders), borders.labels, self.num_labels, fused=False)
                for head in self.heads
            ]
        means = tap_means(x, borders, self.num_labels)
        present = present_labels(borders.labels, self.num_labels).unsqueeze(2)
        heads = cast(list[LabelAwareConv2d], list(self.heads))
        return [head.of_means(means) * present for head in heads]


class Inade(VariationalModel):
    """INADE with its encoder, and a seed of noise."""

    Config: ClassVar[type[VariationalConfig]] = InadeConfig
    pairs = 2

    def __init__(self, config: VariationalConfig, *, fused: bool = True) -> None:
        super().__init__(config, range(config.num_labels), fused)
        height, width = config.sizes[0]
        self.encoder = CodeEncoder(config)
        self.seed = nn.Linear(4 * config.width, config.widest * height * width)
        blocks = residual_blocks(config, partial(InadeNorm, config))
        self.generator = ResidualGenerator(config, blocks, slope=config.slope)
        initialise(self, released=config.released)

    @property
    def needs_noise(self) -> bool:
        """The seed is noise."""
        return True

    def _moments(self, image: Tensor, labels: LabelLevels) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(image, labels.labels)
        return mean, log_variance

    def _from_tokens(self, labels: LabelLevels, tokens: Tensor, noise: Noise | None) -> Tensor:
        batch = labels.labels.shape[0]
        seed = tokens.new_zeros(batch, self.seed.in_features)
        if noise is not None:
            (seed,) = draw_noise(noise, batch, [(self.seed.in_features,)], tokens.device)
        x = self.seed(seed.to(tokens.dtype)).unflatten(1, (-1, *self.config.sizes[0]))
        image: Tensor = self.generator(x, labels.levels, LabelCodes.of(tokens, labels))
        return image


def _activated(x: Tensor) -> Tensor:
    return F.leaky_relu(instance_norm(x), LEAK)


def _resized(x: Tensor, like: Tensor) -> Tensor:
    size = (like.shape[2], like.shape[3])
    if size == tuple(x.shape[2:]):
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
