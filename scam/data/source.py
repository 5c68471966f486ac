# SPDX-License-Identifier: Apache-2.0
"""The one thing data sets have in common: images with label maps, by index."""

from abc import ABC, abstractmethod
from functools import cached_property

from scam.data.arrays import Image, LabelMap
from scam.data.fit import Fit
from scam.data.labels import LabelSet
from scam.data.pairs import Pair
from scam.data.values import LabelValues


class PairSource(ABC):
    """Pictures and their label maps, loaded at any size.

    Attributes:
        label_set: what the ids of the label maps mean.
        fit: how images of other proportions than those asked for are loaded; ``squash`` where
            they are drawn, in any.
    """

    label_set: LabelSet
    fit: Fit = "squash"

    @cached_property
    def label_values(self) -> LabelValues:
        """How the values of label files become those ids; by default they are the ids."""
        return LabelValues.build(len(self.label_set))

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def stem(self, index: int) -> str:
        """Name of pair ``index`` (0 .. len - 1), unique in this source."""

    @abstractmethod
    def load(self, index: int, size: tuple[int, int]) -> tuple[Image, LabelMap]:
        """Return pair ``index`` at ``size`` = (H, W), whatever its own shape.

        The image is uint8 RGB (H, W, 3); the label map int32 (H, W), ids of ``label_set`` or -1
        where a pixel has no label. InputError for a pair that cannot be used.
        """

    def files(self, index: int) -> Pair | None:
        """The photograph and the label map that pair ``index`` is read from; None: it is not.

        By them images are known again by content, and edits are pasted into photographs.
        """
        return None
