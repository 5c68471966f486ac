# SPDX-License-Identifier: Apache-2.0
"""The one thing data sets have in common: images with label maps, by index."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scam.data.labels import LabelSet
from scam.data.values import LabelValues

Image = NDArray[np.uint8]
LabelMap = NDArray[np.int32]


class PairSource(Protocol):
    """Pictures and their label maps, loaded at any size."""

    @property
    def label_set(self) -> LabelSet:
        """What the ids of the label maps mean."""

    @property
    def label_values(self) -> LabelValues:
        """How the values of label files on disk become those ids."""

    def __len__(self) -> int: ...

    def stem(self, index: int) -> str:
        """Name of pair ``index`` (0 .. len - 1), unique in this source."""

    def load(self, index: int, size: tuple[int, int]) -> tuple[Image, LabelMap]:
        """Return pair ``index`` at ``size`` = (H, W), whatever its own shape.

        The image is uint8 RGB (H, W, 3); the label map int32 (H, W), ids of ``label_set`` or -1
        where a pixel has no label. InputError for a pair that cannot be used.
        """
