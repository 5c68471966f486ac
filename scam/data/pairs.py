# SPDX-License-Identifier: Apache-2.0
"""Photographs and label maps that belong together, found by name and read side by side."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as PIL_Image

from scam.data.arrays import LabelMap
from scam.data.picture import PictureFile, read_image
from scam.data.picture_folder import IMAGE_SUFFIXES, LABEL_SUFFIXES, BadFile, PictureFolder
from scam.data.values import LabelValues
from scam.errors import InputError, counted, sized


@dataclass(frozen=True)
class Pair:
    """One photograph and its label map, equal in stem (file name without its extension)."""

    stem: str
    image: Path
    labels: Path


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
    photos = PictureFolder.read(images, IMAGE_SUFFIXES)
    maps = PictureFolder.read(labels, label_suffixes)
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
