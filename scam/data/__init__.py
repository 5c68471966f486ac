# SPDX-License-Identifier: Apache-2.0
"""Pictures with label maps: folders on disk, drawn mannequins, and batches of both."""

import os
from pathlib import Path

from scam.data.check import FolderReport, check_folder
from scam.data.dataset import Batch, Item, PairDataset, batch_keys, batches
from scam.data.folder import FolderPairs
from scam.data.labels import LABEL_SETS, MERGES, LabelSet, Merge, find_label_set, read_merge
from scam.data.mannequins import Mannequins
from scam.data.picture import colorize, palette, read_image, read_label_png, save_label_png
from scam.data.source import PairSource
from scam.data.values import LabelValues
from scam.errors import InputError

__all__ = [
    "LABEL_SETS",
    "MERGES",
    "Batch",
    "FolderPairs",
    "FolderReport",
    "Item",
    "LabelSet",
    "LabelValues",
    "Mannequins",
    "Merge",
    "PairDataset",
    "PairSource",
    "batch_keys",
    "batches",
    "check_folder",
    "colorize",
    "find_label_set",
    "open_source",
    "palette",
    "read_image",
    "read_label_png",
    "read_merge",
    "save_label_png",
]


def open_source(
    data: str | Path,
    split: str | None,
    *,
    labels: str = "labels",
    merge: str | None = None,
    ignore_label: int | None = None,
    label_set: str | None = None,
    holdout: int | None = None,
) -> PairSource:
    """Open ``mannequins`` or a folder (see :class:`FolderPairs` for the arguments).

    InputError if ``data`` is neither, or if an argument means nothing for mannequins.
    """
    if str(data) != "mannequins":
        if not os.path.isdir(data):
            raise InputError(f"data is {str(data)!r}, expected 'mannequins' or a folder")
        return FolderPairs(
            data,
            split=split,
            labels=labels,
            merge=merge,
            ignore_label=ignore_label,
            label_set=label_set,
            holdout=holdout,
        )
    for name, value, default in (
        ("labels", labels, "labels"),
        ("ignore_label", ignore_label, None),
        ("label_set", label_set, None),
        ("holdout", holdout, None),
    ):
        if value != default:
            raise InputError(f"{name} is {value!r}, but mannequins have no files to apply it to")
    if split not in ("train", "val"):
        raise InputError(f"split is {split!r}, expected 'train' or 'val'")
    return Mannequins(split, merge=merge)
