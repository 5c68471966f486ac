# SPDX-License-Identifier: Apache-2.0
"""The one thing data sets have in common: images with label maps, by index."""

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any

from scam.data.arrays import Image, LabelMap
from scam.data.fit import Fit
from scam.data.labels import LabelSet
from scam.data.pairs import Pair
from scam.data.values import LabelValues
from scam.errors import InputError
from scam.settings.values import Bounds, UnusableError, as_kind


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


def checked_index(index: Any, length: int) -> int:
    """The number of one of ``length`` pairs; IndexError outside 0 .. ``length`` - 1.

    InputError for what is no integer.
    """
    try:
        number: int = as_kind(index, int, Bounds())
    except UnusableError:
        raise InputError(
            f"{{index}}: expected an integer, 0 to {length - 1}", index=index
        ) from None
    if not 0 <= number < length:
        raise IndexError(f"index {number} is outside 0 .. {length - 1}")
    return number


def checked_size(size: Any) -> tuple[int, int]:
    """A size (H, W) in pixels. InputError for anything else."""
    try:
        height, width = as_kind(tuple(size), tuple[int, int], Bounds(least=1))
    except (TypeError, UnusableError):
        expected = "expected (height, width), two integers above 0"
        raise InputError(f"{{size}}: {expected}", size=size) from None
    return height, width
