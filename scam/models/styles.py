# SPDX-License-Identifier: Apache-2.0
"""What the encoder says about a picture, and how two of them are mixed."""

from dataclasses import dataclass

import torch
from torch import Tensor

from scam.errors import InputError


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

    def __getitem__(self, index: int | slice | Tensor | list[int]) -> "Latents":
        """Some of the pictures; a single one stays a batch, of one."""
        if isinstance(index, int):
            index = [index]
        return Latents(self.tokens[index], self.present[index])


def select_tokens(
    subject: Latents, background: Latents, from_subject: Tensor, token_labels: Tensor
) -> Latents:
    """Take each label's tokens from one of two codes.

    from_subject: (B, L) bool, true where the subject's tokens are taken. token_labels: (m,).
    """
    tokens = torch.where(
        from_subject[:, token_labels].unsqueeze(-1), subject.tokens, background.tokens
    )
    return Latents(tokens, torch.where(from_subject, subject.present, background.present))


class RunningMean:
    """The mean latents of many pictures, each label's over the pictures that hold it.

    Keeps one sum, in fp64 on the CPU, however many pictures are added. count: (L,) int64,
    pictures that held each label.
    """

    def __init__(self, token_labels: Tensor) -> None:
        self._token_labels = token_labels.cpu()
        self._sum: Tensor | None = None
        self.count = torch.zeros(int(token_labels.max()) + 1, dtype=torch.long)

    def add(self, latents: Latents) -> None:
        """Take in a batch."""
        latents = latents.to("cpu")
        held = latents.present[:, self._token_labels, None]
        part = torch.where(held, latents.tokens.double(), 0.0).sum(0)
        self._sum = part if self._sum is None else self._sum + part
        self.count += latents.present.sum(0)

    def latents(self) -> Latents:
        """The mean of what was added, as one picture in fp32. InputError before the first."""
        if self._sum is None:
            raise InputError("mean latents: expected one picture or more, got none")
        tokens = self._sum / self.count[self._token_labels, None].clamp(min=1)
        return Latents(tokens.float()[None], (self.count > 0)[None])
