# SPDX-License-Identifier: Apache-2.0
"""How well flat colours would do: what a model has to beat to have learnt anything."""

import torch
from torch import Tensor


class ColourFloors:
    """Fills every label with one colour: the training set's mean, or the image's own."""

    def __init__(self, num_labels: int) -> None:
        self._sum = torch.zeros(num_labels, 3, dtype=torch.float64)
        self._count = torch.zeros(num_labels, 1, dtype=torch.float64)
        self.pictures = 0
        """Learnt from."""

    def learn(self, image: Tensor, labels: Tensor) -> None:
        """Add training images (B, 3, H, W) with labels (B, H, W); -1 is left out."""
        total, count = label_sums(image, labels, len(self._sum))
        self._sum += total.sum(0)
        self._count += count.sum(0)
        self.pictures += len(image)

    @property
    def unknown(self) -> list[int]:
        """Labels that no image learnt from holds."""
        found: list[int] = (self._count[:, 0] == 0).nonzero().flatten().tolist()
        return found

    def in_mean_colours(self, labels: Tensor) -> Tensor:
        """labels (B, H, W) -> (B, 3, H, W) in the training set's mean colour per label.

        Ignored pixels and labels never seen take the mean of everything.
        """
        overall = self._sum.sum(0) / self._count.sum().clamp(min=1)
        colours = torch.where(self._count > 0, self._sum / self._count.clamp(min=1), overall)
        return _coloured(torch.cat([colours, overall[None]])[None], labels)

    def in_own_colours(self, image: Tensor, labels: Tensor, onto: Tensor | None = None) -> Tensor:
        """Each label in its mean colour within that very image: (B, 3, H, W).

        onto: label maps to colour in place of ``labels``; those that the image lacks are 0.
        """
        total, count = label_sums(image, labels, len(self._sum))
        overall = image.double().mean((2, 3))[:, None]
        colours = torch.cat([total / count.clamp(min=1), overall], dim=1)
        return _coloured(colours, labels if onto is None else onto)


def label_sums(image: Tensor, labels: Tensor, num_labels: int) -> tuple[Tensor, Tensor]:
    """Sums (B, L, 3) of ``image`` (B, 3, H, W) and pixel counts (B, L, 1), per label."""
    pixels = image.double().flatten(2).transpose(1, 2)
    slot = torch.where(labels < 0, num_labels, labels).long().flatten(1)[..., None]
    total = pixels.new_zeros(len(image), num_labels + 1, 3)
    count = pixels.new_zeros(len(image), num_labels + 1, 1)
    total = total.scatter_add(1, slot.expand(-1, -1, 3), pixels)
    count = count.scatter_add(1, slot, torch.ones_like(pixels[..., :1]))
    return total[:, :-1], count[:, :-1]


def _coloured(colours: Tensor, labels: Tensor) -> Tensor:
    """colours (B or 1, L + 1, 3), the last one for ignored pixels."""
    slot = torch.where(labels < 0, colours.shape[1] - 1, labels).long().flatten(1)[..., None]
    drawn = colours.expand(len(labels), -1, -1).gather(1, slot.expand(-1, -1, 3))
    return drawn.transpose(1, 2).unflatten(2, labels.shape[1:])
