# SPDX-License-Identifier: Apache-2.0
"""A folder of photographs and label maps as a :class:`~scam.data.source.PairSource`."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image as PIL_Image

from scam.data.labels import NUM_VALUES, LabelSet, Merge, read_merge
from scam.data.names import named_labels
from scam.data.pairs import SPLITS, Pair, assign_splits, find_pairs, read_pair, split_folders
from scam.data.picture import read_label_png
from scam.data.source import Image, LabelMap
from scam.data.values import LabelValues
from scam.errors import InputError

# A scan that finds more labels than this has met instance ids or colours, not labels.
MOST_SCANNED = 1024
# What 255 means as the highest value of unnamed maps.
NO_LABEL = 255


class FolderPairs:
    """Pairs in ``root/images`` and ``root/<labels>``, or in ``root/{train,val,test}`` likewise.

    root: the data set's folder. split: ``train``, ``val``, ``test`` or None for all pairs (train
    and val never read the folder test, so that it may lack label maps);
    without a val folder, val is a fixed hold-out of ``holdout`` of the other training pictures
    (default a tenth, 1 to 60) chosen by a hash of the stem. labels: name of the label folder.
    merge: ``idesigner``, ``body`` or a JSON file (see :func:`~scam.data.labels.read_merge`).
    ignore_label: the value of pixels without a label; they load as -1.

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
        merge: str | None = None,
        ignore_label: int | None = None,
        label_set: str | None = None,
        num_labels: int | None = None,
        holdout: int | None = None,
    ) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise InputError(f"{self.root}: no such folder")
        if split not in (None, *SPLITS):
            raise InputError(f"split is {split!r}, expected 'train', 'val' or 'test'")
        for name, value, low, high in (
            ("ignore_label", ignore_label, 0, NUM_VALUES - 1),
            ("num_labels", num_labels, 1, NUM_VALUES),
            ("holdout", holdout, 1, None),
        ):
            if value is not None and (value < low or (high is not None and value > high)):
                bound = f"{low} or more" if high is None else f"{low} .. {high}"
                raise InputError(f"{name} is {value}, expected {bound}")
        self.ignore_label = ignore_label
        folders = self._listed(labels, split)
        self.pairs = _choose(self.root, folders, split, holdout)
        named = named_labels(self.root, labels, label_set, ignore_label)
        if named is None and num_labels is None and merge in (None, "body"):
            # For any split those that training meets.
            met = self._listed(labels, "train") if split == "test" else folders
            num_labels = self._scan(met or folders)
        source, merged = self._read_labels(named, merge, num_labels)
        self.label_set = source if merged is None else merged.label_set
        self.label_values = LabelValues.build(len(source), merged, ignore_label)

    def __len__(self) -> int:
        return len(self.pairs)

    def stem(self, index: int) -> str:
        """Name of the files of pair ``index``, without extension."""
        return self.pairs[index].stem

    def load(self, index: int, size: tuple[int, int]) -> tuple[Image, LabelMap]:
        """Return image uint8 (H, W, 3) and labels int32 (H, W), -1 = ignored, at (H, W) = size.

        The aspect follows ``size``; the image is averaged down (antialiased bilinear), the label
        map takes nearest pixels. InputError if a file is unreadable, the two sizes differ, or
        the map holds a value outside the labels.
        """
        pair = self.pairs[index]
        picture, labels = read_pair(pair.image, pair.labels, self.label_values)
        box = size[1], size[0]
        image = picture.resize(box, PIL_Image.Resampling.BILINEAR)
        small = PIL_Image.fromarray(labels).resize(box, PIL_Image.Resampling.NEAREST)
        return np.asarray(image), np.asarray(small)

    def _read_labels(
        self,
        named: LabelSet | None,
        merge: str | None,
        num_labels: int | None,
    ) -> tuple[LabelSet, Merge | None]:
        if named is not None:
            if num_labels not in (None, len(named)):
                raise InputError(
                    f"num_labels is {num_labels} but {named.name!r} names {len(named)}"
                )
            num_labels = len(named)
        if num_labels is None:
            num_labels = read_merge(str(merge)).num_source
        source = named or LabelSet.numbered(self.root.name, num_labels)
        return source, None if merge is None else read_merge(merge, num_labels)

    def _listed(self, labels: str, split: str | None) -> dict[str | None, list[Pair]]:
        """The pairs of the folders that ``split`` takes its own from."""
        return {
            name: find_pairs(self.root / (name or ""), labels)
            for name in split_folders(self.root)
            if split is None or (name == "test") == (split == "test")
        }

    def _scan(self, folders: dict[str | None, list[Pair]]) -> int:
        """How many labels the pairs of ``folders`` have."""
        maps = [pair.labels for pairs in folders.values() for pair in pairs]
        highest, path = _highest_label(
            tuple((path, path.stat().st_mtime_ns) for path in maps), self.ignore_label
        )
        if highest == NO_LABEL or highest >= MOST_SCANNED:
            raise InputError(
                f"{path}: holds the value {highest}; expected labels 0, 1, 2, ... - say how many "
                "there are in labels.txt (lines 'id name'), or, if pixels of this value have no "
                "label, give it as the ignore label"
            )
        return highest + 1


def _choose(
    root: Path, folders: dict[str | None, list[Pair]], split: str | None, holdout: int | None
) -> list[Pair]:
    if "val" in folders and holdout is not None:
        raise InputError(f"holdout is {holdout}, but {root} has its own val folder")
    if split is None:
        return [pair for pairs in folders.values() for pair in pairs]
    splits = assign_splits(folders, holdout)
    if split not in splits:
        raise InputError(f"{root / split}: no such folder, though {split!r} is asked for")
    if not splits[split]:
        count = len(splits["train"]) + len(splits["val"])
        raise InputError(
            f"{root}: nothing is left for {split!r}: of {count} pictures {len(splits['val'])} are "
            "held out"
        )
    return splits[split]


@lru_cache(maxsize=8)
def _highest_label(
    maps: tuple[tuple[Path, int], ...], ignore_label: int | None
) -> tuple[int, Path]:
    """Largest id in all maps and a map that has it; cached: train and val both ask."""
    highest, where = 0, maps[0][0]
    for path, _ in maps:
        values = read_label_png(path)
        if ignore_label is not None:
            values = values[values != ignore_label]
        top = int(values.max(initial=0))
        if top > highest:
            highest, where = top, path
    return highest, where
