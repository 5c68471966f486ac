# SPDX-License-Identifier: Apache-2.0
"""What a model reads from images: styles, and how they are chosen and averaged."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from scam.errors import InputError, few, type_of


@dataclass(frozen=True, repr=False)
class Styles:
    """The styles of a batch of images: SCAM's latents, or whatever another model reads.

    Attributes:
        tokens: (B, m, d); ``token_labels`` (m,) of the model says which label each is of.
        present: (B, L) bool, the labels the image held; tokens of the others carry no evidence.
    """

    tokens: Tensor
    present: Tensor

    def __repr__(self) -> str:
        """Shape and dtype of the tokens, and the labels that any image holds."""
        tokens = (
            f"tokens {tuple(self.tokens.shape)} {str(self.tokens.dtype).removeprefix('torch.')}"
        )
        if type(self.present) is not Tensor or self.present.is_meta:
            return f"Styles({tokens}, present {tuple(self.present.shape)})"
        held = self.present.any(0).nonzero().flatten().tolist()
        return f"Styles({tokens}, labels present: {few([str(label) for label in held], 20)})"

    def to(self, device: torch.device | str) -> "Styles":
        """Both tensors on ``device``."""
        return Styles(self.tokens.to(device), self.present.to(device))

    def __len__(self) -> int:
        return self.tokens.shape[0]

    def __getitem__(self, index: int | slice | Tensor | list[int]) -> "Styles":
        """Some of the images; a single one stays a batch, of one."""
        tokens, present = self.tokens[index], self.present[index]
        single = tokens.dim() < self.tokens.dim()
        return Styles(tokens[None], present[None]) if single else Styles(tokens, present)


def expect_styles(styles: Any, name: str) -> None:
    """InputError unless ``styles`` are some."""
    if not isinstance(styles, Styles):
        raise InputError(f"{name} is {type_of(styles)}: expected Styles, as encode returns them")


def of_tokens(choice: Tensor, token_labels: Tensor) -> Tensor:
    """From labels (B, L) bool to tokens (B, m): a token of the whole image counts if any does."""
    return torch.cat([choice, choice.any(1, keepdim=True)], dim=1)[:, token_labels]


def select_tokens(
    subject: Styles, background: Styles, from_subject: Tensor, token_labels: Tensor
) -> Styles:
    """Take each label's tokens from one of two styles.

    from_subject: (B, L) bool, true where the subject's tokens are taken. token_labels: (m,).
    """
    taken = of_tokens(from_subject, token_labels).unsqueeze(-1)
    tokens = torch.where(taken, subject.tokens, background.tokens)
    return Styles(tokens, torch.where(from_subject, subject.present, background.present))


def of_labels(styles: Styles, source: Tensor, token_labels: Tensor) -> Styles:
    """Each label's tokens replaced by those of the label ``source`` (B, L) int64 says.

    Of a label that has fewer tokens some are taken twice. token_labels: (m,), in order. Tokens of
    the whole image stay.
    """
    labels = torch.arange(source.shape[1], device=source.device)
    first = torch.searchsorted(token_labels, labels)
    count = torch.searchsorted(token_labels, labels, right=True) - first
    own, places = token_labels.clamp(min=0), torch.arange(len(token_labels), device=source.device)
    taken = source[:, own]
    place = first[taken] + (places - first[own]) % count[taken].clamp(min=1)
    place = place.where(token_labels >= 0, places).unsqueeze(-1)
    tokens = styles.tokens.expand(len(source), -1, -1)
    present = styles.present.expand_as(source)
    return Styles(tokens.gather(1, place.expand_as(tokens)), present.gather(1, source))


class RunningMean:
    """The mean styles of many images, each label's over the images that hold it.

    Keeps one sum, in fp64 on the CPU, however many images are added. count: (L,) int64, images
    that held each label, empty before the first.
    """

    def __init__(self, token_labels: Tensor) -> None:
        self._token_labels = token_labels.cpu()
        self._sum: Tensor | None = None
        self._held = torch.zeros(len(token_labels), dtype=torch.long)
        self.count = torch.zeros(0, dtype=torch.long)

    def add(self, styles: Styles) -> None:
        """Take in a batch. InputError for anything but Styles."""
        expect_styles(styles, "styles")
        styles = styles.to("cpu")
        held = of_tokens(styles.present, self._token_labels)
        part = torch.where(held.unsqueeze(-1), styles.tokens.double(), 0.0).sum(0)
        self._sum = part if self._sum is None else self._sum + part
        self._held += held.sum(0)
        self.count = F.pad(self.count, (0, styles.present.shape[1] - len(self.count)))
        self.count += styles.present.sum(0)

    def styles(self) -> Styles:
        """The mean of what was added, as one image in fp32. InputError before the first."""
        if self._sum is None:
            raise InputError("mean styles: expected one image or more, got none")
        tokens = self._sum / self._held[:, None].clamp(min=1)
        return Styles(tokens.float()[None], (self.count > 0)[None])
