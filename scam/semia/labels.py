# SPDX-License-Identifier: Apache-2.0
"""Reading a source image with its label map, and the target label maps to generate it under."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from scam.data.evenness import looks_like_labels
from scam.data.grow import grow
from scam.data.picture import NoLabelMapError
from scam.data.picture_folder import IMAGE_SUFFIXES
from scam.errors import InputError, sized
from scam.semia.label_maps import read_label_map
from scam.semia.pictures import read_picture
from scam.semia.vocabulary import Kind, Vocabulary, written

Absent = Literal["error", "nearest"]
"""What becomes of a target's label that the source lacks."""
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class Source:
    """What is learned from. image: uint8 (3, H, W). labels: int64 (H, W), 0 .. K - 1.

    notes: what a reader of the files should know, a line each.
    """

    image: Tensor
    labels: Tensor
    vocabulary: Vocabulary
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Target:
    """A layout to generate. labels: int64 (H, W), the source's. notes: as :class:`Source`."""

    labels: Tensor
    notes: tuple[str, ...] = ()


def read_source(image: Path, labels: Path, *, as_colours: bool = False) -> Source:
    """Read an image and its label map, which have one size.

    A label map is an index map (grey or palette png), whose values are the labels, or an image in
    colours. There a label is a colour with areas of its own and a thousandth of the pixels;
    smoothed borders, traces of compression and transparent pixels take the label nearest to them.
    as_colours: whether a grey or palette png is an image in colours, too.
    InputError naming the file if one cannot be read or is animated, if the sizes differ, or if
    the label map holds one label only or does not look like a label map.
    """
    picture = read_picture(image)
    height, width = picture.rgb.shape[:2]
    try:
        found = read_label_map(labels, "colour" if as_colours else None)
    except NoLabelMapError as error:
        if looks_like_labels(picture.rgb, np.ones((height, width), np.bool_)):
            hint = f"{error.message} (but {image} looks like one: are the two swapped?)"
            raise InputError(hint, **error.mentions) from None
        raise
    if found.labels.shape != (height, width):
        raise InputError(
            f"{labels}: is {sized(found.labels.shape, order=False)}, expected "
            f"{sized((height, width))}, the size of {image}"
        )
    if len(found.values) < 2:
        only = written(found.kind, int(found.values[0]))
        raise InputError(f"{labels}: holds one label only ({only}), expected two or more")
    order = np.argsort(found.values)
    vocabulary = Vocabulary(found.kind, tuple(found.values[order].tolist()))
    return Source(
        torch.from_numpy(picture.on_white().transpose(2, 0, 1).copy()),
        torch.from_numpy(np.argsort(order)[found.labels]),
        vocabulary,
        picture.notes + found.notes,
    )


def read_targets(
    targets: Sequence[Path],
    vocabulary: Vocabulary,
    *,
    absent: Absent = "error",
    source_size: tuple[int, int] | None = None,
) -> dict[Path, Target]:
    """:func:`read_target` of every file, by its path; a folder stands for the images in it.

    InputError if there is none, of all or in a folder.
    """
    if not targets:
        raise InputError("{targets}: expected at least one label map", targets=[])
    files = [file for target in targets for file in _pictures(target)]
    return {
        file: read_target(file, vocabulary, absent=absent, source_size=source_size)
        for file in files
    }


def _pictures(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise InputError(f"{path}: holds no image, expected at least one label map")
    return found


def read_target(
    path: Path,
    vocabulary: Vocabulary,
    *,
    absent: Absent = "error",
    source_size: tuple[int, int] | None = None,
) -> Target:
    """Read a label map of any size in the labels of a source.

    absent: what becomes of labels that the source lacks: an InputError that names them, or their
    pixels take the nearest label of the source. source_size: (H, W) of the source; a target of
    another size is noted.
    InputError naming the file if it cannot be read, is animated, or is no such label map.
    """
    if absent not in get_args(Absent):
        raise InputError("{absent}: expected error or nearest", absent=absent)
    known = np.array(vocabulary.values, np.int32)
    found = read_label_map(path, vocabulary.kind, known)
    # Ascending, like the values of a vocabulary; -1 where there is none.
    place = np.searchsorted(known, found.values).clip(max=len(known) - 1)
    ids = np.where(known[place] == found.values, place, -1)
    labels, notes = ids[found.labels], list(found.notes)
    lacking = labels < 0
    if lacking.any():
        lacks = np.flatnonzero(ids < 0).tolist()
        listed = _listed(found.kind, found.values[lacks].tolist(), map(found.share, lacks))
        said = f"{path}: holds labels that the source lacks: {listed}"
        if lacking.all():
            raise InputError(f"{said}, and no other; expected some of {vocabulary}")
        if absent == "error":
            raise InputError(
                f"{said}; expected {vocabulary} ({{absent}} replaces others by those around them)",
                absent="nearest",
            )
        grow(labels, lacking)
        nearest, counts = np.unique(labels[lacking], return_counts=True)
        became = _listed(found.kind, known[nearest].tolist(), counts / counts.sum())
        notes.append(f"{said}; they take the label nearest to them: {became}")
    if source_size is not None and labels.shape != tuple(source_size):
        found_size = sized(labels.shape, order=False)
        notes.append(f"{path}: is {found_size}, the source {sized(source_size)}")
    return Target(torch.from_numpy(labels.astype(np.int64)), tuple(notes))


def _listed(kind: Kind, codes: Iterable[int], shares: Iterable[float]) -> str:
    """Labels by what files hold for them, with their shares, the largest first."""
    ordered = sorted(zip(codes, shares, strict=True), key=lambda label: -label[1])
    shown = [f"{written(kind, code)} ({100 * share:.3g} %)" for code, share in ordered[:_SHOWN]]
    more = f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
    return ", ".join(shown) + more
