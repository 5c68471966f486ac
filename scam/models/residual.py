# SPDX-License-Identifier: Apache-2.0
"""The generator that SPADE introduced and CLADE, SEAN, INADE and GroupDNet share.

A seed of 1024 channels and 8 pixels a side becomes the image in seven residual blocks, each of
whose norms is told of label map and style; a model says what its norms do with them.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.errors import InputError, sized
from scam.models.base import SynthesisModel
from scam.models.config import ModelConfig
from scam.models.label_levels import LabelLevels, Level
from scam.models.noise import Noise
from scam.models.prepared_labels import PreparedLabels
from scam.models.recipes import PAPER, RELEASED, Fidelity
from scam.nn.indexed_norm import IndexedNorm
from scam.nn.pyramid import known_labels
from scam.nn.sat import LEAK
from scam.nn.spectral import SpectralConv2d
from scam.nn.statistics import wide
from scam.settings.fields import setting


class NormOf(Protocol):
    """Makes the norms of a generator."""

    def __call__(self, channels: int, *, last: bool) -> IndexedNorm:
        """A norm of so many channels. last: whether of the last block."""


@dataclass(frozen=True)
class ResidualConfig(ModelConfig):
    """Shapes of a model with this generator; each kind adds its own.

    paper: training settings of the authors.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"width": 16, "levels": 4, "token_dim": 64}
    }
    paper: ClassVar[Mapping[str, Any]] = PAPER

    width: int = setting(64, "feature channels at full resolution", least=4, most=1 << 12, step=2)
    levels: int = setting(5, "doublings of the generator", least=2, most=12)
    token_dim: int = setting(256, "width of a style", least=2, most=1 << 14, step=2, metavar="D")
    fidelity: Fidelity = setting(
        "matched",
        "matched: the authors' networks, trained as SCAM is; paper: trained as they did; "
        "released: the copies that were compared with SCAM",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.size) >> self.levels < 1:
            most = min(self.size).bit_length() - 1
            raise InputError(
                f"{{levels}}: halves {sized(self.size)} down to nothing, expected "
                f"{f'at most {most}' if most >= 2 else 'more pixels'}",
                levels=self.levels,
            )

    @property
    def released(self) -> bool:
        """Whether SCAM's copies are reproduced, quirks included."""
        return self.fidelity == "released"

    @property
    def recipe(self) -> Mapping[str, Any]:
        """See :class:`~scam.models.config.ModelConfig`; ``matched`` is trained as SCAM is."""
        return {"matched": {}, "paper": self.paper, "released": RELEASED}[self.fidelity]

    @property
    def slope(self) -> float:
        """Of the leaky ReLU in front of a convolution; SCAM's copies apply it twice."""
        return LEAK**2 if self.released else LEAK

    @property
    def widest(self) -> int:
        """Channels of the seed."""
        return self.width << (self.levels - 1)

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """What each block runs at: doublings of a seed that keeps the image's aspect.

        The last block runs at the image's size; SCAM's copies stretch its result instead.
        """
        height, width = self.size
        short = min(height, width) >> self.levels
        seed = tuple(round(short * side / min(height, width)) for side in self.size)
        sizes = [(seed[0] << i, seed[1] << i) for i in range(self.levels + 1)]
        if not self.released:
            sizes[-1] = self.size
        return [sizes[0], sizes[1], *sizes[1:]]

    @property
    def least_parameters(self) -> int:
        """Those of the widest blocks' convolutions."""
        return 6 * 9 * self.widest**2

    @property
    def least_numbers(self) -> int:
        """Features at full resolution, before and after each norm."""
        return self.size[0] * self.size[1] * self.width * 6

    @property
    def facts(self) -> dict[str, Any]:
        """See :class:`~scam.models.config.ModelConfig`."""
        return {"fidelity": self.fidelity}


class ResidualModel(SynthesisModel):
    """A model with this generator.

    reads_patches: whether its norms read the patches of label maps.
    """

    config: ResidualConfig
    reads_patches = False
    checkpoints_gradients = False

    def __init__(
        self, config: ResidualConfig, token_labels: Sequence[int], fused: bool = True
    ) -> None:
        super().__init__(config, token_labels, config.token_dim)
        self.fused = fused

    def _prepare(self, labels: Tensor, occurring: tuple[int, ...] | None) -> LabelLevels:
        labels = known_labels(labels, self.config.num_labels)
        # What a compiled graph computes may not grow with what the maps hold.
        by_content = self.fused and not self.compiled and not torch.compiler.is_compiling()
        return LabelLevels.build(
            labels,
            self.config.num_labels,
            self.config.sizes,
            patches=self.reads_patches and by_content,
            occurring=occurring if by_content else range(self.config.num_labels),
        )

    def _generate(self, labels: LabelLevels, tokens: Tensor, noise: Noise | None) -> Tensor:
        return self._from_tokens(labels, tokens.expand(labels.labels.shape[0], -1, -1), noise)

    @abstractmethod
    def _from_tokens(self, labels: LabelLevels, tokens: Tensor, noise: Noise | None) -> Tensor:
        """Image (B, 3, H, W) from prepared labels and one style (m, d) for each: (B, m, d)."""

    def _checked(self, labels: PreparedLabels, name: str) -> LabelLevels:
        found = super()._checked(labels, name)
        sizes = [] if not isinstance(found, LabelLevels) else found.sizes
        if not isinstance(found, LabelLevels) or sizes != self.config.sizes:
            expected = f"expected them prepared by such a model, at {self.config.sizes}"
            raise InputError(f"{name}: prepared at {sizes}, {expected}")
        return found


class ResidualBlock(nn.Module):
    """Two convolutions, each behind a norm and an activation, beside a shortcut.

    Args:
        entering, leaving: channels.
        norm: makes a norm of so many channels.
        groups: of the convolutions.
    """

    def __init__(
        self,
        entering: int,
        leaving: int,
        norm: Callable[[int], IndexedNorm],
        *,
        groups: int = 1,
    ) -> None:
        super().__init__()
        middle = min(entering, leaving)
        self.norm_0, self.norm_1 = norm(entering), norm(middle)
        self.conv_0 = SpectralConv2d(entering, middle, 3, padding=1, groups=groups)
        self.conv_1 = SpectralConv2d(middle, leaving, 3, padding=1, groups=groups)
        self.norm_s = self.conv_s = None
        if entering != leaving:
            self.norm_s = norm(entering)
            self.conv_s = SpectralConv2d(entering, leaving, 1, groups=groups, bias=False)

    def forward(self, x: Tensor, level: Level, style: Any, slope: float) -> Tensor:
        """x (B, entering, h, w) -> (B, leaving, h, w)."""
        shortcut = x
        if self.norm_s is not None and self.conv_s is not None:
            shortcut = self.conv_s(self.norm_s(x, level, style, 1.0))
        x = self.conv_0(self.norm_0(x, level, style, slope))
        x = self.conv_1(self.norm_1(x, level, style, slope))
        return shortcut + x


def residual_blocks(config: ResidualConfig, norm: NormOf) -> Iterator[ResidualBlock]:
    """SPADE's blocks: three of the seed's width, then half as wide each."""
    widths = [config.widest] * 4 + [config.widest >> i for i in range(1, config.levels)]
    last = len(widths) - 2
    for block, (entering, leaving) in enumerate(pairwise(widths)):
        yield ResidualBlock(entering, leaving, partial(norm, last=block == last))


class ResidualGenerator(nn.Module):
    """Features of the seed to an image.

    Args:
        config: its size, and the size of every block.
        blocks: from the seed's channels on.
        slope: of the leaky ReLU in front of their convolutions.
    """

    def __init__(
        self, config: ResidualConfig, blocks: Iterable[ResidualBlock], *, slope: float = LEAK
    ) -> None:
        super().__init__()
        self.size, self.sizes = config.size, config.sizes
        self.slope = slope
        self.blocks = nn.ModuleList(blocks)
        last = cast(ResidualBlock, self.blocks[-1])
        self.to_rgb = nn.Conv2d(last.conv_1.out_channels, 3, 3, padding=1)

    @property
    def noise_shapes(self) -> list[tuple[int, int, int]]:
        """(1, h, w) of every norm, in the order of their use."""
        return [
            (1, *size)
            for block, size in zip(self.blocks, self.sizes, strict=True)
            for norm in (block.norm_s, block.norm_0, block.norm_1)
            if norm is not None
        ]

    def forward(self, x: Tensor, levels: Sequence[Level], style: Any = None) -> Tensor:
        """Seed (B, C, h0, w0) -> image (B, 3, H, W) in [-1, 1].

        style: what the model's norms read beside the label maps.
        """
        for block, level, size in zip(self.blocks, levels, self.sizes, strict=True):
            x = block(enlarged(x, size), level, style, self.slope)
        x = F.leaky_relu(enlarged(x, self.size), LEAK)
        return torch.tanh(wide(self.to_rgb(x)))


def enlarged(x: Tensor, size: tuple[int, int]) -> Tensor:
    """x (B, C, h, w) at ``size``, nearest."""
    return x if tuple(x.shape[2:]) == size else F.interpolate(x, size=size, mode="nearest")
