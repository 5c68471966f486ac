# SPDX-License-Identifier: Apache-2.0
"""Building blocks: semantic cross attention, SAT, modulation, positions and label pyramids."""

from scam.nn.attention import SemanticCrossAttention
from scam.nn.modulation import ScamModulation
from scam.nn.position import position_code
from scam.nn.pyramid import LabelPyramid, pyramid_sizes
from scam.nn.sat import SatLayer

__all__ = [
    "LabelPyramid",
    "SatLayer",
    "ScamModulation",
    "SemanticCrossAttention",
    "position_code",
    "pyramid_sizes",
]
