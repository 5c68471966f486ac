# SPDX-License-Identifier: Apache-2.0
"""The SCAM operation: tokens read pixels, then pixels read tokens and are modulated."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.nn.attention import SemanticCrossAttention
from scam.nn.position import position_code
from scam.nn.sat import LEAK, SatLayer


class ScamModulation(nn.Module):
    """``lrelu((1 + gamma) * IN(x) + beta + sigma * noise)`` with gamma, beta read from tokens.

    ``duplex`` first updates the tokens by a SAT layer over the pixels; otherwise ("simplex") they
    pass through a small MLP. ``noisy=False`` leaves out the learned noise strength sigma.
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
        fused: bool,
    ) -> None:
        super().__init__()
        self.released = released
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
                fused=fused,
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
            fused=fused,
        )
        self.to_gamma = nn.Linear(channels, channels)
        self.to_beta = nn.Linear(channels, channels)
        self.noise_scale = nn.Parameter(torch.zeros(channels)) if noisy else None

    def forward(
        self,
        x: Tensor,
        labels: Tensor,
        tokens: Tensor,
        token_labels: Tensor,
        noise: torch.Generator | None,
    ) -> tuple[Tensor, Tensor]:
        """Modulate x (B, C, h, w) by tokens (B, m, token_dim) under labels (B, h, w).

        ``noise`` draws one (B, 1, h, w) field from its generator; None adds none. Returns the
        modulated map and the updated tokens.
        """
        batch, channels, height, width = x.shape
        code = position_code(
            channels, height, width, released=self.released, device=str(x.device)
        ).to(x.dtype)
        pixels = (x + code).flatten(2).transpose(1, 2)
        pixel_labels = labels.flatten(1)
        if self.duplex:
            tokens = self.update(tokens, pixels, token_labels, pixel_labels)
        else:
            tokens = self.update(tokens)
        gamma, beta = self._read(pixels, tokens, pixel_labels, token_labels)
        shape = (batch, channels, height, width)
        gamma, beta = gamma.transpose(1, 2).view(shape), beta.transpose(1, 2).view(shape)
        y = torch.addcmul(beta, 1 + gamma, F.instance_norm(x))
        if noise is not None and self.noise_scale is not None:
            field = torch.randn(batch, 1, height, width, generator=noise, device=x.device)
            y = y + self.noise_scale[:, None, None] * field
        return F.leaky_relu(y, LEAK), tokens

    def _read(
        self, pixels: Tensor, tokens: Tensor, pixel_labels: Tensor, token_labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Scale and shift of every pixel, (B, N, C) each."""
        attention = self.attention
        heads = (self.to_gamma, self.to_beta)
        if attention.fused and pixels.shape[1] > attention.heads * tokens.shape[1]:
            weight = torch.cat([head.weight for head in heads])
            bias = torch.cat([head.bias for head in heads])
            read = attention.read_through(pixels, tokens, pixel_labels, token_labels, weight)
            gamma, beta = (read + bias).chunk(2, dim=2)
        else:
            read = attention(pixels, tokens, pixel_labels, token_labels)
            gamma, beta = (head(read) for head in heads)
        return gamma, beta
