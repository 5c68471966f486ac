# SPDX-License-Identifier: Apache-2.0
"""How the pairs of a folder become train, val and test."""

import hashlib
import os
from collections.abc import Iterable, Mapping, Set
from pathlib import Path

from scam.data.pairs import Pair
from scam.errors import InputError

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
