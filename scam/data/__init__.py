# SPDX-License-Identifier: Apache-2.0
"""Pictures with label maps: folders on disk, drawn mannequins, and batches of both."""

import os
from collections.abc import Set
from pathlib import Path

from scam.data.check import FolderReport, check_folder
from scam.data.dataset import Batch, Item, PairDataset, batch_keys, batches
from scam.data.fit import Fit
from scam.data.folder import FolderPairs
from scam.data.labels import (
    LABEL_SETS,
    MERGES,
    LabelSet,
    Merge,
    MergeSpec,
    find_label_set,
    read_merge,
)
from scam.data.mannequins import Mannequins
from scam.data.options import MANNEQUINS
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
    "MergeSpec",
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
    merge: MergeSpec | None = None,
    ignore_label: int | None = None,
    label_set: str | None = None,
    fit: Fit = "squash",
    holdout: int | None = None,
    held_out: Set[str] | None = None,
) -> PairSource:
    """Open ``mannequins`` or a folder (see :class:`FolderPairs` for the arguments).

    InputError if ``data`` is neither, or if an argument means nothing for mannequins.
    """
    if str(data) != MANNEQUINS:
        if not os.path.isdir(data):
            raise InputError(f"{{data}}: expected {MANNEQUINS} or a folder", data=str(data))
        return FolderPairs(
            data,
            split=split,
            labels=labels,
            merge=merge,
            ignore_label=ignore_label,
            label_set=label_set,
            fit=fit,
            holdout=holdout,
            held_out=held_out,
        )
    for name, value, default in (
        ("labels", labels, "labels"),
        ("ignore_label", ignore_label, None),
        ("label_set", label_set, None),
        ("fit", fit, "squash"),
        ("holdout", holdout, None),
    ):
        if value != default:
            message = f"{{{name}}}: mannequins have no files to apply it to"
            raise InputError(message, **{name: value})
    if split not in ("train", "val"):
        raise InputError("{split}: expected train or val", split=split)
    return Mannequins(split, merge=merge)
