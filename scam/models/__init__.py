# SPDX-License-Identifier: Apache-2.0
"""Networks: SAT-Encoder, SCAM-Generator, discriminators, and the model that joins them."""

from scam.models.discriminators.patch import Discriminator
from scam.models.discriminators.segmentation import SegmentationDiscriminator
from scam.models.scam.config import PRESETS, ModelConfig, preset
from scam.models.scam.encoder import SatEncoder
from scam.models.scam.generator import ScamGenerator
from scam.models.scam.model import Scam
from scam.models.styles import Latents, RunningMean, select_tokens

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
