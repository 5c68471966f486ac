# SPDX-License-Identifier: Apache-2.0
"""The discriminator of a run, and what it is shown."""

from dataclasses import dataclass

from torch import Tensor, nn

from scam.models import (
    Discriminator,
    ModelConfig,
    SegmentationDiscriminator,
    SpectralDiscriminator,
)
from scam.models.discriminators.spectral import STRIDES
from scam.synthesis.augment import Augmentation
from scam.synthesis.options import SynthesisOptions
from scam.training.randomness import PictureGenerators


def build_discriminator(config: ModelConfig, options: SynthesisOptions) -> nn.Module:
    """The one that ``options`` name, freshly initialised."""
    labels, width, released = config.num_labels, config.width, config.released
    if options.discriminator == "oasis":
        return SegmentationDiscriminator(labels, width, config.levels)
    if options.discriminator in STRIDES:
        strides = STRIDES[options.discriminator]
        return SpectralDiscriminator(labels, width, strides, released=released)
    norm = options.gradient_norm
    return Discriminator(labels, width, released=released, gradient_norm=norm)


@dataclass(frozen=True)
class DiscriminatorBatch:
    """A batch as the discriminator is shown it; each image is augmented as the generated one is.

    real: (B, 3, H, W). maps: the label maps that the discriminator reads, finest first.
    """

    real: Tensor
    maps: tuple[Tensor, ...]
    augmentation: Augmentation | None
    generators: PictureGenerators

    def augment(self, pictures: Tensor) -> Tensor:
        """pictures (B, 3, H, W) as they are shown."""
        return pictures if self.augmentation is None else self.augmentation.pictures(pictures)
