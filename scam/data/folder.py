# SPDX-License-Identifier: Apache-2.0
"""A folder of photographs and label maps as a :class:`~scam.data.source.PairSource`."""

import os
from collections.abc import Mapping, Sequence, Set
from functools import lru_cache, partial
from pathlib import Path
from typing import get_args

from scam.data.advice import advising, prepare_command
from scam.data.arrays import Image, LabelMap
from scam.data.fit import Fit, Frame
from scam.data.ids import judge
from scam.data.labels import NUM_VALUES, LabelSet, MergeSpec, read_merge
from scam.data.names import named_labels
from scam.data.pairs import Pair, find_pairs, read_pair
from scam.data.picture import read_label_png
from scam.data.source import PairSource, checked_index, checked_size
from scam.data.train_val_test import SPLITS, assign_splits, split_folders
from scam.data.values import LabelValues, count_values, without
from scam.errors import InputError, counted
from scam.storage.reading import folder_like, identity


class FolderPairs(PairSource):
    """Pairs in ``root/images`` and ``root/<labels>``, or in ``root/{train,val,test}`` likewise.

    root: the data set's folder. split: ``train``, ``val``, ``test`` or None for all pairs (train
    and val never read the folder test, so that it may lack label maps);
    without a val folder, val is a fixed hold-out of ``holdout`` of the other training images
    (default: see :func:`~scam.data.train_val_test.hold_out`) chosen by a hash of the stem, or
    those of the stems ``held_out``. labels: name of the label folder.
    merge: ``idesigner``, ``body``, a JSON file or what it holds (see
    :func:`~scam.data.labels.read_merge`).
    ignore_label: the value of pixels without a label; they load as -1. fit: how images of other
    proportions are loaded, see :data:`~scam.data.fit.Fit`.

    The labels on disk are those of ``label_set`` (a name in ``LABEL_SETS``), else named by
    ``root/<labels>.txt`` (or ``root/labels.txt`` if no folder ``root/labels`` claims it), lines
    ``id name``; else they are ``num_labels``, else as many as the merge joins, else as many as a
    scan of all maps finds (the slow way for large sets: better to write the names).
    InputError for everything that does not fit, at construction or when a bad pair is loaded.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        split: str | None = None,
        labels: str = "labels",
        merge: MergeSpec | None = None,
        ignore_label: int | None = None,
        label_set: str | None = None,
        num_labels: int | None = None,
        fit: Fit = "squash",
        holdout: int | None = None,
        held_out: Set[str] | None = None,
    ) -> None:
        self.root = Path(root)
        if split not in (None, *SPLITS):
            raise InputError("{split}: expected train, val or test", split=split)
        expect_arguments(
            self.root, ignore_label=ignore_label, num_labels=num_labels, holdout=holdout
        )
        if fit not in get_args(Fit):
            raise InputError("{fit}: expected squash, crop or pad", fit=fit)
        self.ignore_label, self.labels, self.fit = ignore_label, labels, fit
        folders = self._listed(split)
        self.pairs = _choose(self.root, folders, split, holdout, held_out)
        named = named_labels(self.root, labels, label_set, ignore_label)
        if named is None and num_labels is None and counts_labels(merge):
            # For any split those that training meets.
            met = self._listed("train") if split == "test" else folders
            num_labels = self._scan(_maps(met or folders))
        self.label_set, self.label_values = read_labels(
            self.root.name, named, merge, ignore_label, num_labels
        )
        if ignore_label is not None and split != "test":
            with advising(self.root, labels):
                _expect_labelled(self.root, _maps(folders), self.label_values)

    def __len__(self) -> int:
        return len(self.pairs)

    def stem(self, index: int) -> str:
        """Name of the files of pair ``index``, without extension."""
        return self.pairs[index].stem

    def files(self, index: int) -> Pair:
        """The files of pair ``index``."""
        return self.pairs[index]

    def load(self, index: int, size: tuple[int, int]) -> tuple[Image, LabelMap]:
        """Return image uint8 (H, W, 3) and labels int32 (H, W), -1 = ignored, at (H, W) = size.

        Other proportions become those of ``size`` by ``fit``; the image is averaged down
        (antialiased bilinear), the label map takes nearest pixels. InputError if a file is
        unreadable, the two sizes differ, or the map holds a value outside the labels, and for
        what is no integer or no size; IndexError outside 0 .. len - 1.
        """
        size = checked_size(size)
        pair = self.pairs[checked_index(index, len(self.pairs))]
        with advising(self.root, self.labels):
            picture, labels = read_pair(pair.image, pair.labels, self.label_values)
        placement = Frame(size, self.fit).place(labels.shape)
        return placement.image(picture), placement.labels(labels)

    def _listed(self, split: str | None) -> dict[str | None, list[Pair]]:
        """The pairs of the folders that ``split`` takes its own from."""
        with advising(self.root, self.labels):
            return {
                name: find_pairs(self.root / (name or ""), self.labels)
                for name in split_folders(self.root)
                if split is None or (name == "test") == (split == "test")
            }

    def _scan(self, maps: list[Path]) -> int:
        """How many labels the maps have."""
        with advising(self.root, self.labels):
            pixels, where = _census(tuple((path, identity(path, content=True)) for path in maps))
        pixels = without(pixels, self.ignore_label)
        if not pixels:
            raise InputError(f"{self.root}: {all_ignored(self.ignore_label)}")
        found = judge(pixels, partial(prepare_command, "indices", self.root, self.labels))
        if found.problem is not None:
            raise InputError(f"{self.root}: {found.problem}; {found.advice}")
        if found.strange:
            path = where[min(found.strange)]
            known = LabelValues.build(found.count, None, self.ignore_label)
            text = known.problem(count_values(read_label_png(path)))
            raise InputError(f"{path}: {text}; {found.advice}")
        return found.count


def expect_arguments(
    root: Path,
    *,
    ignore_label: int | None = None,
    num_labels: int | None = None,
    holdout: int | None = None,
) -> None:
    """InputError unless there is such a folder and the numbers are in range."""
    if not os.path.isdir(root):
        raise InputError(f"{root}: no such folder{folder_like(root)}")
    for name, value, low, high in (
        ("ignore_label", ignore_label, 0, NUM_VALUES - 1),
        ("num_labels", num_labels, 1, NUM_VALUES),
        ("holdout", holdout, 1, None),
    ):
        if value is not None and (value < low or (high is not None and value > high)):
            bound = f"{low} or more" if high is None else f"{low} .. {high}"
            raise InputError(f"{{{name}}}: expected {bound}", **{name: value})


def _maps(folders: Mapping[str | None, list[Pair]]) -> list[Path]:
    return [pair.labels for pairs in folders.values() for pair in pairs]


def counts_labels(merge: MergeSpec | None) -> bool:
    """Whether unnamed labels are as many as the maps hold: no merge says how many it joins."""
    return merge in (None, "body")


def read_labels(
    name: str,
    named: LabelSet | None,
    merge: MergeSpec | None,
    ignore_label: int | None,
    num_labels: int | None,
) -> tuple[LabelSet, LabelValues]:
    """What the labels mean and how values become them; arguments as ``FolderPairs`` has them.

    num_labels: how many there are on disk where neither names nor a merge say it.
    """
    if named is not None and num_labels not in (None, len(named)):
        message = f"{{num_labels}}: expected the {len(named)} that {named.name!r} names"
        raise InputError(message, num_labels=num_labels)
    if named is None and num_labels is None and merge is not None:
        num_labels = read_merge(merge).num_source
    source = named or LabelSet.numbered(name, num_labels or 1)
    merged = None if merge is None else read_merge(merge, len(source))
    values = LabelValues.build(len(source), merged, ignore_label)
    return source if merged is None else merged.label_set, values


def all_ignored(ignore_label: int | None) -> str:
    """What is wrong with a folder that says nothing."""
    return f"every pixel of its label maps is {ignore_label} (ignored), expected labels too"


def _expect_labelled(root: Path, maps: list[Path], values: LabelValues) -> None:
    if not any((values.read(path) >= 0).any() for path in maps):
        raise InputError(f"{root}: {all_ignored(values.ignore)}")


def _choose(
    root: Path,
    folders: dict[str | None, list[Pair]],
    split: str | None,
    holdout: int | None,
    held_out: Set[str] | None,
) -> list[Pair]:
    if "val" in folders and holdout is not None:
        message = f"{{holdout}}: expected none, since {root} has its own val folder"
        raise InputError(message, holdout=holdout)
    if split is None:
        return [pair for pairs in folders.values() for pair in pairs]
    splits = assign_splits(folders, holdout if held_out is None else held_out)
    if split not in splits:
        raise InputError(f"{root / split}: no such folder, though {split!r} is asked for")
    expect_pictures(root, splits, split)
    return splits[split]


def expect_pictures(root: Path, splits: Mapping[str, Sequence[Pair]], split: str) -> None:
    """InputError if holding out left none for ``split``."""
    if not splits[split]:
        count = len(splits["train"]) + len(splits["val"])
        raise InputError(
            f"{root}: nothing is left for {split!r}: of {counted(count, 'image')} "
            f"{len(splits['val'])} held out; expected more images, or fewer held out"
        )


@lru_cache(maxsize=8)
def _census(
    maps: tuple[tuple[Path, tuple[int, ...] | None], ...],
) -> tuple[dict[int, int], dict[int, Path]]:
    """Pixels of each value in all maps, and a map that holds it; cached: train and val ask."""
    pixels: dict[int, int] = {}
    where: dict[int, Path] = {}
    for path, _ in maps:
        for value, count in count_values(read_label_png(path)).items():
            pixels[value] = pixels.get(value, 0) + count
            where.setdefault(value, path)
    return pixels, where
