# SPDX-License-Identifier: Apache-2.0
"""How good a picture is."""

from scam.metrics.floors import ColourFloors
from scam.metrics.psnr import Psnr

__all__ = ["ColourFloors", "Psnr"]
