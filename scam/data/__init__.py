# SPDX-License-Identifier: Apache-2.0
"""Pictures with label maps: folders on disk, drawn mannequins, and batches of both."""

from scam.data.check import check_folder
from scam.data.dataset import Batch, Item, PairDataset, batch_keys, batches
from scam.data.folder import FolderPairs
from scam.data.folder_report import FolderReport
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
from scam.data.open_source import SOURCES, open_source
from scam.data.picture import colorize, palette, read_image, read_label_png, save_label_png
from scam.data.source import PairSource
from scam.data.values import LabelValues

__all__ = [
    "LABEL_SETS",
    "MERGES",
    "SOURCES",
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
