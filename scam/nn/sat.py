# SPDX-License-Identifier: Apache-2.0
"""SAT: semantic attention transformer layer (SCAM paper, equation 3; post-norm)."""

from torch import Tensor, nn

from scam.nn.attention import SemanticCrossAttention
from scam.ops import Labels

LEAK = 0.2
"""Negative slope of every leaky ReLU in SCAM."""


class SatLayer(nn.Module):
    """Tokens read keys of their label: ``y = LN(SCA(z, keys) + z)``, ``LN(FFN(y) + y)``.

    Args:
        token_dim: channels of the tokens.
        key_dim: channels of what they read.
        attention_dim: width of the attention over all ``heads``.
        heads: of the attention.
        num_tokens: m; only ``released`` norms depend on it.
        released: normalise jointly over (tokens, channels), which couples the labels and ties the
            parameters to the number of tokens, put a second activation behind the feed-forward,
            and let tokens of absent labels average every pixel. The default normalises each token
            by itself and gives such tokens nothing.
        bounded: whether the scores of tokens are, which read normalised keys then.
        fused, latents_per_label: see :class:`scam.nn.SemanticCrossAttention`.
    """

    def __init__(
        self,
        token_dim: int,
        key_dim: int,
        attention_dim: int,
        heads: int,
        num_tokens: int,
        *,
        released: bool,
        bounded: bool = False,
        fused: bool,
        latents_per_label: int = 8,
    ) -> None:
        super().__init__()
        self.attention = SemanticCrossAttention(
            token_dim,
            key_dim,
            attention_dim,
            heads,
            empty="uniform" if released else "zero",
            key_bias=released,
            bounded="queries" if bounded else None,
            fused=fused,
            latents_per_label=latents_per_label,
        )
        shape = (num_tokens, token_dim) if released else (token_dim,)
        self.norm1 = nn.LayerNorm(shape)
        self.norm2 = nn.LayerNorm(shape)
        feed_forward = [
            nn.Linear(token_dim, token_dim),
            nn.LeakyReLU(LEAK),
            nn.Linear(token_dim, token_dim),
        ]
        if released:
            feed_forward.append(nn.LeakyReLU(LEAK))
        self.feed_forward = nn.Sequential(*feed_forward)

    def forward(
        self, tokens: Tensor, keys: Tensor, token_labels: Labels, key_labels: Labels
    ) -> Tensor:
        """tokens (B, m, token_dim), keys (B, N, key_dim), labels (m,) and (B, N) -> tokens."""
        y = self.norm1(self.attention(tokens, keys, token_labels, key_labels) + tokens)
        return self.norm2(self.feed_forward(y) + y)
