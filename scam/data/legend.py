# SPDX-License-Identifier: Apache-2.0
"""What colours mean: names beside swatches, for sheets and pages."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from scam.data.picture import palette

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""
NO_LABEL: Colour = (0, 0, 0)


@dataclass(frozen=True)
class Legend:
    """A heading, and colours with their names."""

    heading: str
    entries: tuple[tuple[Colour, str], ...]


def label_legend(names: Sequence[str], maps: Iterable[Tensor]) -> Legend:
    """The labels that integer ``maps`` of any shape hold, in the colours of ``colorize``.

    names: of all labels. Labels beyond them are called by their numbers.
    """
    held = sorted({label for labels in maps for label in labels.unique().tolist()})
    colours = palette(max(held, default=0) + 1).tolist() if held and held[-1] >= 0 else []
    entries = [
        ((r, g, b), names[label] if label < len(names) else str(label))
        for label in held
        if label >= 0
        for r, g, b in [colours[label]]
    ]
    if held and held[0] < 0:
        entries.append((NO_LABEL, "no label"))
    return Legend("labels", tuple(entries))
