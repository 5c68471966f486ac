# SPDX-License-Identifier: Apache-2.0
"""Models: what all have in common, the registry of their kinds, SCAM, discriminators."""

from scam.models.attention_map import AttentionMap
from scam.models.base import Reconstruction, SynthesisModel
from scam.models.config import ModelConfig
from scam.models.discriminators.patch import Discriminator
from scam.models.discriminators.segmentation import SegmentationDiscriminator
from scam.models.discriminators.spectral import SpectralDiscriminator
from scam.models.prepared_labels import PreparedLabels
from scam.models.registry import MODELS
from scam.models.scam import PRESETS, SatEncoder, Scam, ScamConfig, ScamGenerator
from scam.models.scam.attention_maps import attention_layers, attention_maps
from scam.models.styles import RunningMean, Styles, select_tokens

__all__ = [
    "MODELS",
    "PRESETS",
    "AttentionMap",
    "Discriminator",
    "ModelConfig",
    "PreparedLabels",
    "Reconstruction",
    "RunningMean",
    "SatEncoder",
    "Scam",
    "ScamConfig",
    "ScamGenerator",
    "SegmentationDiscriminator",
    "SpectralDiscriminator",
    "Styles",
    "SynthesisModel",
    "attention_layers",
    "attention_maps",
    "select_tokens",
]
