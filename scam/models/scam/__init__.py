# SPDX-License-Identifier: Apache-2.0
"""SCAM: SAT-Encoder and SCAM-Generator (ECCV 2022)."""

from scam.models.scam.config import PRESETS, ScamConfig
from scam.models.scam.encoder import SatEncoder
from scam.models.scam.generator import ScamGenerator
from scam.models.scam.model import Scam

__all__ = ["PRESETS", "SatEncoder", "Scam", "ScamConfig", "ScamGenerator"]
