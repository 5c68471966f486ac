# SPDX-License-Identifier: Apache-2.0
"""Label images in colours, made index maps with a palette that is given or found."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scam.data.advice import prepare_command
from scam.data.arrays import LabelMap
from scam.data.grow import grow
from scam.data.labels import NUM_VALUES, LabelSet, find_label_set
from scam.data.parallel import spread
from scam.data.picture import blocks, read_image
from scam.data.picture_folder import PICTURE_SUFFIXES, BadFile
from scam.data.prepare.plan import Item, Plan, folder_items
from scam.data.text import expect_name, read_lines
from scam.errors import InputError, counted

_LINE = re.compile(r"([0-9]+|-)[\s,;:=]+#([0-9a-fA-F]{6})(?:[\s,;:=]+(\S.*))?")
_SHAPE = "'id #rrggbb name', or '- #rrggbb' for pixels without label"
PALETTE = "palette.txt"
"""The file in a prepared folder that says which colour became which label."""

_MOST_FOUND = 256
_SHOWN = 4
_MOST_BLENDS = 0.05
_NONE = -1


@dataclass(frozen=True)
class Palette:
    """Which label each colour is: ``ids[i]`` (-1: none) for ``colours[i]`` = 0xRRGGBB."""

    label_set: LabelSet
    colours: tuple[int, ...]
    ids: tuple[int, ...]

    def as_text(self) -> str:
        """The lines that :func:`read_palette` reads."""
        lines = []
        for colour, index in zip(self.colours, self.ids, strict=True):
            known = f"{index} #{colour:06x} {self.label_set.names[index]}"
            lines.append(f"- #{colour:06x}" if index == _NONE else known)
        return "\n".join(lines) + "\n"


def read_palette(path: Path) -> Palette:
    """Read lines ``id #rrggbb name``; ids 0 .. n - 1, each with one colour or more.

    The name stands with the first colour of a label; ``- #rrggbb`` are pixels without label.
    A tab, a comma, a colon may stand between; lines that begin with ``#`` are skipped.
    InputError, naming the line, for anything else.
    """
    ids: dict[int, int] = {}
    names: dict[int, str] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip() or line.strip().startswith("#"):
            continue
        where = f"{path}, line {number}"
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise InputError(f"{where}: found {line.strip()!r:.80}, expected {_SHAPE}")
        if len(match[1]) > 6:
            raise InputError(f"{where}: label {match[1]:.40}, expected 0 .. {NUM_VALUES - 1}")
        if match[3]:
            expect_name(where, match[3])
        colour, index = int(match[2], 16), _NONE if match[1] == "-" else int(match[1])
        if colour in ids:
            raise InputError(f"{where}: #{colour:06x} is given twice")
        ids[colour] = index
        if index == _NONE:
            continue
        name = match[3] or names.get(index, "")
        if names.get(index) not in (None, "", name):
            raise InputError(f"{where}: label {index} is {names[index]!r} and {name!r}")
        names[index] = name
    if not names:
        found = "labels" if ids else "colours"
        raise InputError(f"{path}: no {found} in the file, expected lines {_SHAPE}")
    if max(names) >= len(names):
        raise InputError(f"{path}: label {max(names)}: expected labels 0 to n without gaps")
    missing = next((index for index in range(len(names)) if not names[index]), None)
    if missing is not None:
        raise InputError(f"{path}: label {missing} has no name, expected lines {_SHAPE}")
    ordered = [names[index] for index in range(len(names))]
    if len(set(ordered)) < len(ordered):
        raise InputError(f"{path}: two labels have the same name, expected different names")
    return Palette(LabelSet.of(path.stem, ordered), tuple(ids), tuple(ids.values()))


def voc_palette(names: LabelSet) -> Palette:
    """The colours of PASCAL VOC, which many tools give to labels 0, 1, 2, ...; 0xe0e0c0 is none.

    Bits 0, 3, 6, ... of the label are the red channel's highest bits and so on downwards, bits 1,
    4, 7 the green channel's, bits 2, 5, 8 the blue channel's. InputError for over 255 labels.
    """
    if len(names) > 255:
        raise InputError(f"palette 'voc' has colours for 255 labels, found {len(names)}")
    colours = []
    for index in (*range(len(names)), 255):
        channels = [
            sum((index >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(8))
            for channel in range(3)
        ]
        colours.append(channels[0] << 16 | channels[1] << 8 | channels[2])
    return Palette(names, tuple(colours), (*range(len(names)), _NONE))


@dataclass(frozen=True)
class ColourMaps:
    """Reads the colour image of an item; a colour may differ by ``tolerance`` per channel.

    With a tolerance, up to a twentieth of the pixels may be further away: where one area is
    smoothed into the next. They take the label of a neighbour, or edges would
    become a third label.
    """

    palette: Palette
    tolerance: int = 0

    def __call__(self, item: Item) -> LabelMap:
        """The labels, int32 (H, W). InputError for a colour outside the palette."""
        path = item.maps[0]
        picture, _ = read_image(path, tiff=True)
        width, height = picture.size
        known, ids = np.array(self.palette.colours), np.array(self.palette.ids, np.int32)
        labels = np.empty((height, width), np.int32)
        outside = np.zeros((height, width), np.bool_)
        most = (_MOST_BLENDS if self.tolerance else 0) * width * height
        strange, count = np.zeros(0, np.uint32), 0
        for box in blocks(width, height):
            packed = _packed(picture.crop(box))
            colours, where = np.unique(packed, return_inverse=True)
            where = where.reshape(packed.shape)
            place, distance = _nearest(colours, known)
            far = distance > self.tolerance
            labels[box[1] : box[3]] = ids[place][where]
            outside[box[1] : box[3]] = far[where]
            strange = np.union1d(strange, colours[far])
            count += int(np.count_nonzero(outside[box[1] : box[3]]))
            if count > most and box[3] < height:
                self._refuse(path, strange, f"at least {100 * count / labels.size:.3g}")
        if count > most:
            self._refuse(path, strange, f"{100 * count / labels.size:.3g}")
        grow(labels, outside)
        return labels

    def _refuse(self, path: Path, strange: NDArray[np.uint32], percent: str) -> NoReturn:
        others = len(strange) - 1
        also = f" and {counted(others, 'other colour')}" if others else ""
        raise InputError(
            f"{path}: holds #{strange[0]:06x}{also} outside the palette "
            f"({percent} % of the pixels), expected the palette's "
            f"{counted(len(self.palette.colours), 'colour')} to within {self.tolerance} per "
            "channel (a larger tolerance allows more)"
        )


def plan(
    src: Path,
    labels: str = "labels",
    *,
    palette: str | None = None,
    label_set: str | None = None,
    tolerance: int = 0,
    workers: int = 1,
) -> Plan:
    """``images`` with colour images ``<labels>``, or ``{train,val,test}`` with both.

    palette: a file (:func:`read_palette`), ``voc`` with the name of a ``label_set``, or
    None to find the colours: they are numbered as :func:`find_palette` says. tolerance:
    largest difference of a channel, 0 .. 255, at which two colours count as one.
    InputError for other arguments, for images that hold too many colours, or greys alone.
    """
    if not 0 <= tolerance <= 255:
        raise InputError("{tolerance}: expected 0 to 255", tolerance=tolerance)
    if palette == "voc" and label_set is None:
        raise InputError("{palette}: expected a {:label_set} with it", palette=palette)
    if label_set is not None and palette != "voc":
        raise InputError(
            "{label_set}: expected {palette} with it", label_set=label_set, palette="voc"
        )
    items, problems = folder_items(src, labels, PICTURE_SUFFIXES)
    if label_set is not None:
        colours = voc_palette(find_label_set(label_set))
    elif palette is not None:
        colours = read_palette(Path(palette))
    else:
        colours, unreadable = find_palette(items, tolerance, workers=workers)
        problems += unreadable
        bad = {problem.file for problem in unreadable}
        if all(_is_grey(colour) for colour in colours.colours) and len(bad) < len(items):
            raise InputError(
                f"{src}: its label images hold no colours but greys ({_hex(colours.colours)}), "
                f"which are ids: {prepare_command('indices', src, labels)} keeps them "
                "(a file {:palette} says which grey is which label, if they are none)"
            )
        items = [item for item in items if item.maps[0] not in bad]
    return Plan(
        "palette",
        colours.label_set,
        items,
        ColourMaps(colours, tolerance),
        problems=problems,
        texts={PALETTE: colours.as_text()},
    )


def find_palette(
    items: list[Item], tolerance: int = 0, *, workers: int = 1
) -> tuple[Palette, list[BadFile]]:
    """The colours of all label images, numbered as #rrggbb sorts, and the images without.

    Black is label 0 where it is there, and no area decides what a label is called. A colour within
    ``tolerance`` of one with more pixels counts as that one. InputError if more than 256 remain,
    naming an image that has many.
    """
    count = np.zeros(1 << 24, np.int64)
    problems, worst, most = [], None, 0
    for item, found in zip(
        items, spread(_count, items, workers=workers, what="find colours"), strict=True
    ):
        if isinstance(found, BadFile):
            problems.append(found)
            continue
        here, pixels = found
        count[here] += pixels
        if len(here) > most:
            worst, most = item.maps[0], len(here)
    colours = np.flatnonzero(count)
    left = colours[np.lexsort((colours, -count[colours]))].astype(np.uint32)
    chosen: list[int] = []
    while left.size and len(chosen) <= _MOST_FOUND:
        chosen.append(int(left[0]))
        left = left[_distance(left, chosen[-1]) > tolerance]
    if len(chosen) > _MOST_FOUND:
        raise InputError(
            f"{worst}: holds {most} colours, expected {_MOST_FOUND} at most in all label "
            "images; after jpeg or smoothing, count similar ones as one ({tolerance}), or "
            "write down the true ones (a file {:palette})",
            tolerance=60,
        )
    chosen.sort()
    labels = LabelSet.numbered("palette", max(1, len(chosen)))
    return Palette(labels, tuple(chosen), tuple(range(len(chosen)))), problems


def _is_grey(colour: int) -> bool:
    return colour >> 16 == colour >> 8 & 255 == colour & 255


def _hex(colours: Sequence[int]) -> str:
    more = ", ..." if len(colours) > _SHOWN else ""
    return ", ".join(f"#{colour:06x}" for colour in colours[:_SHOWN]) + more


def _count(item: Item) -> tuple[NDArray[np.uint32], NDArray[np.int64]] | BadFile:
    """The colours of a label image, ascending, and how many pixels each has."""
    try:
        picture, _ = read_image(item.maps[0], tiff=True)
    except InputError as error:
        return BadFile.of(error, item.maps[0])
    parts = [picture.crop(box) for box in blocks(*picture.size)]
    if len(parts) == 1:
        return np.unique(_packed(parts[0]), return_counts=True)
    count = np.zeros(1 << 24, np.int64)
    for part in parts:
        colours, pixels = np.unique(_packed(part), return_counts=True)
        count[colours] += pixels
    found = np.flatnonzero(count)
    return found.astype(np.uint32), count[found]


def _packed(picture: Image.Image) -> NDArray[np.uint32]:
    """Colours (H, W) of an RGB image as 0xRRGGBB."""
    # PIL keeps four bytes for a pixel itself; blue, green, red, 0 is 0x00RRGGBB, little-endian.
    data = np.frombuffer(picture.tobytes("raw", "BGRX"), "<u4")
    packed: NDArray[np.uint32] = data.reshape(picture.height, picture.width) & np.uint32(0xFFFFFF)
    return packed


def _distance(colours: NDArray[np.integer], colour: int) -> NDArray[np.int16]:
    """Largest difference of a channel."""
    gaps = [
        np.abs((colours >> shift & 255).astype(np.int16) - (colour >> shift & 255))
        for shift in (16, 8, 0)
    ]
    return np.maximum(np.maximum(gaps[0], gaps[1]), gaps[2])


def _nearest(
    colours: NDArray[np.uint32], known: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    """Index of the nearest known colour, the first of equals, and its distance."""
    place = np.zeros(colours.shape, np.int64)
    distance = np.full(colours.shape, 256, np.int16)
    for index, colour in enumerate(known):
        gap = _distance(colours, int(colour))
        closer = gap < distance
        place[closer], distance[closer] = index, gap[closer]
    return place, distance
