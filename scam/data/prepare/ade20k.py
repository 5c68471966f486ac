# SPDX-License-Identifier: Apache-2.0
"""ADE20K as the scene parsing challenge distributes it (SceneParse150, ADEChallengeData2016)."""

import os
from pathlib import Path

from scam.data.labels import LABEL_SETS
from scam.data.pairs import list_pairs
from scam.data.picture_folder import BadFile
from scam.data.prepare.plan import IndexMaps, Item, Plan, add_listing, expect_items, find_root
from scam.data.values import LabelValues

# Every paper measures on the official validation images: they are the test set, and a
# validation part is held out of the training images.
_SPLITS = {"training": "train", "validation": "test"}


def plan(src: Path) -> Plan:
    """``{images,annotations}/{training,validation}``; 0 is "other", 1 .. 150 the classes."""
    root = find_root(src, "ADEChallengeData2016", ("images", "annotations"))
    items: list[Item] = []
    problems: list[BadFile] = []
    for official, split in _SPLITS.items():
        if split == "train" or os.path.isdir(root / "images" / official):
            listing = list_pairs(root / "images" / official, root / "annotations" / official)
            add_listing(items, problems, split, listing)
    expect_items(items, problems, root)
    labels = LABEL_SETS["ade20k"]
    read = IndexMaps(LabelValues.build(len(labels)))
    return Plan("ade20k", labels, items, read, keep_maps=True, problems=problems)
