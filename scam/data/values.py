# SPDX-License-Identifier: Apache-2.0
"""From the values in a label file to the labels a model knows."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from scam.data.labels import NUM_VALUES, Merge
from scam.data.picture import PictureFile, read_label_png
from scam.errors import InputError, counted
from scam.settings.fields import Checked, setting

T = TypeVar("T")

_NO_LABEL = -2
_SHOWN = 5


class UnknownLabelError(InputError):
    """A label map holds a value that is not a label."""


@dataclass(frozen=True)
class LabelValues(Checked):
    """Value v of a file is label ``to_label[v]``; value ``ignore`` has none and becomes -1."""

    to_label: tuple[int, ...] = setting(least=0, below=NUM_VALUES)
    ignore: int | None = setting(None, least=0, below=NUM_VALUES)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.to_label) > NUM_VALUES:
            raise InputError(f"to_label has {len(self.to_label)} entries, expected 65536 or fewer")

    @classmethod
    def build(
        cls, num_source: int, merged: Merge | None = None, ignore: int | None = None
    ) -> "LabelValues":
        """Values 0 .. num_source - 1, merged or as they are."""
        table = range(num_source) if merged is None else merged.table().tolist()
        return cls(tuple(table), ignore)

    def read(self, path: PictureFile) -> NDArray[np.int32]:
        """Read an index map as labels int32 (H, W).

        InputError naming the file; UnknownLabelError, naming the value too, if it is no label.
        """
        return self.labels_of(read_label_png(path), path)

    def labels_of(self, values: NDArray[np.integer], name: object) -> NDArray[np.int32]:
        """Values 0 .. 65535 (H, W), as files hold them, as labels int32 (H, W).

        UnknownLabelError that begins with ``name`` for a value that is not a label.
        """
        labels = self._table[values]
        if labels.min(initial=0) == _NO_LABEL:
            raise UnknownLabelError(f"{name}: {self.problem(count_values(values))}")
        return labels

    def problem(self, pixels: Mapping[int, int]) -> str | None:
        """What is wrong with a map of these values, with pixels each; None if all are labels."""
        wrong = {
            value: count
            for value, count in pixels.items()
            if value != self.ignore and not 0 <= value < len(self.to_label)
        }
        if not wrong:
            return None
        also = "" if self.ignore is None else f" or {self.ignore} (ignored)"
        return f"holds {values_text(wrong)}, expected labels 0 .. {len(self.to_label) - 1}{also}"

    @cached_property
    def _table(self) -> NDArray[np.int32]:
        table = np.full(NUM_VALUES, _NO_LABEL, dtype=np.int32)
        table[: len(self.to_label)] = self.to_label
        if self.ignore is not None:
            table[self.ignore] = -1
        return table


def count_values(values: NDArray[np.integer]) -> dict[int, int]:
    """Pixels of each value."""
    found, counts = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def values_text(pixels: Mapping[int, int]) -> str:
    """``9 (12 pixels), 12 (6 pixels) and 3 more values``."""
    shown = sorted(pixels.items())[:_SHOWN]
    more = f" and {len(pixels) - _SHOWN} more values" if len(pixels) > _SHOWN else ""
    return ", ".join(f"{value} ({counted(count, 'pixel')})" for value, count in shown) + more


def without(values: Mapping[int, T], ignore: int | None) -> dict[int, T]:
    """``values`` but for ``ignore``."""
    return {value: found for value, found in values.items() if value != ignore}
