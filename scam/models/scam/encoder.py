# SPDX-License-Identifier: Apache-2.0
"""SAT-Encoder: an image and its label map become k latents per label (SCAM paper, section 3.2)."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.models.scam.config import ScamConfig
from scam.models.sean import StyleEncoder
from scam.nn.gradient_checkpointing import checkpointed
from scam.nn.memory_format import is_channels_last
from scam.nn.position import position_code
from scam.nn.pyramid import LabelPyramid
from scam.nn.sat import LEAK, SatLayer
from scam.ops import Labels

RGB_POSITION = 40
"""Channels of the position code concatenated to raw pixels; coarser levels add theirs."""


class SatEncoder(nn.Module):
    """Learned tokens read a convolutional pyramid of the image, fine to coarse, label by label."""

    def __init__(self, config: ScamConfig, *, fused: bool = True) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = False
        channels = config.encoder_channels
        self.tokens = nn.Parameter(torch.randn(config.num_tokens, config.token_dim))
        self.convs = nn.ModuleList(
            nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in pairwise(channels)
        )
        if not config.pyramid:
            self.convs, channels = nn.ModuleList(), [3] * (config.levels + 1)

        def layer(key_dim: int) -> SatLayer:
            return SatLayer(
                config.token_dim,
                key_dim,
                config.attention_dim,
                config.heads,
                config.num_tokens,
                released=config.released,
                bounded=config.bounds_scores,
                fused=fused,
                latents_per_label=config.latents_per_label,
            )

        self.cross = nn.ModuleList(layer(3 + RGB_POSITION if c == 3 else c) for c in channels)
        self.self_attention = nn.ModuleList(
            layer(config.token_dim) for _ in channels if config.self_attention
        )

    def forward(
        self,
        image: Tensor,
        pyramid: LabelPyramid,
        token_labels: Labels,
        chosen: Tensor | None = None,
    ) -> Tensor:
        """Latents (B, m, d) of image (B, 3, H, W) in [-1, 1], their labels ``token_labels`` (m,).

        Levels of ``pyramid`` match the convolutions' sizes. ``chosen`` (m,): the numbers of the
        tokens to compute, if not all: with per-token norms, tokens of different labels never meet.
        """
        learned: Tensor = self.tokens if chosen is None else self.tokens[chosen]
        tokens = learned.expand(image.shape[0], -1, -1)
        features = image
        for level in range(len(self.cross)):
            labels = pyramid.groups[level if self.config.pyramid else 0]
            tokens, features = checkpointed(
                self._level,
                *(level, tokens, features, token_labels, labels),
                on=self.gradient_checkpointing,
            )
        return tokens

    def _level(
        self, level: int, tokens: Tensor, features: Tensor, token_labels: Labels, labels: Labels
    ) -> tuple[Tensor, Tensor]:
        """Tokens that have read the features of this level, and these features."""
        if self.config.pyramid and level > 0:
            features = F.leaky_relu(self.convs[level - 1](features), LEAK)
            if self.config.bounds_scores:  # all channels at once: their means are the colours
                features = features * _to_unit(features)
        pixels = self._with_position(features).flatten(2).transpose(1, 2)
        tokens = self.cross[level](tokens, pixels, token_labels, labels)
        if self.config.self_attention:
            tokens = self.self_attention[level](tokens, tokens, token_labels, token_labels)
        return tokens, features

    def _with_position(self, features: Tensor) -> Tensor:
        batch, channels, height, width = features.shape
        raw = channels == 3
        code = position_code(
            RGB_POSITION if raw else channels,
            height,
            width,
            released=self.config.released,
            device=features.device,
            channels_last=is_channels_last(features),
        ).to(features.dtype)
        if raw:
            return torch.cat([features, code.expand(batch, -1, -1, -1)], dim=1)
        return features + code


def _to_unit(features: Tensor) -> Tensor:
    """What brings each image's features (B, C, H, W) to a mean square of 1."""
    squares = features.to(torch.promote_types(features.dtype, torch.float32)).square()
    return (squares.mean((1, 2, 3), keepdim=True) + 1e-8).rsqrt().to(features.dtype)


class SplitEncoder(nn.Module):
    """SEAN's encoder, each label's code split into its latents (row x of the paper's Table 2)."""

    def __init__(self, config: ScamConfig, *, fused: bool = True) -> None:
        super().__init__()
        self.shape = (config.num_labels * config.latents_per_label, config.token_dim)
        code = config.latents_per_label * config.token_dim
        self.codes = StyleEncoder(config.num_labels, config.width, code, released=config.released)
        self.codes.fused = fused

    def forward(
        self,
        image: Tensor,
        pyramid: LabelPyramid,
        token_labels: Labels,
        chosen: Tensor | None = None,
    ) -> Tensor:
        """As :class:`SatEncoder`."""
        tokens: Tensor = self.codes(image, pyramid.labels).reshape(image.shape[0], *self.shape)
        return tokens if chosen is None else tokens[:, chosen]
