# SPDX-License-Identifier: Apache-2.0
"""Random changes that a loss can be differentiated through: DiffAugment, label maps included."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scam.errors import InputError

KINDS = ("color", "translation", "cutout")
"""What a policy may name: Zhao et al., "Differentiable Augmentation for Data-Efficient GAN
Training", NeurIPS 2020."""

_SHIFT = 1 / 8  # of a side, at most
_CUT = 1 / 2  # of either side
_NUMBERS = 7  # brightness, saturation, contrast; down, right; row and column of the cut


def parse_policy(option: str, text: str) -> tuple[str, ...]:
    """``"color,cutout"`` -> its kinds; ``""`` -> none; InputError, naming ``option``, for a kind
    that does not exist or comes twice.
    """
    kinds = tuple(text.split(",")) if text else ()
    if not set(kinds) <= set(KINDS) or len(set(kinds)) < len(kinds):
        message = f"{{{option}}}: expected some of {','.join(KINDS)}, each once"
        raise InputError(message, **{option: text})
    return kinds


@dataclass(frozen=True)
class Augmentation:
    """One draw for every image of a batch, to be applied to all that belongs together.

    policy: some of :data:`KINDS`. uniform: (B, 7) on the CPU, uniform in [0, 1); each number has
    its use, whatever else the policy names.
    """

    policy: tuple[str, ...]
    uniform: Tensor

    @classmethod
    def draw(
        cls, policy: tuple[str, ...], generators: Sequence[torch.Generator]
    ) -> "Augmentation":
        """Take each image's numbers from its own generator (CPU)."""
        numbers = [torch.rand(_NUMBERS, generator=g, dtype=torch.float64) for g in generators]
        return cls(policy, torch.stack(numbers))

    def pictures(self, x: Tensor) -> Tensor:
        """x (B, 3, H, W) in [-1, 1] -> the same shape; what moves in or is cut out is 0."""
        if "color" in self.policy:
            x = self._recolour(x)
        if "translation" in self.policy:
            x = self._shift(x, 0.0)
        if "cutout" in self.policy:
            x = x.masked_fill(self._boxes(x), 0.0)
        return x

    def labels(self, maps: Tensor) -> Tensor:
        """maps (B, H, W), moved as the images are; what moves in or is cut out has no label."""
        if "translation" in self.policy:
            maps = self._shift(maps, -1)
        if "cutout" in self.policy:
            maps = maps.masked_fill(self._boxes(maps).squeeze(1), -1)
        return maps

    def _recolour(self, x: Tensor) -> Tensor:
        uniform = self.uniform[:, :3, None, None, None].to(x.dtype).to(x.device, non_blocking=True)
        brightness, saturation, contrast = uniform.unbind(1)
        x = x + (brightness - 0.5)
        grey = x.mean(1, keepdim=True)
        x = grey + 2 * saturation * (x - grey)
        mean = x.mean((1, 2, 3), keepdim=True)
        return mean + (0.5 + contrast) * (x - mean)

    def _shift(self, x: Tensor, fill: float) -> Tensor:
        height, width = x.shape[-2:]
        moves = zip(self._steps(3, height), self._steps(4, width), x, strict=True)
        return torch.stack(
            [F.pad(one, (right, -right, down, -down), value=fill) for down, right, one in moves]
        )

    def _steps(self, column: int, side: int) -> list[int]:
        most = int(side * _SHIFT + 0.5)
        return [i - most for i in _integers(self.uniform[:, column], 2 * most + 1)]

    def _boxes(self, x: Tensor) -> Tensor:
        """Boxes as (B, 1, H, W) bool; they may reach over the edges."""
        inside = []
        for column, side in zip((5, 6), x.shape[-2:], strict=True):
            length = int(side * _CUT + 0.5)
            centres = _integers(self.uniform[:, column], side + 1 - length % 2)
            first = torch.tensor([centre - length // 2 for centre in centres])
            place = torch.arange(side) - first[:, None]
            inside.append((place >= 0) & (place < length))
        boxes = inside[0][:, None, :, None] & inside[1][:, None, None, :]
        return boxes.to(x.device, non_blocking=True)


def _integers(uniform: Tensor, count: int) -> list[int]:
    """Uniform numbers in [0, 1) -> uniform integers in [0, count)."""
    return [min(int(u * count), count - 1) for u in uniform.tolist()]


def kept_styles(dropout: float, num_labels: int, generators: Sequence[torch.Generator]) -> Tensor:
    """Which labels keep their latents: (B, L) bool on the CPU, each with chance 1 - dropout."""
    draws = [torch.rand(num_labels, generator=g) >= dropout for g in generators]
    return torch.stack(draws)
