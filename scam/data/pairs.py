# SPDX-License-Identifier: Apache-2.0
"""Photographs and label maps that belong together, found by name and read side by side."""

import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as PIL_Image

from scam.data.picture import read_image
from scam.data.source import LabelMap
from scam.data.values import LabelValues
from scam.errors import InputError, one_line

SPLITS = ("train", "val", "test")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
LABEL_SUFFIXES = (".png",)


@dataclass(frozen=True)
class Pair:
    """One photograph and its label map, equal in stem (file name without its extension)."""

    stem: str
    image: Path
    labels: Path


@dataclass(frozen=True)
class BadFile:
    """A file that cannot be used, and why: the value found and what was expected."""

    file: Path
    text: str

    def __str__(self) -> str:
        return f"{self.file}: {self.text}"

    @classmethod
    def of(cls, error: InputError, file: Path) -> "BadFile":
        """What ``error`` says about ``file``, whose name need not be said twice."""
        return cls(file, str(error).removeprefix(one_line(f"{file}: ")))


@dataclass(frozen=True)
class Listing:
    """The files of an image and a label folder: pairs, files alone, and stems met twice."""

    pairs: list[Pair]
    alone: list[BadFile]
    twice: list[BadFile]


def list_pairs(
    images: Path, labels: Path, label_suffixes: Sequence[str] = LABEL_SUFFIXES
) -> Listing:
    """Pair the files of two folders by stem, sorted by stem.

    InputError if a folder is missing or holds no such files.
    """
    photos, photos_twice = _by_stem(images, IMAGE_SUFFIXES)
    maps, maps_twice = _by_stem(labels, label_suffixes)
    pairs = [Pair(stem, photos[stem], maps[stem]) for stem in sorted(photos.keys() & maps.keys())]
    alone = [
        BadFile(found[stem], f"has no partner {other / stem}{suffix}")
        for found, partners, other, suffix in (
            (photos, maps, labels, label_suffixes[0]),
            (maps, photos, images, ".*"),
        )
        for stem in sorted(found.keys() - partners.keys())
    ]
    return Listing(pairs, alone, photos_twice + maps_twice)


def _by_stem(folder: Path, suffixes: Sequence[str]) -> tuple[dict[str, Path], list[BadFile]]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, expected one with {'/'.join(suffixes)} files")
    found: dict[str, Path] = {}
    twice = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in suffixes:
            continue
        first = found.setdefault(path.stem, path)
        if first is not path:
            text = f"has the same stem as {first.name}, expected one file for each"
            twice.append(BadFile(path, text))
    if not found:
        raise InputError(f"{folder}: holds no {'/'.join(suffixes)} files")
    return found, twice


def find_pairs(folder: Path, labels: str = "labels") -> list[Pair]:
    """Pair ``folder/images`` with ``folder/<labels>`` by stem, sorted by stem.

    InputError if a folder is missing, a stem occurs twice, or no stem is in both. Files without
    a partner are left out with one warning.
    """
    listing = list_pairs(folder / "images", folder / labels)
    for problem in listing.twice:
        raise InputError(str(problem))
    alone = [problem.file for problem in listing.alone]
    if not listing.pairs:
        first = {path.parent.name: path for path in reversed(alone)}
        raise InputError(
            f"{folder}: no image and label map have equal stems, for example "
            f"'images/{first['images'].name}' and '{labels}/{first[labels].name}'"
        )
    if alone:
        warnings.warn(
            f"{folder}: {len(alone)} files have no partner of equal stem and are left out, "
            f"for example {alone[0].parent.name}/{alone[0].name}",
            stacklevel=2,
        )
    return listing.pairs


def read_pair(image: Path, labels: Path, values: LabelValues) -> tuple[PIL_Image.Image, LabelMap]:
    """Read a photograph, upright RGB, and its label map, int32 (H, W), at their own size.

    InputError if a file is unreadable, the sizes differ, or the map holds a value outside the
    labels.
    """
    picture, orientation = read_image(image)
    read = values.read(labels)
    expect_equal_sizes(image, picture, orientation, labels, read)
    return picture, read


def expect_equal_sizes(
    image: Path, picture: PIL_Image.Image, orientation: int, labels: Path, read: LabelMap
) -> None:
    """InputError naming both files unless the map (H, W) is as large as the upright picture."""
    height, width = read.shape
    if picture.size != (width, height):
        turned = f" after its EXIF orientation {orientation}" if orientation > 1 else ""
        raise InputError(
            f"{labels}: is {width}x{height} but {image} is "
            f"{picture.width}x{picture.height}{turned}, expected equal sizes"
        )


def hold_out(stems: Iterable[str], count: int | None) -> set[str]:
    """Choose ``count`` stems (default a tenth, 1 .. 60) by a hash of the stem alone.

    Adding files changes the choice only where a new stem takes an old one's place.
    """
    ranked = sorted(stems, key=lambda stem: hashlib.sha256(stem.encode()).digest())
    if count is None:
        count = max(1, min(60, len(ranked) // 10))
    return set(ranked[:count])


def split_folders(root: Path) -> list[str | None]:
    """Names of the split folders in ``root``; [None] if its pairs lie in ``root`` itself.

    InputError if both are there: pictures beside the split folders would be read by nobody.
    """
    splits = [split for split in SPLITS if (root / split).is_dir()]
    if splits and (root / "images").is_dir():
        raise InputError(
            f"{root / 'images'}: lies beside {', '.join(f'{split}/' for split in splits)}, "
            f"expected it in {splits[0]}/ or no such folders"
        )
    return [*splits] or [None]


def assign_splits(
    folders: Mapping[str | None, list[Pair]], holdout: int | None = None
) -> dict[str, list[Pair]]:
    """What train, val and test hold, given the pairs of the folders of :func:`split_folders`.

    Without a folder of its own, val is held out of train (``holdout``: see :func:`hold_out`),
    never taken from test.
    """
    splits = {name: pairs for name, pairs in folders.items() if name is not None}
    whole = folders.get(None, splits.get("train"))
    if "val" not in splits and whole is not None:
        held = hold_out((pair.stem for pair in whole), holdout)
        splits["train"] = [pair for pair in whole if pair.stem not in held]
        splits["val"] = [pair for pair in whole if pair.stem in held]
    return splits
