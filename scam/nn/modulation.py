# SPDX-License-Identifier: Apache-2.0
"""The SCAM operation: tokens read pixels, then pixels read tokens and are modulated."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.nn.attention import SemanticCrossAttention
from scam.nn.cost import FOLDED, cheapest
from scam.nn.memory_format import is_channels_last
from scam.nn.norm import instance_norm, instance_norm_once
from scam.nn.position import position_code
from scam.nn.sat import LEAK, SatLayer
from scam.ops import Labels, semantic_modulation


class ScamModulation(nn.Module):
    """``lrelu((1 + gamma) * IN(x) + beta + sigma * noise)`` with gamma, beta read from tokens.

    Args:
        channels: of the feature map, a multiple of 4.
        token_dim: channels of the tokens.
        attention_dim: width of the attentions over all ``heads``.
        heads: of the attentions.
        num_tokens: m; only ``released`` norms depend on it.
        duplex: first update the tokens by a SAT layer over the pixels; otherwise ("simplex") they
            pass through a small MLP.
        noisy: whether there is a learned noise strength sigma.
        released: as published; see :class:`scam.nn.SatLayer`.
        bounded: whether pixels are normalised, channel by channel, before they meet the tokens,
            and scores bounded on the tokens' side.
        fused, latents_per_label: see :class:`scam.nn.SemanticCrossAttention`.
    """

    def __init__(
        self,
        channels: int,
        token_dim: int,
        attention_dim: int,
        heads: int,
        num_tokens: int,
        *,
        duplex: bool,
        noisy: bool,
        released: bool,
        bounded: bool = False,
        fused: bool,
        latents_per_label: int = 8,
    ) -> None:
        super().__init__()
        self.released = released
        self.bounded = bounded
        self.duplex = duplex
        self.update: nn.Module
        if duplex:
            self.update = SatLayer(
                token_dim,
                channels,
                attention_dim,
                heads,
                num_tokens,
                released=released,
                bounded=bounded,
                fused=fused,
                latents_per_label=latents_per_label,
            )
        else:
            self.update = nn.Sequential(
                nn.Linear(token_dim, token_dim),
                nn.LeakyReLU(LEAK),
                nn.Linear(token_dim, token_dim),
            )
        self.attention = SemanticCrossAttention(
            channels,
            token_dim,
            attention_dim,
            heads,
            empty="uniform" if released else "zero",
            key_bias=released,
            bounded="keys" if bounded else None,
            fused=fused,
            latents_per_label=latents_per_label,
        )
        self.to_gamma_beta = nn.Linear(channels, 2 * channels)
        self.noise_scale = nn.Parameter(torch.zeros(channels)) if noisy else None

    def forward(
        self,
        x: Tensor,
        labels: Labels,
        tokens: Tensor,
        token_labels: Labels,
        noise: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Modulate x (B, C, h, w) by tokens (B, m, token_dim) under labels (B, h * w).

        ``noise`` (B, 1, h, w) is scaled per channel and added; None adds none. Returns the
        modulated map and the updated tokens.
        """
        channels, height, width = x.shape[1:]
        code = position_code(
            channels,
            height,
            width,
            released=self.released,
            device=x.device,
            channels_last=is_channels_last(x),
        ).to(x.dtype)
        if self.bounded:
            x = instance_norm_once(x)  # what is modulated stays the same
        if self.duplex:
            pixels = (x + code).flatten(2).transpose(1, 2)
            tokens = self.update(tokens, pixels, token_labels, labels)
        else:
            tokens = self.update(tokens)
        if noise is not None:
            noise = None if self.noise_scale is None else noise.to(x.dtype)
        modulate = self._folded if self._folds(height * width, tokens.shape[1]) else self._plain
        return modulate(x, code, labels, tokens, token_labels, noise), tokens

    def _folds(self, pixels: int, tokens: int) -> bool:
        """Whether everything is folded into the tokens: where that costs less, if fused."""
        cost = self.attention.cost(pixels, tokens, self.to_gamma_beta.out_features)
        return self.attention.fused and cheapest(cost, head=True) == FOLDED

    def _folded(
        self,
        x: Tensor,
        code: Tensor,
        labels: Labels,
        tokens: Tensor,
        token_labels: Labels,
        noise: Tensor | None,
    ) -> Tensor:
        attention, head = self.attention, self.to_gamma_beta
        watch = attention.watch  # once: another thread may take it away
        if watch is not None:
            pixels = (x + code).flatten(2).transpose(1, 2)
            watch(pixels, tokens, labels, token_labels)
        keys, key_bias = attention.absorbed_keys(tokens)
        values = attention.absorbed_values(tokens, head.weight, head.bias)
        # A pixel that sees nothing: what the head makes of an attention output of zero, or of
        # the mean over every value.
        default = head.bias if attention.empty == "zero" else values.sum(1).mean(1)
        (gamma, beta), (default_gamma, default_beta) = values.chunk(2, -1), default.chunk(2, -1)
        return semantic_modulation(
            x,
            labels,
            keys,
            key_bias,
            gamma,
            beta,
            token_labels,
            position=code,
            default_gamma=default_gamma,
            default_beta=default_beta,
            noise=noise,
            noise_scale=None if noise is None else self.noise_scale,
            negative_slope=LEAK,
        )

    def _plain(
        self,
        x: Tensor,
        code: Tensor,
        labels: Labels,
        tokens: Tensor,
        token_labels: Labels,
        noise: Tensor | None,
    ) -> Tensor:
        pixels = (x + code).flatten(2).transpose(1, 2)
        read = self.to_gamma_beta(self.attention(pixels, tokens, labels, token_labels))
        gamma, beta = read.transpose(1, 2).unflatten(2, x.shape[2:]).chunk(2, dim=1)
        y = torch.addcmul(beta, 1 + gamma, instance_norm(x))
        if noise is not None and self.noise_scale is not None:
            y = y + self.noise_scale[:, None, None] * noise
        return F.leaky_relu(y, LEAK)
