# SPDX-License-Identifier: Apache-2.0
"""Photographs and label maps that belong together, found by name and read side by side."""

import hashlib
import os
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from PIL import Image as PIL_Image

from scam.data.advice import label_command
from scam.data.arrays import LabelMap
from scam.data.picture import PictureFile, expect_picture_file, read_image, read_label_png
from scam.data.values import LabelValues
from scam.errors import InputError, counted, did_you_mean, few, one_line, sized

SPLITS = ("train", "val", "test")
_MISNAMED = {
    name: split
    for split, others in {
        "train": ("Train", "TRAIN", "training", "Training"),
        "val": ("Val", "VAL", "valid", "Valid", "validation", "Validation", "dev"),
        "test": ("Test", "TEST", "testing", "Testing"),
    }.items()
    for name in others
}
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
LABEL_SUFFIXES = (".png",)
PICTURE_SUFFIXES = (*IMAGE_SUFFIXES, ".tif", ".tiff", ".bmp", ".gif")
MAKES = "; a parser makes label maps: "
"""What comes before :func:`~scam.data.advice.label_command` at the end of an error."""
_SHOWN = 8


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
        return one_line(f"{self.file}: {self.text}")

    @classmethod
    def of(cls, error: InputError, file: Path) -> "BadFile":
        """What ``error`` says about ``file``, whose name need not be said twice."""
        return cls(file, str(error).removeprefix(one_line(f"{file}: ")))


@dataclass(frozen=True)
class Listing:
    """The files of an image and a label folder: pairs, and what cannot be paired.

    alone: files without a partner, which training leaves out; unusable: entries that are no
    files, stems met twice, and photographs that are their own label map.
    """

    pairs: list[Pair]
    alone: list[BadFile]
    unusable: list[BadFile]

    @property
    def bad(self) -> list[BadFile]:
        """Every problem."""
        return self.unusable + self.alone


def list_pairs(
    images: Path, labels: Path, label_suffixes: Sequence[str] = LABEL_SUFFIXES
) -> Listing:
    """Pair the files of two folders by stem, sorted by stem.

    InputError if a folder is missing, cannot be read or holds no such files, or both are one.
    """
    photos = _Folder.read(images, IMAGE_SUFFIXES)
    maps = _Folder.read(labels, label_suffixes)
    if images.samefile(labels):
        raise InputError(f"{labels}: is the folder of photographs, expected one of label maps")
    both = sorted(photos.files.keys() & maps.files.keys())
    same = {stem for stem in both if photos.identity[stem] == maps.identity[stem] is not None}
    unusable = photos.unusable + maps.unusable
    unusable += [
        BadFile(maps.files[stem], f"is the same file as {photos.files[stem]}, expected its labels")
        for stem in sorted(same)
    ]
    left_out = same | photos.broken | maps.broken
    pairs = [Pair(s, photos.files[s], maps.files[s]) for s in both if s not in left_out]
    alone = [
        BadFile(mine.files[stem], other.missing(stem))
        for mine, other in ((photos, maps), (maps, photos))
        for stem in sorted(mine.files.keys() - other.files.keys() - mine.broken)
    ]
    return Listing(pairs, alone, unusable)


@dataclass
class _Folder:
    """What a folder of images holds.

    files: the first of each stem; broken: stems of those that are not files; identity: what two
    names of one file have in common; others: names that are not read, by :func:`_alike`;
    folders: names of folders, which are not read either.
    """

    path: Path
    suffixes: Sequence[str]
    files: dict[str, Path] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    identity: dict[str, tuple[int, int] | None] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    unusable: list[BadFile] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path, suffixes: Sequence[str]) -> "_Folder":
        """List the folder, without a call per file where the system names their kinds."""
        expected = f"expected one with {'/'.join(suffixes)} files"
        folder = cls(path, suffixes)
        try:
            device = os.stat(path).st_dev
            with os.scandir(path) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    folder._add(entry, device)
        except FileNotFoundError:
            raise InputError(f"{path}: no such folder, {expected}{_in_place_of(path)}") from None
        except NotADirectoryError:
            raise InputError(f"{path}: is a file, expected a folder") from None
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None
        if not folder.files:
            raise InputError(
                f"{path}: holds no {'/'.join(suffixes)} files{folder._instead():.200}"
                f"{folder._conversion()}"
            )
        return folder

    def _instead(self) -> str:
        """What there is where no file is read."""
        suffixes = sorted({Path(name).suffix for name in self.others.values()})
        there = [f"{'/'.join(suffixes)} files"] if suffixes else []
        if self.folders:
            there.append(f"{counted(len(self.folders), 'folder')} ({few(self.folders)})")
        return f", but {' and '.join(there)}" if there else ""

    def _conversion(self) -> str:
        """What to do without index maps: as the first label image says, or make them."""
        pictures = (n for n in self.others.values() if Path(n).suffix.lower() in PICTURE_SUFFIXES)
        first = next(pictures, None)
        if tuple(self.suffixes) != LABEL_SUFFIXES:
            return ""
        if first is None:
            folder = self.path.parent
            photographs = os.path.isdir(folder / "images")
            return MAKES + label_command(folder, self.path.name) if photographs else ""
        try:
            read_label_png(self.path / first)
        except InputError as error:
            return f"; {str(error).removeprefix(one_line(f'{self.path}{os.sep}'))}"
        return ""

    def missing(self, stem: str, what: str = "partner") -> str:
        """That no file has this stem, and what looks as if it were the one."""
        suffix = self.suffixes[0] if len(self.suffixes) == 1 else ".*"
        text = f"has no {what} {self.path / stem}{suffix}"
        alike = _alike(stem)
        if alike in self.others:
            text += f", but {self.others[alike]} is there; readable: {', '.join(self.suffixes)}"
        elif alike in self._near:
            text += (
                f", but {self._near[alike]} is there; expected equal names, "
                "also in case, spaces and Unicode form"
            )
        return text

    @cached_property
    def _near(self) -> dict[str, str]:
        return {_alike(stem): file.name for stem, file in self.files.items()}

    def _add(self, entry: "os.DirEntry[str]", device: int) -> None:
        path = self.path / entry.name
        if entry.name.startswith("."):
            return
        if path.suffix.lower() not in self.suffixes:
            if os.path.isdir(path):
                self.folders.append(entry.name)
            elif path.suffix:
                self.others.setdefault(_alike(path.stem), entry.name)
            return
        first = self.files.setdefault(path.stem, path)
        if first is not path:
            text = f"has the same stem as {first.name}, expected one file for each"
            self.unusable.append(BadFile(path, text))
            return
        identity: tuple[int, int] | None = (device, entry.inode())
        if not entry.is_file(follow_symlinks=False):
            try:
                expect_picture_file(path)
                status = os.stat(path)
                identity = (status.st_dev, status.st_ino)
            except InputError as error:
                self.unusable.append(BadFile.of(error, path))
                self.broken.add(path.stem)
                identity = None
        self.identity[path.stem] = identity


def _in_place_of(missing: Path) -> str:
    """What there is where a folder is ``missing``, and what to do about it."""
    folder, folders, files = missing.parent, [], Counter[str]()
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError:
        return ""
    for name in names:
        if os.path.isdir(folder / name):
            folders.append(name)
        else:
            files[Path(name).suffix] += 1
    found = [f"{name}/" for name in folders]
    found += [counted(count, f"{suffix} file".lstrip()) for suffix, count in files.items()]
    text = f"; {folder} holds {', '.join(found[:_SHOWN]) or 'nothing'}"
    text += ", ..." if len(found) > _SHOWN else ""
    if missing.name == folder.name == "images":
        return f"{text}; did you mean {folder.parent}?"
    if near := did_you_mean(missing.name, folders):
        return text + near
    if missing.name == "images":
        loose = any(suffix.lower() in IMAGE_SUFFIXES for suffix in files)
        return f"{text}; put the photographs into {missing}" if loose else text
    return text + (MAKES + label_command(folder, missing.name) if "images" in folders else "")


def _alike(stem: str) -> str:
    """What stems have in common that look the same, or nearly so."""
    return unicodedata.normalize("NFKC", stem).casefold().strip()


def find_images(folder: Path) -> list[Path]:
    """The photographs in ``folder``, sorted by stem.

    InputError if it is missing or holds none, an entry is not a file, or a stem occurs twice.
    """
    photos = _Folder.read(folder, IMAGE_SUFFIXES)
    for problem in photos.unusable:
        raise InputError(str(problem))
    return [photos.files[stem] for stem in sorted(photos.files)]


def find_label_map(image: Path, labels: Path) -> Path:
    """The label map of one photograph in the folder ``labels``, as :func:`find_pairs` finds it.

    InputError if there is none, or none that can be used.
    """
    if not os.path.isdir(labels):
        raise InputError(f"{image}: has no label map {labels / image.stem}{LABEL_SUFFIXES[0]}")
    maps = _Folder.read(labels, LABEL_SUFFIXES)
    for problem in maps.unusable:
        if problem.file.stem == image.stem:
            raise InputError(str(problem))
    if image.stem not in maps.files:
        raise InputError(f"{image}: {maps.missing(image.stem, 'label map')}")
    return maps.files[image.stem]


def find_pairs(folder: Path, labels: str = "labels") -> list[Pair]:
    """Pair ``folder/images`` with ``folder/<labels>`` by stem, sorted by stem.

    InputError if a folder is missing, an entry is not a file, a stem occurs twice, or no stem is
    in both. Files without a partner are left out with one warning.
    """
    images, maps = folder / "images", folder / labels
    listing = list_pairs(images, maps)
    for problem in listing.unusable:
        raise InputError(str(problem))
    if not listing.pairs:
        first = {problem.file.parent: problem for problem in reversed(listing.alone)}
        raise InputError(
            f"{folder}: no image and label map have equal stems, for example "
            f"'images/{first[images].file.name}' and '{labels}/{first[maps].file.name}' "
            f"({first[images]})"
        )
    if listing.alone:
        warnings.warn(
            f"{folder}: left out {counted(len(listing.alone), 'file')} without a partner of equal "
            f"stem, the first: {listing.alone[0]}",
            stacklevel=1,  # said once, however many read the folder
        )
    return listing.pairs


def read_pair(
    image: PictureFile, labels: PictureFile, values: LabelValues
) -> tuple[PIL_Image.Image, LabelMap]:
    """Read a photograph, upright RGB, and its label map, int32 (H, W), at their own size.

    InputError if a file is unreadable, the sizes differ, or the map holds a value outside the
    labels.
    """
    picture, orientation = read_image(image)
    read = values.read(labels)
    expect_equal_sizes(image, picture, orientation, labels, read)
    return picture, read


def expect_equal_sizes(
    image: object,
    picture: PIL_Image.Image,
    orientation: int,
    labels: object,
    read: LabelMap,
) -> None:
    """InputError naming both unless the map (H, W) is as large as the upright image."""
    height, width = read.shape
    if picture.size != (width, height):
        turned = f" after its EXIF orientation {orientation}" if orientation > 1 else ""
        raise InputError(
            f"{labels}: is {sized(read.shape, order=False)} but {image} is "
            f"{sized((picture.height, picture.width))}{turned}, expected equal sizes"
        )


def hold_out(stems: Iterable[str], count: int | None) -> set[str]:
    """Choose ``count`` stems by a hash of the stem alone.

    By default a tenth, 60 at most; of ten or more two at least, since an edit is measured on two
    images; of fewer one.

    Adding files changes the choice only where a new stem takes an old one's place.
    """
    ranked = sorted(stems, key=lambda stem: _hash(stem))
    if count is None:
        count = max(1 if len(ranked) < 10 else 2, min(60, len(ranked) // 10))
    return set(ranked[:count])


def _hash(stem: str) -> bytes:
    # Names that are no UTF-8 hold halves of surrogate pairs.
    return hashlib.sha256(stem.encode("utf-8", "surrogatepass")).digest()


def split_folders(root: Path) -> list[str | None]:
    """Names of the split folders in ``root``; [None] if its pairs are in ``root`` itself.

    InputError if both are there: images beside the split folders would not be read.
    """
    splits = [split for split in SPLITS if os.path.isdir(root / split)]
    for name, split in _MISNAMED.items():
        if split not in splits and os.path.isdir(root / name / "images"):
            raise InputError(f"{root / name}: is not read, expected it to be called {split}")
    if splits and os.path.isdir(root / "images"):
        raise InputError(
            f"{root / 'images'}: is beside {', '.join(f'{split}/' for split in splits)}, "
            f"expected it in {splits[0]}/ or no such folders"
        )
    return [*splits] or [None]


def assign_splits(
    folders: Mapping[str | None, list[Pair]], holdout: int | Set[str] | None = None
) -> dict[str, list[Pair]]:
    """What train, val and test hold, given the pairs of the folders of :func:`split_folders`.

    Without a folder of its own, val is held out of train (``holdout``: stems, or as
    :func:`hold_out` has it), never taken from test.
    """
    splits = {name: pairs for name, pairs in folders.items() if name is not None}
    whole = folders.get(None, splits.get("train"))
    if "val" not in splits and whole is not None:
        held = holdout
        if not isinstance(held, Set):
            held = hold_out((pair.stem for pair in whole), held)
        splits["train"] = [pair for pair in whole if pair.stem not in held]
        splits["val"] = [pair for pair in whole if pair.stem in held]
    return splits
