# SPDX-License-Identifier: Apache-2.0
"""How good an image is, and how far two sets of them are apart."""

from scam.metrics.floors import ColourFloors
from scam.metrics.frechet import FeatureMoments, FeatureStatistics, frechet_distance
from scam.metrics.kernel import kernel_distance
from scam.metrics.psnr import LabelPsnr, Psnr

__all__ = [
    "ColourFloors",
    "FeatureMoments",
    "FeatureStatistics",
    "LabelPsnr",
    "Psnr",
    "frechet_distance",
    "kernel_distance",
]
