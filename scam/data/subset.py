# SPDX-License-Identifier: Apache-2.0
"""Some images out of many, spread evenly."""

from collections.abc import Sequence

from scam.data.arrays import Image, LabelMap
from scam.data.pairs import Pair
from scam.data.source import PairSource


class Subset(PairSource):
    """Some pairs of a source, in the order given."""

    def __init__(self, source: PairSource, indices: Sequence[int]) -> None:
        self.source = source
        self.indices = list(indices)
        self.label_set, self.fit = source.label_set, source.fit
        self.label_values = source.label_values

    def __len__(self) -> int:
        return len(self.indices)

    def stem(self, index: int) -> str:
        """See :class:`~scam.data.PairSource`."""
        return self.source.stem(self.indices[index])

    def load(self, index: int, size: tuple[int, int]) -> tuple[Image, LabelMap]:
        """See :class:`~scam.data.PairSource`."""
        return self.source.load(self.indices[index], size)

    def files(self, index: int) -> Pair | None:
        """See :class:`~scam.data.PairSource`."""
        return self.source.files(self.indices[index])


def origin(source: PairSource, index: int) -> tuple[PairSource, int]:
    """The source that a pair comes from, through any subsets, and its index there."""
    while isinstance(source, Subset):
        index, source = source.indices[index], source.source
    return source, index


def at_most(source: PairSource, count: int | None) -> PairSource:
    """The source, or ``count`` of its pairs spread evenly over it."""
    if count is None or count >= len(source):
        return source
    return Subset(source, evenly(len(source), count))


def evenly(length: int, count: int) -> list[int]:
    """At most ``count`` indices spread evenly over ``range(length)``, ascending."""
    count = min(length, count)
    return [i * length // count for i in range(count)]
