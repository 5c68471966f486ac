# SPDX-License-Identifier: Apache-2.0
"""What the numbers of a label map mean, which of them a flip exchanges, how to merge them."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scam.data.flips import left_right_pairs
from scam.data.text import expect_name, read_text
from scam.errors import NAMED, InputError, counted, did_you_mean, few, leading, quoted
from scam.storage.reading import parse_json

NUM_VALUES = 1 << 16  # label files hold at most 16 bits


@dataclass(frozen=True)
class LabelSet:
    """Names of the labels 0 .. len - 1, and the pairs a horizontal flip exchanges.

    A mirrored left arm is a right arm: ``swaps`` holds such pairs of ids. Raises ValueError for
    no names, a name given twice or a swap outside the labels.
    """

    name: str
    names: tuple[str, ...]
    swaps: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if not self.names:
            raise ValueError(f"label set {self.name!r} has no names")
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"label set {self.name!r} names two labels {_twice(self.names)!r}")
        swapped = [index for pair in self.swaps for index in pair]
        if len(set(swapped)) != len(swapped) or not set(swapped) <= set(range(len(self))):
            raise ValueError(f"label set {self.name!r} has bad swaps {self.swaps}")

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of(cls, name: str, names: Iterable[str]) -> "LabelSet":
        """Build a set whose swaps follow from the names: ``left_arm`` with ``right_arm``, ..."""
        names = tuple(names)
        return cls(name, names, left_right_pairs(names))

    @classmethod
    def numbered(cls, name: str, count: int) -> "LabelSet":
        """Build ``count`` labels without names: ``label_0``, ``label_1``, ..."""
        return cls(name, tuple(f"label_{index}" for index in range(count)))

    def flip_table(self) -> NDArray[np.int32]:
        """Return the int32 table (len,) that maps each label to its mirrored label."""
        table = np.arange(len(self), dtype=np.int32)
        for left, right in self.swaps:
            table[[left, right]] = right, left
        return table


def _twice(names: Sequence[str]) -> str:
    return next(name for name, count in Counter(names).items() if count > 1)


_ADE20K = """
other wall building sky floor tree ceiling road bed windowpane grass cabinet sidewalk person earth
door table mountain plant curtain chair car water painting sofa shelf house sea mirror rug field
armchair seat fence desk rock wardrobe lamp bathtub railing cushion base box column signboard
chest_of_drawers counter sand sink skyscraper fireplace refrigerator grandstand path stairs runway
case pool_table pillow screen_door stairway river bridge bookcase blind coffee_table toilet flower
book hill bench countertop stove palm kitchen_island computer swivel_chair boat bar arcade_machine
hovel bus towel light truck tower chandelier awning streetlight booth television airplane
dirt_track apparel pole land bannister escalator ottoman bottle buffet poster stage van ship
fountain conveyer_belt canopy washer plaything swimming_pool stool barrel basket waterfall tent bag
minibike cradle oven ball food step tank trade_name microwave pot animal bicycle lake dishwasher
screen blanket sculpture hood sconce vase traffic_light tray ashcan fan pier crt_screen plate
monitor bulletin_board shower radiator glass clock flag
"""

LABEL_SETS: dict[str, LabelSet] = {
    name: LabelSet.of(name, names.split())
    for name, names in {
        # The order of the LIP data set, which the self-correction human parser writes.
        "lip20": "background hat hair glove sunglasses upper_clothes dress coat socks pants "
        "jumpsuits scarf skirt face left_arm right_arm left_leg right_leg left_shoe right_shoe",
        # The order of CelebAMask-HQ: eye_g glasses, ear_r ear ring, neck_l necklace.
        "celebamask19": "background skin nose eye_g l_eye r_eye l_brow r_brow l_ear r_ear mouth "
        "u_lip l_lip hair hat ear_r neck_l neck cloth",
        # The same labels as the face-parsing.PyTorch network numbers them.
        "face_parsing19": "background skin l_brow r_brow l_eye r_eye eye_g l_ear r_ear ear_r nose "
        "mouth u_lip l_lip neck neck_l cloth hair hat",
        "idesigner": "background face body",
        "body": "background body",
        # SceneParse150: 0 is "other", the 150 classes follow in the order of objectInfo150.
        "ade20k": _ADE20K,
        "mannequins": "background hair face upper_body lower_body left_arm right_arm left_leg "
        "right_leg left_shoe right_shoe",
    }.items()
}
"""The built-in label sets, by name."""


def find_label_set(name: str) -> LabelSet:
    """Return the named label set; InputError lists the known names."""
    try:
        return LABEL_SETS[name]
    except KeyError:
        message = f"{{label_set}}: expected one of {', '.join(LABEL_SETS)}"
        message += did_you_mean(name, LABEL_SETS)
        raise InputError(message, label_set=name) from None


def other_labels(found: Sequence[str], known: Sequence[str]) -> str:
    """That data have the labels ``found`` and a model the labels ``known``, which differ."""
    words = (
        f"has {counted(len(found), 'label')} ({few(found)}), this model has {len(known)} "
        f"({few(known)})"
    )
    both = enumerate(zip(found, known, strict=False))
    index = next((i for i, (here, there) in both if here != there), 0)
    if index > 2:  # beyond those shown
        words += f"; label {index} is {found[index]} in the data, {known[index]} in the model"
    return words


@dataclass(frozen=True)
class Merge:
    """New labels, each a group of old ids; every id of ``0 .. num_source - 1`` in one group.

    Raises InputError naming the id that is missing, doubled or outside.
    """

    label_set: LabelSet
    groups: tuple[tuple[int, ...], ...]
    num_source: int

    def __post_init__(self) -> None:
        seen: dict[int, str] = {}
        for name, group in zip(self.label_set.names, self.groups, strict=True):
            for index in group:
                if not 0 <= index < self.num_source:
                    raise InputError(
                        f"{name!r} holds label {index}, expected 0 .. "
                        f"{self.num_source - 1} ({self.num_source} labels to merge)"
                    )
                if index in seen:
                    raise InputError(
                        f"label {index} is in {seen[index]!r} and in {name!r}, "
                        "expected in one group only"
                    )
                seen[index] = name
        for index in range(self.num_source):
            if index not in seen:
                raise InputError(
                    f"label {index} is in no group, expected each of the "
                    f"{self.num_source} labels in one"
                )

    def table(self) -> NDArray[np.int32]:
        """Return the int32 table (num_source,) from old ids to new ones."""
        table = np.empty(self.num_source, dtype=np.int32)
        for new, group in enumerate(self.groups):
            table[list(group)] = new
        return table


# The 20 -> 3 merge of SCAM's iDesigner experiments: hat, hair, sunglasses and face are the face.
_IDESIGNER_FACE = (1, 2, 4, 13)
MERGES = ("idesigner", "body")
"""Names of the built-in merges."""
MergeSpec = str | Mapping[str, Sequence[int]]
"""A built-in merge's name, a JSON file, or what such a file holds."""
_SHAPE = 'expected {"new label": [old ids], ...}'


def read_merge(spec: MergeSpec, num_source: int | None = None) -> Merge:
    """Return the merge called ``idesigner`` or ``body``, or the one written in a JSON file.

    ``spec`` may also be what such a file holds.

    The file maps each new label, in the new order, to its old ids::

        {"background": [0], "face": [1, 2, 4, 13], "body": [3, 5, 6, 7]}

    num_source: how many old labels there are; by default 20 for ``idesigner``, and for a file
    one more than its largest id. ``body`` (label 0 against all others) needs it.
    InputError for an unknown name, an unreadable file, an id not covered exactly once.
    """
    with leading("merge", spec if isinstance(spec, str) else NAMED):
        return _merge(spec, num_source)


def _merge(spec: MergeSpec, num_source: int | None) -> Merge:
    if spec == "idesigner":
        body = tuple(i for i in range(1, 20) if i not in _IDESIGNER_FACE)
        if num_source not in (None, 20):
            raise InputError(f"joins the 20 labels of LIP, found {num_source} labels")
        return Merge(LABEL_SETS["idesigner"], ((0,), _IDESIGNER_FACE, body), 20)
    if spec == "body":
        if num_source is None or num_source < 2:
            raise InputError(f"needs 2 labels or more, found {num_source}")
        return Merge(LABEL_SETS["body"], ((0,), tuple(range(1, num_source))), num_source)
    if isinstance(spec, str):
        return _read_merge_file(Path(spec), num_source)
    return _merge_of("of the run", spec, num_source)


def is_lost(spec: object) -> bool:
    """Whether ``spec`` is a merge's file that is no more; so early runs remember their merge."""
    return isinstance(spec, str) and spec not in MERGES and not os.path.lexists(spec)


def merge_content(spec: MergeSpec | None) -> MergeSpec | None:
    """``spec``, a JSON file replaced by what it holds: its identity, whatever its path.

    InputError for a file that cannot be used.
    """
    if spec is None or spec in MERGES or not isinstance(spec, str):
        return spec
    merge = read_merge(spec)
    return dict(zip(merge.label_set.names, map(list, merge.groups), strict=True))


def _read_merge_file(path: Path, num_source: int | None) -> Merge:
    if not os.path.lexists(path):
        near = did_you_mean(path, MERGES)
        raise InputError(f"is not a file, expected one or {' or '.join(MERGES)}{near}")
    text = read_text(path)
    try:
        groups = parse_json(text, str(path))
    except InputError as error:
        raise InputError(f"{error}; {_SHAPE}") from None
    return _merge_of(str(path), groups, num_source)


def _merge_of(name: str, given: object, num_source: int | None) -> Merge:
    """The merge of groups that map each new label to its old ids, as JSON has them."""
    if not isinstance(given, Mapping):
        raise InputError(f"is {quoted(given):.60}; {_SHAPE}")
    if not given:
        raise InputError(f"holds no groups; {_SHAPE}")
    groups: dict[str, tuple[int, ...]] = {}
    for label, ids in given.items():
        expect_name(name, label)
        if not isinstance(ids, list | tuple) or not all(type(index) is int for index in ids):
            raise InputError(f"{label!r} is {quoted(ids):.60}; {_SHAPE}")
        for index in ids:
            if not 0 <= index < NUM_VALUES:
                raise InputError(f"{label!r} holds label {index}, expected 0 .. {NUM_VALUES - 1}")
        groups[label] = tuple(ids)
    if num_source is None:
        num_source = max((max(ids) for ids in groups.values() if ids), default=-1) + 1
    return Merge(LabelSet.of(name, groups), tuple(groups.values()), num_source)
