# SPDX-License-Identifier: Apache-2.0
"""CelebAMask-HQ as it is distributed: one mask per part of a face, drawn over one another."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scam.data.arrays import LabelMap
from scam.data.labels import LABEL_SETS
from scam.data.picture import read_mask
from scam.data.picture_folder import BadFile
from scam.data.prepare.plan import Item, Plan, expect_items, find_root, names_in
from scam.data.text import read_lines
from scam.errors import InputError, sized

_IMAGES = "CelebA-HQ-img"
_MASKS = "CelebAMask-HQ-mask-anno"
_MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"
_PARTITION = "list_eval_partition.txt"
_LABELS = LABEL_SETS["celebamask19"]
_IDS = {part: index for index, part in enumerate(_LABELS.names) if index > 0}
_MASK_NAME = re.compile(r"(\d+)_([a-z_]+)\.png")
# CelebA's own partition by the number of its image, 1 .. 202599 (list_eval_partition.txt).
_LAST_TRAIN, _LAST_VAL, _LAST = 162770, 182637, 202599
_SPLITS = ("train", "val", "test")


def plan(src: Path) -> Plan:
    """``CelebA-HQ-img/0.jpg`` with ``CelebAMask-HQ-mask-anno/0/00000_skin.png``, ...

    Images go to train, val and test as CelebA divides them if the file that maps CelebA-HQ to
    CelebA is there, else into one folder. InputError for another layout or a damaged mapping.
    """
    root = find_root(src, "CelebAMask-HQ", (_IMAGES, _MASKS))
    images = {
        int(path.stem): path
        for path in map((root / _IMAGES).joinpath, names_in(root / _IMAGES))
        if path.suffix == ".jpg" and path.stem.isdecimal()
    }
    masks, problems = _find_masks(root / _MASKS)
    splits = _read_splits(root) if (root / _MAPPING).is_file() else None
    items = []
    for number in sorted(images.keys() | masks.keys()):
        if number not in masks:
            problems.append(BadFile(images[number], f"has no masks in {root / _MASKS}"))
        elif number not in images:
            first = min(masks[number].values())
            problems.append(BadFile(first, f"has no image {root / _IMAGES / str(number)}.jpg"))
        elif splits is not None and number not in splits:
            problems.append(BadFile(images[number], f"is not in {root / _MAPPING}"))
        else:
            parts = tuple(path for _, path in sorted(masks[number].items()))
            split = None if splits is None else splits[number]
            items.append(Item(split, f"{number:05d}", images[number], parts))
    expect_items(items, problems, root)
    # Photographs are 1024 px, masks 512 px.
    return Plan("celebamask-hq", _LABELS, items, draw, enlarge=True, problems=problems)


def draw(item: Item) -> LabelMap:
    """Draw the part masks of an item in the order of their labels, as the data set's authors do.

    InputError naming the file if a mask is unreadable, partly transparent, or of another size
    than the first.
    """
    masks = {path: read_mask(path) for path in item.maps}  # grey, palette and RGB files alike
    labels: LabelMap = np.zeros(masks[item.maps[0]].shape, np.int32)
    for path, mask in masks.items():
        if mask.shape != labels.shape:
            raise InputError(
                f"{path}: is {sized(mask.shape, order=False)} but {item.maps[0].name} is "
                f"{sized(labels.shape)}, expected equal sizes"
            )
        labels[mask] = _part(path)
    return labels


def _part(path: Path) -> int:
    match = _MASK_NAME.fullmatch(path.name)
    return _IDS[match[2]] if match else 0


def _find_masks(folder: Path) -> tuple[dict[int, dict[int, Path]], list[BadFile]]:
    """Mask files by image number and label, from the numbered folders in ``folder``."""
    found: dict[int, dict[int, Path]] = {}
    problems = []
    for part_folder in map(folder.joinpath, names_in(folder)):
        # Names first: of 360000 files, paths are slow to sort.
        for name in names_in(part_folder) if os.path.isdir(part_folder) else ():
            if name.startswith(".") or not name.endswith(".png"):
                continue
            path = part_folder / name
            match = _MASK_NAME.fullmatch(name)
            if match is None or match[2] not in _IDS:
                problems.append(BadFile(path, f"is not a mask of {', '.join(_IDS)}"))
                continue
            parts = found.setdefault(int(match[1]), {})
            if parts.setdefault(_IDS[match[2]], path) is not path:
                problems.append(BadFile(path, f"is there twice: {parts[_IDS[match[2]]]}"))
    return found, problems


@dataclass(frozen=True)
class _Line:
    file: Path
    number: int
    words: list[str]

    def bad(self, expected: str) -> InputError:
        found = " ".join(self.words)
        return InputError(f"{self.file}, line {self.number}: found {found!r}, expected {expected}")


def _lines(path: Path) -> list[_Line]:
    lines = [_Line(path, i, line.split()) for i, line in enumerate(read_lines(path), start=1)]
    return [line for line in lines if line.words]


def _read_splits(root: Path) -> dict[int, str]:
    """Split of each CelebA-HQ image: that of the CelebA image it was made from."""
    partition = _read_partition(root / _PARTITION) if (root / _PARTITION).is_file() else None
    splits = {}
    for line in _lines(root / _MAPPING):
        if line.words[0] == "idx":
            continue
        if len(line.words) < 3 or not line.words[0].isdecimal():
            raise line.bad("'idx orig_idx orig_file ...' such as '0 119613 119614.jpg'")
        stem = Path(line.words[2]).stem
        original = int(stem) if stem.isdecimal() else 0
        if not 1 <= original <= _LAST:
            raise line.bad(f"orig_file between 000001.jpg and {_LAST}.jpg")
        if partition is None:
            split = _SPLITS[(original > _LAST_TRAIN) + (original > _LAST_VAL)]
        elif original in partition:
            split = partition[original]
        else:
            raise line.bad(f"an image that {root / _PARTITION} divides")
        splits[int(line.words[0])] = split
    return splits


def _read_partition(path: Path) -> dict[int, str]:
    found = {}
    for line in _lines(path):
        words = line.words
        if len(words) != 2 or words[1] not in ("0", "1", "2") or not words[0][:-4].isdecimal():
            raise line.bad("an image and 0, 1 or 2, such as '000001.jpg 0'")
        found[int(words[0][:-4])] = _SPLITS[int(words[1])]
    return found
