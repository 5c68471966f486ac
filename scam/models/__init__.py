# SPDX-License-Identifier: Apache-2.0
"""Networks: SAT-Encoder, SCAM-Generator, discriminators, and the model that joins them."""

from scam.models.config import PRESETS, ModelConfig, preset
from scam.models.discriminator import Discriminator
from scam.models.encoder import SatEncoder
from scam.models.generator import ScamGenerator
from scam.models.latents import Latents, RunningMean, select_tokens
from scam.models.scam import Scam
from scam.models.segmentation_discriminator import SegmentationDiscriminator

__all__ = [
    "PRESETS",
    "Discriminator",
    "Latents",
    "ModelConfig",
    "RunningMean",
    "SatEncoder",
    "Scam",
    "ScamGenerator",
    "SegmentationDiscriminator",
    "preset",
    "select_tokens",
]
