# SPDX-License-Identifier: Apache-2.0
"""A folder of photographs and label maps as a :class:`~scam.data.source.PairSource`."""

import hashlib
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image as PIL_Image

from scam.data.labels import LabelSet, Merge, read_label_names, read_merge
from scam.data.labels import label_set as find_label_set
from scam.data.picture import read_image, read_label_png
from scam.data.source import Image, LabelMap
from scam.data.values import NUM_VALUES, LabelValues
from scam.errors import InputError

SPLITS = ("train", "val")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
# A scan that finds more labels than this has met instance ids or colours, not labels.
_MOST_SCANNED = 1024


@dataclass(frozen=True)
class Pair:
    """One photograph and its label map, equal in stem (file name without its extension)."""

    stem: str
    image: Path
    labels: Path


def find_pairs(folder: Path, labels: str = "labels") -> list[Pair]:
    """Pair ``folder/images`` with ``folder/<labels>`` by stem, sorted by stem.

    InputError if a folder is missing, a stem occurs twice, or no stem is in both. Files without
    a partner are left out with one warning.
    """
    images = _by_stem(folder / "images", IMAGE_SUFFIXES)
    maps = _by_stem(folder / labels, (".png",))
    stems = sorted(images.keys() & maps.keys())
    if not stems:
        raise InputError(
            f"{folder}: no image and label map have equal stems, for example "
            f"'images/{min(images.values()).name}' and '{labels}/{min(maps.values()).name}'"
        )
    alone = len(images) + len(maps) - 2 * len(stems)
    if alone:
        example = min(path for s, path in (images | maps).items() if s not in stems)
        warnings.warn(
            f"{folder}: {alone} files have no partner of equal stem and are left out, "
            f"for example {example.parent.name}/{example.name}",
            stacklevel=2,
        )
    return [Pair(stem, images[stem], maps[stem]) for stem in stems]


def _by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected one with {'/'.join(suffixes)} files")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in suffixes:
            continue
        if path.stem in found:
            raise InputError(
                f"{folder}: {found[path.stem].name} and {path.name} have the same stem, "
                "expected one file for each"
            )
        found[path.stem] = path
    if not found:
        raise InputError(f"{folder}: holds no {'/'.join(suffixes)} files")
    return found


def read_pair(image: Path, labels: Path, values: LabelValues) -> tuple[PIL_Image.Image, LabelMap]:
    """Read a photograph, upright RGB, and its label map, int32 (H, W), at their own size.

    InputError if a file is unreadable, the sizes differ, or the map holds a value outside the
    labels.
    """
    picture, orientation = read_image(image)
    read = values.read(labels)
    height, width = read.shape
    if picture.size != (width, height):
        turned = f" after its EXIF orientation {orientation}" if orientation > 1 else ""
        raise InputError(
            f"{labels}: is {width}x{height} but {image} is "
            f"{picture.width}x{picture.height}{turned}, expected equal sizes"
        )
    return picture, read


def hold_out(stems: Iterable[str], count: int | None) -> set[str]:
    """Choose ``count`` stems (default a tenth, 1 .. 60) by a hash of the stem alone.

    Adding files changes the choice only where a new stem takes an old one's place.
    """
    ranked = sorted(stems, key=lambda stem: hashlib.sha256(stem.encode()).digest())
    if count is None:
        count = max(1, min(60, len(ranked) // 10))
    return set(ranked[:count])


class FolderPairs:
    """Pairs in ``root/images`` and ``root/<labels>``, or in ``root/{train,val}/...`` likewise.

    root: the data set's folder. split: ``train``, ``val`` or None for all pairs; without
    train/val folders, val is a fixed hold-out of ``holdout`` pictures (default a tenth, 1 to 60)
    chosen by a hash of the stem, train is the rest. labels: name of the label folder.
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
            raise InputError(f"split is {split!r}, expected 'train' or 'val'")
        for name, value, low, high in (
            ("ignore_label", ignore_label, 0, NUM_VALUES - 1),
            ("num_labels", num_labels, 1, NUM_VALUES),
            ("holdout", holdout, 0, None),
        ):
            if value is not None and (value < low or (high is not None and value > high)):
                bound = f"{low} or more" if high is None else f"{low} .. {high}"
                raise InputError(f"{name} is {value}, expected {bound}")
        self.ignore_label = ignore_label
        everything = self._find_all(labels)
        self.pairs = _choose(self.root, everything, split, holdout)
        named = self._names(labels, label_set)
        source, merged = self._read_labels(named, merge, num_labels, everything)
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

    def _find_all(self, labels: str) -> dict[str | None, list[Pair]]:
        if not any((self.root / split).is_dir() for split in SPLITS):
            return {None: find_pairs(self.root, labels)}
        return {
            split: find_pairs(self.root / split, labels)
            for split in SPLITS
            if (self.root / split).is_dir()
        }

    def _names(self, labels: str, label_set: str | None) -> LabelSet | None:
        """What the labels on disk are called, if anything says so."""
        if label_set is not None:
            return find_label_set(label_set)
        file = self.root / f"{labels}.txt"
        if not file.is_file() and not (self.root / "labels").is_dir():
            file = self.root / "labels.txt"
        return read_label_names(file, self.ignore_label) if file.is_file() else None

    def _read_labels(
        self,
        named: LabelSet | None,
        merge: str | None,
        num_labels: int | None,
        everything: dict[str | None, list[Pair]],
    ) -> tuple[LabelSet, Merge | None]:
        if named is not None:
            if num_labels not in (None, len(named)):
                raise InputError(
                    f"num_labels is {num_labels} but {named.name!r} names {len(named)}"
                )
            num_labels = len(named)
        if num_labels is None and merge not in (None, "body"):
            num_labels = read_merge(str(merge)).num_source
        if num_labels is None:
            maps = [pair.labels for pairs in everything.values() for pair in pairs]
            num_labels = self._scan(maps)
        source = named or LabelSet.numbered(self.root.name, num_labels)
        return source, None if merge is None else read_merge(merge, num_labels)

    def _scan(self, maps: list[Path]) -> int:
        highest, path = _highest_label(
            tuple((path, path.stat().st_mtime_ns) for path in maps), self.ignore_label
        )
        if highest in (255, 65535) or highest >= _MOST_SCANNED:
            raise InputError(
                f"{path}: holds the value {highest}; expected labels 0, 1, 2, ... - say how many "
                "there are in labels.txt (lines 'id name'), or, if pixels of this value have no "
                "label, give it as the ignore label"
            )
        return highest + 1


def _choose(
    root: Path, everything: dict[str | None, list[Pair]], split: str | None, holdout: int | None
) -> list[Pair]:
    if None not in everything:
        if holdout is not None:
            raise InputError(f"holdout is {holdout}, but {root} has its own train and val folders")
        if split is not None:
            if split not in everything:
                raise InputError(f"{root / split}: no such folder, though {root} has a split")
            return everything[split]
        return [pair for pairs in everything.values() for pair in pairs]
    pairs = everything[None]
    if split is None:
        return pairs
    held = hold_out((pair.stem for pair in pairs), holdout)
    chosen = [pair for pair in pairs if (pair.stem in held) == (split == "val")]
    if not chosen:
        raise InputError(
            f"{root}: nothing is left for {split!r}: of {len(pairs)} pictures {len(held)} are "
            "held out"
        )
    return chosen


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
