# SPDX-License-Identifier: Apache-2.0
"""What a folder of images or label maps holds, and what is wrong with its files."""

import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from scam.data.advice import label_command
from scam.data.picture import expect_picture_file, read_label_png
from scam.errors import InputError, counted, did_you_mean, few, one_line

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
LABEL_SUFFIXES = (".png",)
PICTURE_SUFFIXES = (*IMAGE_SUFFIXES, ".tif", ".tiff", ".bmp", ".gif")
MAKES = "; a parser makes label maps: "
"""What comes before :func:`~scam.data.advice.label_command` at the end of an error."""
_SHOWN = 8


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


@dataclass
class PictureFolder:
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
    def read(cls, path: Path, suffixes: Sequence[str]) -> "PictureFolder":
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


def find_images(folder: Path) -> list[Path]:
    """The photographs in ``folder``, sorted by stem.

    InputError if it is missing or holds none, an entry is not a file, or a stem occurs twice.
    """
    photos = PictureFolder.read(folder, IMAGE_SUFFIXES)
    for problem in photos.unusable:
        raise InputError(str(problem))
    return [photos.files[stem] for stem in sorted(photos.files)]


def find_label_map(image: Path, labels: Path) -> Path:
    """The label map of one photograph in the folder ``labels``, as :func:`find_pairs` finds it.

    InputError if there is none, or none that can be used.
    """
    if not os.path.isdir(labels):
        raise InputError(f"{image}: has no label map {labels / image.stem}{LABEL_SUFFIXES[0]}")
    maps = PictureFolder.read(labels, LABEL_SUFFIXES)
    for problem in maps.unusable:
        if problem.file.stem == image.stem:
            raise InputError(str(problem))
    if image.stem not in maps.files:
        raise InputError(f"{image}: {maps.missing(image.stem, 'label map')}")
    return maps.files[image.stem]


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
