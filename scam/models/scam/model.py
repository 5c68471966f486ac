# SPDX-License-Identifier: Apache-2.0
"""The whole model: SAT-Encoder and SCAM-Generator with one label order and one size."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from scam.models.base import Reconstruction, SynthesisModel
from scam.models.inputs import ImageLike, checked_pyramid, expect_noise
from scam.models.noise import Noise, draw_noise
from scam.models.prepared_labels import LabelsLike, PreparedLabels
from scam.models.scam.config import ScamConfig
from scam.models.scam.encoder import SatEncoder, SplitEncoder
from scam.models.scam.generator import ScamGenerator
from scam.nn.pyramid import LabelPyramid, grouped, pyramid_sizes
from scam.ops import Labels


class Scam(SynthesisModel):
    """k latents per label in between (SCAM, ECCV 2022).

    ``fused`` chooses between the fused attention and the dense one of the paper; parameters,
    random draws and state dict are the same.
    """

    Config: ClassVar[type[ScamConfig]] = ScamConfig
    config: ScamConfig

    def __init__(self, config: ScamConfig, *, fused: bool = True) -> None:
        super().__init__(config, config.token_labels(), config.token_dim)
        self.fused = fused
        encoder = SatEncoder if config.encoder == "sat" else SplitEncoder
        self.encoder: nn.Module = encoder(config, fused=fused)
        self.generator = ScamGenerator(config, fused=fused)

    @property
    def needs_noise(self) -> bool:
        """The released generator draws noise at evaluation too."""
        return self.config.released

    @property
    def channels_last_on_cpu(self) -> bool:
        """The released networks keep their rounding."""
        return not self.config.released

    def _prepare(self, labels: Tensor, occurring: tuple[int, ...] | None) -> LabelPyramid:
        """At the encoder's sizes, which the default generator shares.

        On a GPU ``occurring`` saves computing the tokens of the other labels.
        """
        levels = self.config.levels
        if self.config.released:
            sizes = pyramid_sizes(*self.config.size, levels)
            return LabelPyramid.nearest(labels, self.config.num_labels, sizes)
        return LabelPyramid.build(labels, self.config.num_labels, levels, occurring)

    def reconstruct(
        self,
        image: ImageLike,
        labels: LabelsLike,
        noise: Noise | None = None,
        kept: Tensor | None = None,
    ) -> Reconstruction:
        """As every model does; tokens that no pixel reads are not computed."""
        image, pyramid = self._reconstructed(image, labels)
        expect_noise(noise)
        chosen = self._needed_tokens(pyramid)
        of = self._labels_of(chosen)
        groups = self._grouped(of)
        tokens = self._only(self.encoder(image, pyramid, groups, chosen), kept, of)
        return Reconstruction(self._from_tokens(pyramid, tokens, groups, chosen, noise))

    def _encode(self, image: Tensor, labels: LabelPyramid) -> Tensor:
        groups = self._grouped(self.token_labels)
        tokens: Tensor = self.encoder(image, labels, groups)
        return tokens

    def _generate(self, labels: LabelPyramid, tokens: Tensor, noise: Noise | None) -> Tensor:
        chosen = self._needed_tokens(labels)
        tokens = tokens if chosen is None else tokens[:, chosen]
        groups = self._grouped(self._labels_of(chosen))
        return self._from_tokens(labels, tokens, groups, chosen, noise)

    def _from_tokens(
        self,
        pyramid: LabelPyramid,
        tokens: Tensor,
        groups: Labels,
        chosen: Tensor | None,
        noise: Noise | None,
    ) -> Tensor:
        if self.config.released:
            sizes = released_generator_sizes(*self.config.size, self.config.levels)
            pyramid = LabelPyramid.nearest(pyramid.labels, self.config.num_labels, sizes)
        fields = None
        if noise is not None:
            shapes = [(1, *size) for size in self.generator.noise_sizes(pyramid)]
            fields = draw_noise(noise, tokens.shape[0], shapes, tokens.device)
        image: Tensor = self.generator(pyramid, tokens, groups, fields, chosen)
        return image

    def _needed_tokens(self, pyramid: LabelPyramid) -> Tensor | None:
        """Numbers of the tokens that some pixel reads; None: all, or not known.

        Joint norms couple the labels, the dense way computes what the paper does, and a compiled
        graph is rebuilt for every number of tokens.
        """
        occurring = pyramid.occurring
        if not self.fused or self.config.released or occurring is None:
            return None
        if self.compiled and self.training:
            return None
        if len(occurring) in (0, self.config.num_labels):
            return None
        labels = torch.tensor(self.config.token_labels(), device="cpu")
        read = torch.isin(labels, torch.tensor(occurring, device="cpu"))
        return read.nonzero().flatten().to(pyramid.present.device, non_blocking=True)

    def _grouped(self, labels: Tensor) -> Labels:
        """Labels of tokens (m',) as attentions read them fastest."""
        most = max(self.config.background_latents, self.config.latents_per_label)
        return grouped(labels, self.config.num_labels, most)

    def _labels_of(self, chosen: Tensor | None) -> Tensor:
        """Labels of the tokens that are computed, all or those ``chosen``: (m',)."""
        return self.token_labels if chosen is None else self.token_labels[chosen]

    def _checked(self, labels: PreparedLabels, name: str) -> LabelPyramid:
        sizes = pyramid_sizes(*self.config.size, self.config.levels)
        return checked_pyramid(labels, sizes, self.config.num_labels, self.mean_tokens, name)


def released_generator_sizes(height: int, width: int, levels: int) -> list[tuple[int, int]]:
    """Sizes of the released generator, finest first: doublings of a start at ``side >> levels``.

    Landscape images keep their aspect here; the released code inverted it by mistake.
    """
    if width < height:
        w0 = width >> levels
        h0 = round(w0 * height / width)
    else:
        h0 = height >> levels
        w0 = round(h0 * width / height)
    doublings = [(h0 << i, w0 << i) for i in range(levels)]
    return [(height, width), *reversed(doublings)]
