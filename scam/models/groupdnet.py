# SPDX-License-Identifier: Apache-2.0
"""GroupDNet: semantically multi-modal image synthesis (Zhu et al., CVPR 2020).

Each label's region is encoded by itself, and its code enters the generator in channels of its
own: convolutions are grouped by label, and groups merge from block to block.
"""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.models.group_plan import GroupPlan, NormPlan, published_plan, released_plan
from scam.models.label_levels import LabelLevels, Level
from scam.models.noise import Noise
from scam.models.residual import ResidualBlock, ResidualConfig, ResidualGenerator
from scam.models.spade import LabelBranch
from scam.models.variational import CODE_SIDE, VariationalConfig, VariationalModel
from scam.nn.indexed_norm import IndexedNorm, Maps, Rows
from scam.nn.initialise import initialise
from scam.nn.label_regions import label_regions
from scam.nn.norm import instance_norm
from scam.nn.pyramid import pyramid_sizes
from scam.nn.sat import LEAK
from scam.nn.spectral import SpectralConv2d
from scam.settings.fields import setting


@dataclass(frozen=True)
class GroupDNetConfig(VariationalConfig):
    """Shapes of one GroupDNet model."""

    kind: ClassVar[str] = "groupdnet"
    presets: ClassVar[dict[str, Any]] = {"tiny": {"width": 16, "levels": 4}}
    usual_kl: ClassVar[float] = 2 * 0.05

    levels: int = setting(6, "doublings of the generator", least=2, most=12)
    token_dim: int = setting(
        128,
        "width of a style: channels of 4x4 numbers",
        least=CODE_SIDE**2, most=1 << 14, step=CODE_SIDE**2, metavar="D",
    )  # fmt: skip

    @property
    def plan(self) -> GroupPlan:
        """Channels and groups."""
        plan = released_plan if self.released else published_plan
        return plan(self.num_labels, self.width, self.levels)

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """What each block runs at: the image's size, halved and rounded up, coarse to fine.

        SCAM's copy begins with 4x4 and ends at half its square, whatever the image's size.
        """
        if not self.released:
            return pyramid_sizes(*self.size, self.levels)[::-1]
        sizes = [(CODE_SIDE << i, CODE_SIDE << i) for i in range(self.levels)]
        return [sizes[0], sizes[1], *sizes[1:]]

    @property
    def least_parameters(self) -> int:
        """Those of the blocks' convolutions."""
        weights = (
            min(block.entering, block.leaving) * (block.entering + block.leaving) // block.groups
            for block in self.plan.blocks
        )
        return 9 * sum(weights)

    @property
    def least_numbers(self) -> int:
        """Features of the last block, before and after each norm."""
        height, width = self.sizes[-1]
        return height * width * self.plan.blocks[-1].leaving * 6


class GroupedNorm(IndexedNorm):
    """SPADE's norm; both convolutions of the label map are grouped."""

    def __init__(self, config: ResidualConfig, plan: NormPlan, channels: int) -> None:
        super().__init__(channels, "instance" if config.released else "batch")
        self.labels = LabelBranch(
            config.num_labels, plan.hidden, channels,
            label_groups=plan.label_groups, groups=plan.groups,
        )  # fmt: skip

    def affine(self, level: Level, style: Any) -> Rows | Maps:
        """See :class:`~scam.models.spade.LabelBranch`."""
        return self.labels.affine(level)


class RegionEncoder(nn.Module):
    """Each label's region of an image, by itself, to mean and log variance of its code.

    A region is cut out by its bounding box and stretched to 4 << levels pixels a side, 256 in
    the paper; strided convolutions halve that to 4.
    """

    def __init__(self, config: GroupDNetConfig) -> None:
        super().__init__()
        labels = self.num_labels = config.num_labels
        self.side = CODE_SIDE << config.levels
        widths = [3, *(config.plan.encoder << min(i, 3) for i in range(config.levels))]
        self.convs = nn.ModuleList(
            SpectralConv2d(
                labels * a, labels * b, 3, stride=2, padding=1, groups=labels, bias=config.released
            )
            for a, b in pairwise(widths)
        )
        entering, leaving = (labels * c for c in (widths[-1], config.token_dim // CODE_SIDE**2))
        self.mean = nn.Conv2d(entering, leaving, 3, padding=1, groups=labels)
        self.log_variance = nn.Conv2d(entering, leaving, 3, padding=1, groups=labels)

    def forward(
        self, image: Tensor, labels: Tensor, occurring: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """image (B, 3, H, W), labels (B, H, W) -> two (B, L, token_dim).

        occurring: (l,) the only labels that the maps hold; None: not known.
        """
        wanted = occurring
        if wanted is None:
            wanted = torch.arange(self.num_labels, device=labels.device)
        x = label_regions(image, labels, wanted, self.side)
        for conv in self.convs:
            x = F.leaky_relu(instance_norm(self._of_labels(conv, x, occurring)), LEAK)
        return self._codes(self.mean, x, occurring), self._codes(self.log_variance, x, occurring)

    def _codes(self, head: nn.Conv2d, x: Tensor, occurring: Tensor | None) -> Tensor:
        """(B, L, token_dim). Of absent labels too: what the network makes of zeros."""
        found = self._of_labels(head, x, occurring)
        count = self.num_labels if occurring is None else len(occurring)
        codes = found.unflatten(1, (count, -1)).flatten(2)
        if occurring is None:
            return codes
        assert head.bias is not None
        # Norms make zeros of a constant, so that nothing but the head's bias is left.
        bias = head.bias.to(codes.dtype).view(self.num_labels, -1)
        absent = bias.repeat_interleave(CODE_SIDE**2, 1).expand(len(codes), -1, -1)
        return absent.index_copy(1, occurring, codes)

    def _of_labels(self, conv: nn.Module, x: Tensor, occurring: Tensor | None) -> Tensor:
        """A grouped convolution of the groups of some labels: x (B, l * C, h, w)."""
        assert isinstance(conv, nn.Conv2d)
        if occurring is None:
            y: Tensor = conv(x)
            return y
        with torch.autocast(x.device.type, enabled=False):  # as SpectralConv2d does
            weight, bias = conv.weight, conv.bias
        of_label = torch.arange(len(weight), device=x.device).view(self.num_labels, -1)
        leaving = of_label[occurring].flatten()
        weight = weight[leaving]
        bias = None if bias is None else bias[leaving]
        return F.conv2d(x, weight, bias, conv.stride, conv.padding, groups=len(occurring))


class GroupDNet(VariationalModel):
    """GroupDNet with its encoder."""

    one_style_space: ClassVar[bool] = False  # each label has convolutions of its own
    Config: ClassVar[type[VariationalConfig]] = GroupDNetConfig
    reads_patches = True

    def __init__(self, config: GroupDNetConfig, *, fused: bool = True) -> None:
        labels = config.num_labels
        super().__init__(config, range(labels), fused)
        plan = config.plan.blocks
        self.encoder = RegionEncoder(config)
        entering = labels * config.token_dim // CODE_SIDE**2
        self.seed = nn.Conv2d(entering, plan[0].entering, 3, padding=1, groups=labels)
        blocks = (
            ResidualBlock(
                b.entering, b.leaving, partial(GroupedNorm, config, b.norm), groups=b.groups
            )
            for b in plan
        )
        self.generator = ResidualGenerator(config, blocks, slope=config.slope)
        initialise(self, released=config.released)

    def _moments(self, image: Tensor, labels: LabelLevels) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(image, labels.labels, labels.occurring)
        return mean, log_variance

    def _from_tokens(self, labels: LabelLevels, tokens: Tensor, noise: Noise | None) -> Tensor:
        codes = tokens.unflatten(2, (-1, CODE_SIDE, CODE_SIDE)).flatten(1, 2)
        # The published seeds are as large as a code; others average it, or repeat its numbers.
        codes = F.adaptive_avg_pool2d(codes, self.generator.sizes[0])
        image: Tensor = self.generator(self.seed(codes), labels.levels)
        return image
