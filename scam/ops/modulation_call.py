# SPDX-License-Identifier: Apache-2.0
"""One modulation as backends are asked for it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scam.ops.sorting import Layouts, Side


@dataclass(frozen=True, eq=False)
class ModulationCall:
    """Checked arguments of :func:`scam.ops.semantic_modulation`, pixels flattened, N = H * W.

    Attributes:
        x: (B, C, N), any strides.
        labels: (B, N).
        keys, gamma, beta: (B, heads, m, C).
        key_bias: (B, heads, m).
        token_labels: (B, m).
        position: (C, N).
        default_gamma, default_beta: (B, C).
        noise: (B, N).
        noise_scale: (C,).
        layout: of the pixels and of the tokens.
        most_tokens: of one label, at most; 0: not known.
    """

    x: Tensor
    labels: Tensor
    keys: Tensor
    key_bias: Tensor
    gamma: Tensor
    beta: Tensor
    token_labels: Tensor
    position: Tensor | None
    default_gamma: Tensor | None
    default_beta: Tensor | None
    noise: Tensor | None
    noise_scale: Tensor | None
    layout: Layouts
    eps: float
    negative_slope: float
    most_tokens: int = 0

    @property
    def tokens(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """keys, key_bias, gamma, beta."""
        return self.keys, self.key_bias, self.gamma, self.beta

    @property
    def per_channel(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """default_gamma, default_beta, noise_scale."""
        return self.default_gamma, self.default_beta, self.noise_scale

    @property
    def sides(self) -> tuple[Side, Side]:
        """The pixels and the tokens."""
        return (self.labels, self.layout[:2]), (self.token_labels, self.layout[2:])

    def empty_statistics(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Uninitialised lse and lse_rest (B, heads, N), mean and rstd (B, C).

        fp32, fp64 for fp64.
        """
        batch, channels, pixels = self.x.shape
        wide = torch.promote_types(self.x.dtype, torch.float32)
        mean = self.x.new_empty((batch, channels), dtype=wide)
        lse = mean.new_empty((batch, self.keys.shape[1], pixels))
        return lse, torch.empty_like(lse), mean, torch.empty_like(mean)

    def empty_gradients(self) -> tuple[Tensor, *tuple[Tensor | None, ...]]:
        """Uninitialised gradients, in the order of ``ModulationBackend.modulation_backward``.

        Laid out as ``empty_like`` of x, else contiguous.
        """
        small = (*self.tokens, *self.per_channel)
        contiguous = (None if t is None else t.new_empty(t.shape) for t in small)
        return torch.empty_like(self.x), *contiguous
