# SPDX-License-Identifier: Apache-2.0
"""What the encoder says about a picture, and how two of them are mixed."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Latents:
    """The code of a batch of pictures.

    tokens: (B, m, d), in the order of ``ModelConfig.token_labels``.
    present: (B, L) bool, the labels the picture held; tokens of the others carry no evidence.
    """

    tokens: Tensor
    present: Tensor

    def to(self, device: torch.device | str) -> "Latents":
        """Both tensors on ``device``."""
        return Latents(self.tokens.to(device), self.present.to(device))

    def __len__(self) -> int:
        return self.tokens.shape[0]

    def __getitem__(self, index: slice | Tensor | list[int]) -> "Latents":
        return Latents(self.tokens[index], self.present[index])


def mix(
    subject: Latents, background: Latents, from_subject: Tensor, token_labels: Tensor
) -> Latents:
    """Take each label's tokens from one of two codes.

    from_subject: (B, L) bool, true where the subject's tokens are taken. token_labels: (m,).
    """
    tokens = torch.where(
        from_subject[:, token_labels].unsqueeze(-1), subject.tokens, background.tokens
    )
    return Latents(tokens, torch.where(from_subject, subject.present, background.present))
