# SPDX-License-Identifier: Apache-2.0
"""Look at every pair of a folder as training would, and gather what is there and what is bad."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from scam.data.advice import advising, placed, prepare_command
from scam.data.flips import unpaired
from scam.data.folder import (
    all_ignored,
    counts_labels,
    expect_arguments,
    expect_pictures,
    read_labels,
)
from scam.data.greys import read_values
from scam.data.ids import MOST_SCANNED, Command, Scale, judge, scale_advice, scale_of
from scam.data.labels import LabelSet
from scam.data.left_out import left_out
from scam.data.names import named_labels
from scam.data.pairs import (
    SPLITS,
    BadFile,
    Pair,
    assign_splits,
    expect_equal_sizes,
    find_pairs,
    list_pairs,
    split_folders,
)
from scam.data.parallel import spread
from scam.data.picture import read_image, read_label_png
from scam.data.values import LabelValues, count_values, without
from scam.errors import InputError, one_line


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


def check_folder(
    root: Path,
    *,
    labels: str = "labels",
    label_set: str | None = None,
    ignore_label: int | None = None,
    merge: str | None = None,
    holdout: int | None = None,
    workers: int = 1,
) -> FolderReport:
    """Read every pair that training would read; the arguments are those of ``FolderPairs``.

    InputError if there is nothing to check: no folder, no pair, unreadable label names, or a
    ``holdout`` that leaves none for training.
    """
    expect_arguments(root, ignore_label=ignore_label, holdout=holdout)
    with advising(root, labels):
        folders, bad = _list(root, labels)
    pairs = [pair for found in folders.values() for pair in found]
    if not pairs:
        for split in folders:
            find_pairs(root / (split or ""), labels)  # says why
    names = named_labels(root, labels, label_set, ignore_label)
    splits = assign_splits(folders, holdout)
    if "val" in splits and "val" not in folders:
        bad += _nothing_left(root, splits, holdout)
    seen = dict(zip(pairs, spread(_look, pairs, workers=workers, what="check"), strict=True))
    # Training knows its own maps alone.
    to_train = [pair for split in ("train", "val") for pair in splits.get(split, [])] or pairs
    command = partial(prepare_command, "indices", root, labels)
    meant = _Meaning.of([seen[pair] for pair in to_train], names, ignore_label, merge, command)
    bad += [BadFile(root, text) for text in meant.problems]
    wrong = {pair: [*found.problems, *meant.wrong(pair, found)] for pair, found in seen.items()}
    bad += [problem for problems in wrong.values() for problem in problems]
    bad += _in_two_splits(splits, seen)
    good = {} if meant.problems else {p: found for p, found in seen.items() if not wrong[p]}
    sizes = Counter(found.size for found in good.values())
    return FolderReport(
        root=root,
        folder=labels,
        pairs=len(pairs),
        splits={
            split: sum(pair in good for pair in splits[split])
            for split in SPLITS
            if split in splits
        },
        held_out="val" not in folders and "val" in splits,
        named=names is not None,
        labels=meant.count(good.values()),
        unlabelled=0
        if ignore_label is None
        else sum(found.pixels.get(ignore_label, 0) for found in good.values()),
        turned=sum(found.turned for found in good.values()),
        sizes=_sizes(sizes),
        num_sizes=len(sizes),
        unpaired=tuple(meant.label_set.names[index] for index in unpaired(meant.label_set.names)),
        left_out=left_out(root / (split or "") / "images" for split in folders),
        bad=tuple(BadFile(found.file, placed(found.text, root, labels)) for found in bad),
        advice=tuple(meant.advice),
    )


@dataclass(frozen=True)
class _Seen:
    """One pair: pixels per value of its map, or of an image of greys in its place, size (height,
    width), the photograph's digest, and whether EXIF turns it.
    """

    pixels: dict[int, int]
    greys: dict[int, int]
    size: tuple[int, int]
    digest: bytes
    turned: bool
    problems: tuple[BadFile, ...]


def _look(pair: Pair) -> _Seen:
    problems: list[BadFile] = []
    pixels, size, digest, orientation = {}, (0, 0), b"", 1
    picture = None
    try:
        picture, orientation = read_image(pair.image)
        digest = hashlib.blake2b(pair.image.read_bytes(), digest_size=16).digest()
    except InputError as error:
        problems.append(BadFile.of(error, pair.image))
    try:
        values = read_label_png(pair.labels)
    except InputError as error:
        problems.append(BadFile.of(error, pair.labels))
        return _Seen({}, _greys(pair.labels), size, digest, orientation > 1, tuple(problems))
    pixels, size = count_values(values), (values.shape[0], values.shape[1])
    try:
        if picture is not None:
            expect_equal_sizes(pair.image, picture, orientation, pair.labels, values)
    except InputError as error:
        problems.append(BadFile.of(error, pair.labels))
    return _Seen(pixels, {}, size, digest, orientation > 1, tuple(problems))


def _greys(path: Path) -> dict[int, int]:
    """Pixels per value of a label image that is not an index map but may be made one."""
    try:
        found = count_values(read_values(path))
    except InputError:
        return {}
    return found if len(found) <= MOST_SCANNED else {}


@dataclass(frozen=True)
class _Meaning:
    """What the values of all maps mean; problems of all together; advice about them."""

    label_set: LabelSet
    values: LabelValues
    problems: list[str]
    advice: list[str]

    @classmethod
    def of(
        cls,
        seen: Sequence[_Seen],
        names: LabelSet | None,
        ignore: int | None,
        merge: str | None,
        command: Command,
    ) -> "_Meaning":
        pixels = without(_sum(found.pixels for found in seen), ignore)
        readable = any(found.pixels for found in seen)
        problems = [all_ignored(ignore)] if readable and not pixels else []
        advice = []
        num_labels = None
        if names is None and counts_labels(merge):
            found = judge(pixels, command)
            num_labels = max(1, found.count)
            problems += [found.problem] if found.problem else []
            advice += [found.advice] if found.advice else []
        label_set, values = read_labels(
            "labels", names, None if problems else merge, ignore, num_labels
        )
        if names is not None and values.problem(pixels):
            scale = scale_of(pixels)
            advice += [scale_advice(scale, command)] if scale else []
        greys = _sum(found.greys for found in seen)
        if greys:
            for value, count in pixels.items():
                greys[value] = greys.get(value, 0) + count
            greys = without(greys, ignore)
            scale = None if names and max(greys, default=0) < len(names) else scale_of(greys)
            said = f"grey label images hold {scale.said}: " if scale else ""
            advice = [said + scale_advice(scale or Scale("", ""), command)]
        return cls(label_set, values, problems, advice)

    def wrong(self, pair: Pair, found: _Seen) -> list[BadFile]:
        """What is wrong with the values of one map, unless it is wrong with all together."""
        text = None if self.problems else self.values.problem(found.pixels)
        return [] if text is None else [BadFile(pair.labels, text)]

    def count(self, good: Iterable[_Seen]) -> tuple[LabelCount, ...]:
        """Pictures and pixels of each label."""
        pixels = [0] * len(self.label_set)
        pictures = [0] * len(self.label_set)
        for found in good:
            met = set()
            for value, count in found.pixels.items():
                if value != self.values.ignore:
                    pixels[self.values.to_label[value]] += count
                    met.add(self.values.to_label[value])
            for label in met:
                pictures[label] += 1
        return tuple(
            LabelCount(index, name, pictures[index], pixels[index])
            for index, name in enumerate(self.label_set.names)
        )


def _sum(counts: Iterable[dict[int, int]]) -> dict[int, int]:
    total: Counter[int] = Counter()
    for found in counts:
        total.update(found)
    return dict(total)


def _nothing_left(root: Path, splits: dict[str, list[Pair]], holdout: int | None) -> list[BadFile]:
    try:
        expect_pictures(root, splits, "train")
    except InputError as error:
        if holdout is not None:
            raise
        return [BadFile.of(error, root)]
    return []


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
            named = images if str(error).startswith(one_line(f"{images}: ")) else folder / labels
            bad.append(BadFile.of(error, named))
            folders[split] = []
            continue
        folders[split] = listing.pairs
        bad += listing.bad
    return folders, bad


def _in_two_splits(splits: dict[str, list[Pair]], seen: dict[Pair, _Seen]) -> list[BadFile]:
    """A photograph to learn from must not be one to measure on."""
    first: dict[bytes, tuple[str, Path]] = {}
    problems = []
    for split in SPLITS:
        for pair in splits.get(split, []):
            # An unreadable photograph has no digest and is bad already.
            digest = seen[pair].digest or os.fsencode(pair.image)
            other, path = first.setdefault(digest, (split, pair.image))
            if other != split:
                text = f"is in {split} and, as {path}, in {other}, expected in one of them"
                problems.append(BadFile(pair.image, text))
    return problems


def _sizes(sizes: Counter[tuple[int, int]]) -> dict[str, tuple[int, int]]:
    if not sizes:
        return {}
    by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return {
        "smallest": by_area[0],
        "most_frequent": max(by_area, key=lambda size: sizes[size]),
        "largest": by_area[-1],
    }
