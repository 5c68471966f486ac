# SPDX-License-Identifier: Apache-2.0
"""The SCAM operation: tokens read pixels, then pixels read tokens and are modulated."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.nn.attention import SemanticCrossAttention
from scam.nn.position import position_code
from scam.nn.sat import LEAK, SatLayer
from scam.ops import semantic_cross_attention

_UNLABELLED = 2**31 - 1
"""Stands for "no label" where that has to be a label: no map holds it."""


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
        self.to_gamma_beta = nn.Linear(channels, 2 * channels)
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
        read = self._read(pixels, tokens, pixel_labels, token_labels)
        scale, shift = read.transpose(1, 2).unflatten(2, (height, width)).chunk(2, dim=1)
        y = torch.addcmul(shift, scale, F.instance_norm(x))
        if noise is not None and self.noise_scale is not None:
            field = torch.randn(batch, 1, height, width, generator=noise, device=x.device)
            y = y + self.noise_scale[:, None, None] * field
        return F.leaky_relu(y, LEAK), tokens

    def _read(
        self, pixels: Tensor, tokens: Tensor, pixel_labels: Tensor, token_labels: Tensor
    ) -> Tensor:
        """``1 + gamma`` and ``beta`` of every pixel, (B, N, 2C)."""
        attention, head = self.attention, self.to_gamma_beta
        bias = head.bias + F.pad(torch.ones_like(head.bias[::2]), (0, len(head.bias) // 2))
        if not attention.fused or pixels.shape[1] <= attention.heads * tokens.shape[1]:
            return F.linear(
                attention(pixels, tokens, pixel_labels, token_labels), head.weight, bias
            )
        keys, values = attention.absorbed(tokens, head.weight, bias)
        if attention.empty == "zero":
            # A pixel that sees nothing still gets the bias: one more token holds it.
            default = (bias / attention.heads).expand(*values.shape[:2], 1, -1)
            keys, values = F.pad(keys, (0, 0, 0, 1)), torch.cat([values, default], dim=2)
            token_labels = F.pad(token_labels, (0, 1), value=_UNLABELLED)
            pixel_labels = torch.where(pixel_labels < 0, _UNLABELLED, pixel_labels.int())
        ones = pixels.new_ones(()).expand(*pixels.shape[:2], 1)
        query = torch.cat([pixels, ones], dim=2).to(keys.dtype).unsqueeze(1)
        mixed = semantic_cross_attention(
            query.expand(-1, attention.heads, -1, -1),
            keys,
            values,
            pixel_labels,
            token_labels,
            scale=attention.scale,
            empty=attention.empty,
        )
        return mixed.squeeze(1) if attention.heads == 1 else mixed.sum(1)
