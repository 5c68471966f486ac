# SPDX-License-Identifier: Apache-2.0
"""What a check found in a folder of pairs."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scam.data.picture_folder import BadFile


@dataclass(frozen=True)
class LabelCount:
    """How many usable pairs have a label, and how many of their pixels."""

    id: int
    name: str
    pictures: int
    pixels: int


@dataclass(frozen=True)
class FolderReport:
    """What a folder of pairs holds.

    folder: name of the label folder. pairs: photographs with a map, usable or not. splits: usable
    pairs of train, val and test; held_out: val is a part of train's folder. named: whether the
    labels have names. unlabelled: pixels with the ignore label. turned: photographs with an EXIF
    orientation other than 1, which are turned upright. sizes: (height, width) of the smallest, the
    most frequent and the largest pair, and how many different ones there are. unpaired: labels
    whose names say left or right without a partner. left_out: what is not read, in words, empty if
    nothing. bad: every problem. advice: what to do.
    """

    root: Path
    folder: str
    pairs: int
    splits: dict[str, int]
    held_out: bool
    named: bool
    labels: tuple[LabelCount, ...]
    unlabelled: int
    turned: int
    sizes: dict[str, tuple[int, int]]
    num_sizes: int
    unpaired: tuple[str, ...]
    left_out: str
    bad: tuple[BadFile, ...]
    advice: tuple[str, ...]

    @property
    def pixels(self) -> int:
        """All pixels of the usable pairs."""
        return sum(label.pixels for label in self.labels) + self.unlabelled

    def bad_lines(self) -> list[tuple[str, str]]:
        """File and what is wrong with it, for all of ``bad``; paths as seen from the root."""
        here = f"{self.root}{os.sep}"
        return [
            (str(problem.file).removeprefix(here), problem.text.replace(here, ""))
            for problem in self.bad
        ]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "root": str(self.root),
            "pairs": self.pairs,
            "splits": self.splits,
            "val_held_out_of_train": self.held_out,
            "labels": [vars(label) for label in self.labels],
            "labels_named": self.named,
            "pixels": self.pixels,
            "unlabelled_pixels": self.unlabelled,
            "turned_by_exif": self.turned,
            "sizes": {name: list(size) for name, size in self.sizes.items()},
            "num_sizes": self.num_sizes,
            "bad": [{"file": file, "problem": text} for file, text in self.bad_lines()],
            "unpaired_sides": list(self.unpaired),
            "left_out": self.left_out,
            "advice": list(self.advice),
        }
