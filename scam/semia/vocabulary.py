# SPDX-License-Identifier: Apache-2.0
"""What the labels of one image are in files: values of index maps, or colours."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scam.data import palette
from scam.data.labels import NUM_VALUES
from scam.errors import InputError, percent
from scam.settings.fields import Checked, setting

Kind = Literal["index", "colour"]
Codes = NDArray[np.int32]
"""Colours as 0xRRGGBB."""

MOST_LABELS = 256
_SHOWN = 12


@dataclass(frozen=True)
class Vocabulary(Checked):
    """Label i is ``values[i]`` in files: the value of an index map, or a colour 0xRRGGBB.

    Raises InputError for values that do not ascend, are out of range, or not 2 .. 256.
    """

    title: ClassVar[str] = "vocabulary"

    kind: Kind
    values: tuple[int, ...] = setting(least=0, below=1 << 24)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= len(self.values) <= MOST_LABELS:
            raise InputError(
                f"{{values}}: expected 2 to {MOST_LABELS} of them", values=self.values
            )
        if list(self.values) != sorted(set(self.values)):
            raise InputError("{values}: expected ascending numbers", values=self.values)
        if self.kind == "index" and self.values[-1] >= NUM_VALUES:
            raise InputError(f"{{values}}: expected below {NUM_VALUES}", values=self.values)

    def __len__(self) -> int:
        return len(self.values)

    def __str__(self) -> str:
        return ", ".join(self.name(index) for index in range(min(_SHOWN, len(self)))) + self._more

    def shares(self, labels: Tensor) -> str:
        """The labels of a map (H, W), the most frequent first: ``#ff9300 61 %, #0096ff 39 %``."""
        counts = torch.bincount(labels.flatten(), minlength=len(self)).tolist()
        order = sorted(range(len(self)), key=lambda label: -counts[label])
        said = [f"{self.name(i)} {percent(counts[i], labels.numel())}" for i in order]
        return ", ".join(said[:_SHOWN]) + self._more

    @property
    def _more(self) -> str:
        return f" and {len(self) - _SHOWN} more" if len(self) > _SHOWN else ""

    def name(self, label: int) -> str:
        """Of a label, as people write it: ``7``, ``#ff9300``."""
        return written(self.kind, self.values[label])

    def colours(self) -> NDArray[np.uint8]:
        """One for each label, uint8 (K, 3), to show it in."""
        return unpacked(np.array(self.values)) if self.kind == "colour" else palette(len(self))

    def as_image(self, labels: NDArray[np.integer]) -> NDArray[np.uint8 | np.uint16]:
        """Labels (..., H, W) as the source's label map has them, for PIL's ``Image.fromarray``.

        uint8 RGB (..., H, W, 3) for colours, else uint8 (..., H, W), or uint16 where a value is
        above 255. ValueError for a label outside 0 .. K - 1.
        """
        if labels.size and not 0 <= labels.min() <= labels.max() < len(self):
            raise ValueError(f"labels outside 0 .. {len(self) - 1} have no value to be written as")
        if self.kind == "colour":
            return self.colours()[labels]
        kind = np.uint8 if self.values[-1] <= 255 else np.uint16
        return np.array(self.values, kind)[labels]


def written(kind: Kind, value: int) -> str:
    """A value of a label map: ``7``, and ``#ff9300`` of a colour."""
    return f"#{value:06x}" if kind == "colour" else str(value)


def unpacked(colours: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Colours 0xRRGGBB (...) as uint8 (..., 3)."""
    return np.stack([colours >> shift & 255 for shift in (16, 8, 0)], -1).astype(np.uint8)


def packed(rgb: NDArray[np.uint8]) -> Codes:
    """Inverse of :func:`unpacked`."""
    red, green, blue = np.moveaxis(rgb.astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue
