# SPDX-License-Identifier: Apache-2.0
"""SCAM-Generator: a label map and latents become an image (SCAM paper, section 3.3)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scam.models.scam.config import ScamConfig
from scam.nn.gradient_checkpointing import checkpointed
from scam.nn.modulation import ScamModulation
from scam.nn.narrow_conv import NarrowConv2d
from scam.nn.pyramid import LabelPyramid, one_hot
from scam.nn.sat import LEAK
from scam.ops import Labels


class ScamGenerator(nn.Module):
    """``levels`` blocks, each doubling the resolution and adding to a running RGB image."""

    def __init__(self, config: ScamConfig, *, fused: bool = True) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = False
        widths = _widths(config)
        self.seed = nn.Conv2d(config.num_labels, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList(
            GeneratorBlock(config, entering, leaving, last=leaving == config.width, fused=fused)
            for entering, leaving in pairwise(widths)
        )
        # Per-token norms carry no identity of their own; the joint ones of the release do.
        shape = (config.num_tokens, config.token_dim)
        self.token_embedding = None if config.released else nn.Parameter(torch.randn(shape) * 0.02)

    def forward(
        self,
        pyramid: LabelPyramid,
        tokens: Tensor,
        token_labels: Labels,
        noise: Sequence[Tensor] | None = None,
        chosen: Tensor | None = None,
    ) -> Tensor:
        """tokens (B, m, d), their labels (m,) -> image (B, 3, H, W) in [-1, 1].

        ``pyramid`` holds the maps of every resolution, finest first. ``noise`` holds a field
        (B, 1, h, w) for each of :meth:`noise_sizes`; None: without noise. ``chosen`` (m,):
        the numbers of the tokens that are given, if not all: those of labels the map lacks are
        read by no pixel.
        """
        maps, groups = pyramid.maps[::-1], pyramid.groups[::-1]
        embedding: Tensor | None = self.token_embedding
        if embedding is not None:
            tokens = tokens + (embedding if chosen is None else embedding[chosen])
        x = self.seed(one_hot(maps[0], self.config.num_labels).to(self.seed.weight.dtype))
        rgb: Tensor | None = None
        for i, block in enumerate(self.blocks):
            size = (maps[i + 1].shape[1], maps[i + 1].shape[2])
            fields = (None, None) if noise is None else (noise[2 * i], noise[2 * i + 1])
            x, updated, rgb = checkpointed(
                cast(GeneratorBlock, block),
                *(x, rgb, groups[i], groups[i + 1], size, tokens, token_labels, fields),
                on=self.gradient_checkpointing,
            )
            tokens = updated if self.config.duplex else tokens
        assert rgb is not None
        return torch.tanh(rgb.to(torch.promote_types(rgb.dtype, torch.float32)))

    def noise_sizes(self, pyramid: LabelPyramid) -> list[tuple[int, int]]:
        """(h, w) of every noise field: two a block, before and after it doubles."""
        sizes = [(maps.shape[1], maps.shape[2]) for maps in pyramid.maps[::-1]]
        return [size for pair in pairwise(sizes) for size in pair]


class GeneratorBlock(nn.Module):
    """Modulate, convolve, upsample, modulate, convolve, and add to the running RGB."""

    def __init__(
        self, config: ScamConfig, entering: int, leaving: int, *, last: bool, fused: bool
    ) -> None:
        super().__init__()
        self.released = config.released
        middle = min(entering, leaving)

        def modulation(channels: int, *, duplex: bool, noisy: bool) -> ScamModulation:
            return ScamModulation(
                channels,
                config.token_dim,
                config.attention_dim,
                config.heads,
                config.num_tokens,
                duplex=duplex,
                noisy=noisy,
                released=config.released,
                bounded=config.bounds_scores,
                fused=fused,
                latents_per_label=config.latents_per_label,
            )

        self.modulation1 = modulation(entering, duplex=config.duplex, noisy=True)
        self.conv1 = nn.Conv2d(entering, middle, 3, padding=1)
        self.modulation2 = modulation(middle, duplex=config.duplex, noisy=True)
        self.conv2 = nn.Conv2d(middle, leaving, 3, padding=1)
        # The release builds a modulated RGB head for the last block too, then drops it.
        self.rgb_modulation = None if last else modulation(leaving, duplex=False, noisy=False)
        self.to_rgb = nn.Conv2d(leaving, 3, 1) if self.released else NarrowConv2d(leaving, 3, 1)

    def forward(
        self,
        x: Tensor,
        rgb: Tensor | None,
        low: Labels,
        high: Labels,
        size: tuple[int, int],
        tokens: Tensor,
        token_labels: Labels,
        noise: tuple[Tensor | None, Tensor | None],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """x, labels ``low`` -> features, tokens and RGB of ``size`` (h, w), labels ``high``.

        ``noise``: a field of the size of ``low`` and one of the size of ``high``.
        """
        x, tokens = self.modulation1(x, low, tokens, token_labels, noise[0])
        x = F.interpolate(self.conv1(self._activate_again(x)), size=size, mode="nearest")
        x, tokens = self.modulation2(x, high, tokens, token_labels, noise[1])
        x = self.conv2(self._activate_again(x))
        added = self.to_rgb(self._before_rgb(x, high, tokens, token_labels))
        return x, tokens, added if rgb is None else added + self._enlarge(rgb, size)

    def _activate_again(self, x: Tensor) -> Tensor:
        """The release activates twice around each modulation (slope 0.04 in all)."""
        return F.leaky_relu(x, LEAK) if self.released else x

    def _before_rgb(
        self, x: Tensor, labels: Labels, tokens: Tensor, token_labels: Labels
    ) -> Tensor:
        if self.rgb_modulation is not None:
            return cast(Tensor, self.rgb_modulation(x, labels, tokens, token_labels, None)[0])
        return x if self.released else F.leaky_relu(x, LEAK)

    def _enlarge(self, rgb: Tensor, size: tuple[int, int]) -> Tensor:
        if self.released:
            return F.interpolate(rgb, size=size, mode="nearest")
        return F.interpolate(rgb, size=size, mode="bilinear", align_corners=False)


def _widths(config: ScamConfig) -> list[int]:
    """Channels entering each block and leaving the last: 16, …, 16, 8, 4, 2, 1 times width."""
    steady = config.levels - 4
    return [config.width * 16] * (steady + 1) + [config.width * f for f in (8, 4, 2, 1)]
