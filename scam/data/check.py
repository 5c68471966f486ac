# SPDX-License-Identifier: Apache-2.0
"""Look at every pair of a folder as training would, and gather what is there and what is bad."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scam.data.folder import MOST_SCANNED, NO_LABEL
from scam.data.labels import NUM_VALUES, LabelSet
from scam.data.names import named_labels
from scam.data.pairs import (
    SPLITS,
    BadFile,
    Pair,
    assign_splits,
    expect_equal_sizes,
    list_pairs,
    split_folders,
)
from scam.data.parallel import spread
from scam.data.picture import read_image, read_label_png
from scam.errors import InputError


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

    pairs: photographs with a map, usable or not. splits: usable pairs of train, val and test;
    held_out: val is a part of train's folder. named: whether the labels have names.
    unlabelled: pixels with the ignore label. turned: photographs with an EXIF orientation other
    than 1, which are turned upright. sizes: (height, width) of the smallest, the most
    frequent and the largest pair, and how many different ones there are. bad: every problem.
    """

    root: Path
    pairs: int
    splits: dict[str, int]
    held_out: bool
    named: bool
    labels: tuple[LabelCount, ...]
    unlabelled: int
    turned: int
    sizes: dict[str, tuple[int, int]]
    num_sizes: int
    bad: tuple[BadFile, ...]

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
        }


def check_folder(
    root: Path,
    *,
    labels: str = "labels",
    label_set: str | None = None,
    ignore_label: int | None = None,
    workers: int = 1,
) -> FolderReport:
    """Read every pair that training would read; the arguments are those of ``FolderPairs``.

    InputError if there is nothing to check: no folder, no pair, or unreadable label names.
    """
    if not root.is_dir():
        raise InputError(f"{root}: no such folder")
    if ignore_label is not None and not 0 <= ignore_label < NUM_VALUES:
        raise InputError(f"ignore_label is {ignore_label}, expected 0 .. {NUM_VALUES - 1}")
    names = named_labels(root, labels, label_set, ignore_label)
    folders, bad = _list(root, labels)
    pairs = [pair for found in folders.values() for pair in found]
    if not pairs:
        raise InputError(
            f"{root}: no image and label map have equal stems"
            + (f"; the first problem: {bad[0]}" if bad else "")
        )
    seen = dict(zip(pairs, spread(_look, pairs, workers=workers, what="check"), strict=True))
    known = _Known.of(seen.values(), names, ignore_label)
    wrong = {pair: [*found.problems, *known.problems(pair, found)] for pair, found in seen.items()}
    bad += [problem for problems in wrong.values() for problem in problems]
    splits = assign_splits(folders)
    bad += _in_two_splits(splits, seen)
    good = {pair: found for pair, found in seen.items() if not wrong[pair]}
    sizes = Counter(found.size for found in good.values())
    return FolderReport(
        root=root,
        pairs=len(pairs),
        splits={
            split: sum(pair in good for pair in splits[split])
            for split in SPLITS
            if split in splits
        },
        held_out="val" not in folders and "val" in splits,
        named=names is not None,
        labels=_count(good.values(), names, ignore_label, root.name),
        unlabelled=0
        if ignore_label is None
        else sum(found.pixels.get(ignore_label, 0) for found in good.values()),
        turned=sum(found.turned for found in good.values()),
        sizes=_sizes(sizes),
        num_sizes=len(sizes),
        bad=tuple(bad),
    )


@dataclass(frozen=True)
class _Seen:
    """One pair: pixels per value of its map, size (height, width), the photograph's digest, and
    whether EXIF turns it.
    """

    pixels: dict[int, int]
    size: tuple[int, int]
    digest: bytes
    turned: bool
    problems: tuple[BadFile, ...]


def _look(pair: Pair) -> _Seen:
    problems, pixels, size, digest, orientation = [], {}, (0, 0), b"", 1
    picture = None
    try:
        picture, orientation = read_image(pair.image)
        digest = hashlib.blake2b(pair.image.read_bytes(), digest_size=16).digest()
    except InputError as error:
        problems.append(BadFile.of(error, pair.image))
    try:
        values = read_label_png(pair.labels)
        size = values.shape[0], values.shape[1]
        counts = np.bincount(values.ravel())
        pixels = {int(value): int(counts[value]) for value in np.flatnonzero(counts)}
        if picture is not None:
            expect_equal_sizes(pair.image, picture, orientation, pair.labels, values)
    except InputError as error:
        problems.append(BadFile.of(error, pair.labels))
    return _Seen(pixels, size, digest, orientation > 1, tuple(problems))


@dataclass(frozen=True)
class _Known:
    """The values that are labels: those below ``limit`` but ``no_label``, and ``ignore``."""

    limit: int
    no_label: int | None
    ignore: int | None
    expected: str

    @classmethod
    def of(cls, seen: Iterable[_Seen], names: LabelSet | None, ignore: int | None) -> "_Known":
        also = "" if ignore is None else f" or {ignore} (ignored)"
        if names is not None:
            return cls(len(names), None, ignore, f"labels 0 .. {len(names) - 1}{also}")
        # Without names training counts the labels itself, up to what looks like none.
        values = {value for found in seen for value in found.pixels} - {ignore}
        highest = max((value for value in values if value < MOST_SCANNED), default=0)
        expected = f"labels 0, 1, 2, ...{also}; name them in labels.txt, or give --ignore-label"
        return cls(MOST_SCANNED, NO_LABEL if highest == NO_LABEL else None, ignore, expected)

    def problems(self, pair: Pair, found: _Seen) -> list[BadFile]:
        wrong = [
            f"{value} ({count} pixels)"
            for value, count in found.pixels.items()
            if value != self.ignore and (value >= self.limit or value == self.no_label)
        ]
        if not wrong:
            return []
        more = f" and {len(wrong) - 5} more values" if len(wrong) > 5 else ""
        text = f"holds {', '.join(wrong[:5])}{more}, expected {self.expected}"
        return [BadFile(pair.labels, text)]


def _list(root: Path, labels: str) -> tuple[dict[str | None, list[Pair]], list[BadFile]]:
    folders: dict[str | None, list[Pair]] = {}
    bad: list[BadFile] = []
    for split in split_folders(root):
        folder = root / (split or "")
        try:
            listing = list_pairs(folder / "images", folder / labels)
        except InputError as error:
            if split is None:
                raise
            images = folder / "images"
            named = images if str(error).startswith(f"{images}: ") else folder / labels
            bad.append(BadFile.of(error, named))
            folders[split] = []
            continue
        folders[split] = listing.pairs
        bad += listing.twice + listing.alone
    return folders, bad


def _in_two_splits(splits: dict[str, list[Pair]], seen: dict[Pair, _Seen]) -> list[BadFile]:
    """A photograph to learn from must not be one to measure on."""
    first: dict[bytes, tuple[str, Path]] = {}
    problems = []
    for split in SPLITS:
        for pair in splits.get(split, []):
            # An unreadable photograph has no digest and is bad already.
            digest = seen[pair].digest or str(pair.image).encode()
            other, path = first.setdefault(digest, (split, pair.image))
            if other != split:
                text = f"is in {split} and, as {path}, in {other}, expected in one of them"
                problems.append(BadFile(pair.image, text))
    return problems


def _count(
    good: Iterable[_Seen], names: LabelSet | None, ignore: int | None, root: str
) -> tuple[LabelCount, ...]:
    pixels: NDArray[np.int64] = np.zeros(NUM_VALUES, np.int64)
    pictures: NDArray[np.int64] = np.zeros(NUM_VALUES, np.int64)
    for found in good:
        for value, count in found.pixels.items():
            if value != ignore:
                pixels[value] += count
                pictures[value] += 1
    if names is None:
        names = LabelSet.numbered(root, max(1, int(np.flatnonzero(pixels).max(initial=0)) + 1))
    return tuple(
        LabelCount(index, name, int(pictures[index]), int(pixels[index]))
        for index, name in enumerate(names.names)
    )


def _sizes(sizes: Counter[tuple[int, int]]) -> dict[str, tuple[int, int]]:
    if not sizes:
        return {}
    by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return {
        "smallest": by_area[0],
        "most_frequent": max(by_area, key=lambda size: sizes[size]),
        "largest": by_area[-1],
    }
