# SPDX-License-Identifier: Apache-2.0
"""The generator: an image under a label map, made under another one (paper, section 3)."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.nn.pyramid import LabelPyramid, pyramid_sizes
from scam.semia.patches import Collage
from scam.semia.translation import LEAK, LabelEncoder, Translation, translate
from scam.semia.transport import Transport
from scam.settings.fields import Checked, setting

LEVELS = 4
_TRANSPORTED = (2, 3)
"""Levels, of a quarter and an eighth of the resolution, where pixels are many and places few."""


@dataclass(frozen=True)
class GeneratorConfig(Checked):
    """Shapes of a generator."""

    title: ClassVar[str] = "network"
    heading: ClassVar[str] = "network"

    num_labels: int = setting(help="K", least=1, most=1 << 12, flag=False)
    width: int = setting(24, "channels at full resolution", least=4, most=1 << 10)
    transport: bool = setting(True, "let pixels read pixels of the source that have their label")
    by_label: bool = setting(True, "restrict all matching to the same label; off for comparison")
    start: bool = setting(True, "refine a collage of patches; off: generate from nothing")


@dataclass(frozen=True)
class Generated:
    """image (B, 3, H, W) in [-1, 1]; scales and shifts (B, C, h, w) of every level."""

    image: Tensor
    scales: list[Tensor] = field(default_factory=list)
    shifts: list[Tensor] = field(default_factory=list)


class Block(nn.Module):
    """Two 3x3 convolutions beside a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")
        self.second = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> the same."""
        y: Tensor = self.second(F.leaky_relu(self.first(F.leaky_relu(x, LEAK)), LEAK))
        return x + y


class ImageEncoder(nn.Module):
    """Features of an image at full, half, quarter and eighth resolution."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, widths[0], 3, padding=1, padding_mode="reflect")
        self.halve = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise(widths)
        )
        self.blocks = nn.ModuleList(Block(width) for width in widths[1:])

    def forward(self, image: Tensor) -> list[Tensor]:
        """image (B, 3, H, W) -> per level (B, C, h, w), sizes rounded up."""
        found = [self.enter(image)]
        for conv, block in zip(self.halve, self.blocks, strict=True):
            found.append(block(conv(F.leaky_relu(found[-1], LEAK))))
        return found


class Generator(nn.Module):
    """G, with its label encoder.

    With ``config.start`` it refines a collage: as long as nothing is learned it returns that.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        widths = tuple(config.width * min(2**level, 4) for level in range(LEVELS))
        self.label_encoder = LabelEncoder(config.num_labels, widths)
        self.image_encoder = ImageEncoder(widths)
        self.translations = nn.ModuleList(Translation(width) for width in widths)
        levels = _TRANSPORTED if config.transport else ()
        self.transports = nn.ModuleDict(
            {str(level): Transport(widths[level], 2 * config.width) for level in levels}
        )
        self.enlarge = nn.ModuleList(
            nn.Conv2d(b, a, 3, padding=1, padding_mode="reflect")
            for a, b in itertools.pairwise(widths)
        )
        self.blocks = nn.ModuleList(Block(width) for width in widths)
        self.leave = nn.Conv2d(widths[0], 3, 3, padding=1, padding_mode="reflect")
        if config.start:
            for parameter in self.leave.parameters():
                nn.init.zeros_(parameter)

    def forward(
        self, image: Tensor, labels: Tensor, target: Tensor, start: Collage | None = None
    ) -> Generated:
        """image (1, 3, H, W) in [-1, 1] and its labels (1, H, W); target labels (1, H', W').

        start: the collage of the source under the target, where the generator refines one.
        """
        size = (target.shape[1], target.shape[2])
        before = self._aligned(self.label_encoder(labels), size, start)
        after = self.label_encoder(target)
        base = F.interpolate(image, size, mode="bilinear") if start is None else start.image[None]
        x = self.image_encoder(base)
        changes = [
            translation(*pair)
            for translation, *pair in zip(self.translations, before, after, strict=True)
        ]
        if self.config.transport:
            x = self._transported(x, after, image, labels, target)
        y: Tensor | None = None
        for level in reversed(range(LEVELS)):
            here = translate(x[level], *changes[level])
            if y is None:
                y = here
            else:
                y = F.interpolate(F.leaky_relu(y, LEAK), here.shape[2:], mode="nearest")
                y = translate(self.enlarge[level](y), *changes[level]) + here
            y = self.blocks[level](y)
        assert y is not None
        change = torch.tanh(self.leave(F.leaky_relu(y, LEAK)))
        if start is not None:
            # From the collage towards white or black, so that nothing leaves [-1, 1].
            change = base + change * torch.where(change > 0, 1 - base, 1 + base)
        return Generated(change, [scale for scale, _ in changes], [shift for _, shift in changes])

    def _aligned(
        self, features: list[Tensor], size: tuple[int, int], start: Collage | None
    ) -> list[Tensor]:
        """The source's label features where the target's pixels come from."""
        sizes = pyramid_sizes(*size, LEVELS - 1)
        if start is None:
            pairs = zip(features, sizes, strict=True)
            return [x if x.shape[2:] == s else F.interpolate(x, s) for x, s in pairs]
        found = []
        width = features[0].shape[3]
        for level, (x, (h, w)) in enumerate(zip(features, sizes, strict=True)):
            step = 1 << level
            places = start.places[::step, ::step][:h, :w]
            row, column = places // width >> level, places % width >> level
            found.append(x[:, :, row, column])
        return found

    def _transported(
        self, x: list[Tensor], after: list[Tensor], image: Tensor, labels: Tensor, target: Tensor
    ) -> list[Tensor]:
        source_x, source_around = self.image_encoder(image), self.label_encoder(labels)
        own, theirs = (self._maps(each) for each in (target, labels))
        moved = list(x)
        for level in _TRANSPORTED:
            moved[level] = self.transports[str(level)](
                x[level], after[level], own[level],
                source_x[level], source_around[level], theirs[level],
            )  # fmt: skip
        return moved

    def _maps(self, labels: Tensor) -> Sequence[Tensor]:
        """What has to be equal for a pixel to read another, per level: (B, h, w)."""
        kinds = labels if self.config.by_label else torch.zeros_like(labels)
        return LabelPyramid.build(kinds, self.config.num_labels, LEVELS - 1).maps
