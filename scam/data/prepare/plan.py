# SPDX-License-Identifier: Apache-2.0
"""What is to be prepared: which photograph goes where, and how its label map comes about."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scam.data.arrays import LabelMap
from scam.data.labels import LabelSet
from scam.data.pairs import Listing, list_pairs
from scam.data.picture_folder import LABEL_SUFFIXES, BadFile
from scam.data.train_val_test import split_folders
from scam.data.values import LabelValues
from scam.errors import InputError


@dataclass(frozen=True)
class Item:
    """One pair to make: ``<split>/images/<stem>.*`` from image, its label map from maps."""

    split: str | None
    stem: str
    image: Path
    maps: tuple[Path, ...]


@dataclass(frozen=True)
class Plan:
    """A data set to make.

    read: an item's label map, int32 (H, W), -1 = no label (picklable; InputError for a file that
    cannot be used). enlarge: maps smaller or larger than their photograph, in its proportions,
    are brought to its size. keep_maps: the files in ``maps`` are index maps already and stay
    as they are. problems: files that were left out while listing. texts: further files by name.
    """

    kind: str
    label_set: LabelSet
    items: list[Item]
    read: Callable[[Item], LabelMap]
    enlarge: bool = False
    keep_maps: bool = False
    problems: list[BadFile] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def splits(self) -> dict[str, int]:
        """Pictures per split; one folder without splits is called ``all``."""
        counts: dict[str, int] = {}
        for item in self.items:
            counts[item.split or "all"] = counts.get(item.split or "all", 0) + 1
        return counts


@dataclass(frozen=True)
class IndexMaps:
    """Reads the one index map of an item."""

    values: LabelValues

    def __call__(self, item: Item) -> LabelMap:
        """The labels, int32 (H, W)."""
        return self.values.read(item.maps[0])


def folder_items(
    root: Path, labels: str, label_suffixes: Sequence[str] = LABEL_SUFFIXES
) -> tuple[list[Item], list[BadFile]]:
    """Items and problems of ``root/images`` with ``root/<labels>``, or of split folders."""
    items: list[Item] = []
    problems: list[BadFile] = []
    for split in split_folders(root):
        folder = root / (split or "")
        found = list_pairs(folder / "images", folder / labels, label_suffixes)
        add_listing(items, problems, split, found)
    expect_items(items, problems, root)
    return items, problems


def add_listing(
    items: list[Item], problems: list[BadFile], split: str | None, listing: Listing
) -> None:
    """Append what ``listing`` found."""
    items += [Item(split, pair.stem, pair.image, (pair.labels,)) for pair in listing.pairs]
    problems += listing.bad


def expect_items(items: list[Item], problems: list[BadFile], root: Path) -> None:
    """InputError if there is nothing to prepare."""
    if not items:
        first = f"; the first problem: {problems[0]}" if problems else ""
        raise InputError(f"{root}: no photograph has a label map{first}")


def names_in(folder: Path) -> list[str]:
    """The sorted names in a folder. InputError if it cannot be read."""
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror or error})") from None


def find_root(src: Path, name: str, parts: Sequence[str]) -> Path:
    """``src`` or ``src/name``, whichever has the folders ``parts``; InputError if neither."""
    for root in (src, src / name):
        if all(os.path.isdir(root / part) for part in parts):
            return root
    missing = next(part for part in parts if not os.path.isdir(src / part))
    raise InputError(
        f"{src / missing}: no such folder, expected the unpacked {name} with {', '.join(parts)}"
    )
