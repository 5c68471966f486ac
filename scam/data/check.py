# SPDX-License-Identifier: Apache-2.0
"""Look at every pair of a folder as training would, and gather what is there and what is bad."""

import os
from collections import Counter
from functools import partial
from pathlib import Path

from scam.data.advice import advising, placed, prepare_command
from scam.data.flips import unpaired
from scam.data.folder import expect_arguments, expect_pictures
from scam.data.folder_report import FolderReport
from scam.data.left_out import left_out
from scam.data.names import named_labels
from scam.data.pairs import Pair, find_pairs, list_pairs
from scam.data.parallel import spread
from scam.data.picture_folder import BadFile
from scam.data.seen import Meaning, SeenPair, look_at
from scam.data.train_val_test import SPLITS, assign_splits, split_folders
from scam.errors import InputError, one_line


def check_folder(
    root: Path,
    *,
    labels: str = "labels",
    label_set: str | None = None,
    ignore_label: int | None = None,
    merge: str | None = None,
    holdout: int | None = None,
    workers: int = 1,
) -> FolderReport:
    """Read every pair that training would read; the arguments are those of ``FolderPairs``.

    InputError if there is nothing to check: no folder, no pair, unreadable label names, or a
    ``holdout`` that leaves none for training.
    """
    expect_arguments(root, ignore_label=ignore_label, holdout=holdout)
    with advising(root, labels):
        folders, bad = _list(root, labels)
    pairs = [pair for found in folders.values() for pair in found]
    if not pairs:
        for split in folders:
            find_pairs(root / (split or ""), labels)  # says why
    names = named_labels(root, labels, label_set, ignore_label)
    splits = assign_splits(folders, holdout)
    if "val" in splits and "val" not in folders:
        bad += _nothing_left(root, splits, holdout)
    seen = dict(zip(pairs, spread(look_at, pairs, workers=workers, what="check"), strict=True))
    # Training knows its own maps alone.
    to_train = [pair for split in ("train", "val") for pair in splits.get(split, [])] or pairs
    command = partial(prepare_command, "indices", root, labels)
    meant = Meaning.of([seen[pair] for pair in to_train], names, ignore_label, merge, command)
    bad += [BadFile(root, text) for text in meant.problems]
    wrong = {pair: [*found.problems, *meant.wrong(pair, found)] for pair, found in seen.items()}
    bad += [problem for problems in wrong.values() for problem in problems]
    bad += _in_two_splits(splits, seen)
    good = {} if meant.problems else {p: found for p, found in seen.items() if not wrong[p]}
    sizes = Counter(found.size for found in good.values())
    return FolderReport(
        root=root,
        folder=labels,
        pairs=len(pairs),
        splits={
            split: sum(pair in good for pair in splits[split])
            for split in SPLITS
            if split in splits
        },
        held_out="val" not in folders and "val" in splits,
        named=names is not None,
        labels=meant.count(good.values()),
        unlabelled=0
        if ignore_label is None
        else sum(found.pixels.get(ignore_label, 0) for found in good.values()),
        turned=sum(found.turned for found in good.values()),
        sizes=_sizes(sizes),
        num_sizes=len(sizes),
        unpaired=tuple(meant.label_set.names[index] for index in unpaired(meant.label_set.names)),
        left_out=left_out(root / (split or "") / "images" for split in folders),
        bad=tuple(BadFile(found.file, placed(found.text, root, labels)) for found in bad),
        advice=tuple(meant.advice),
    )


def _nothing_left(root: Path, splits: dict[str, list[Pair]], holdout: int | None) -> list[BadFile]:
    try:
        expect_pictures(root, splits, "train")
    except InputError as error:
        if holdout is not None:
            raise
        return [BadFile.of(error, root)]
    return []


def _list(root: Path, labels: str) -> tuple[dict[str | None, list[Pair]], list[BadFile]]:
    folders: dict[str | None, list[Pair]] = {}
    bad: list[BadFile] = []
    for split in split_folders(root):
        folder = root / (split or "")
        try:
            listing = list_pairs(folder / "images", folder / labels)
        except InputError as error:
            if split is None:
                raise
            images = folder / "images"
            named = images if str(error).startswith(one_line(f"{images}: ")) else folder / labels
            bad.append(BadFile.of(error, named))
            folders[split] = []
            continue
        folders[split] = listing.pairs
        bad += listing.bad
    return folders, bad


def _in_two_splits(splits: dict[str, list[Pair]], seen: dict[Pair, SeenPair]) -> list[BadFile]:
    """A photograph to learn from must not be one to measure on."""
    first: dict[bytes, tuple[str, Path]] = {}
    problems = []
    for split in SPLITS:
        for pair in splits.get(split, []):
            # An unreadable photograph has no digest and is bad already.
            digest = seen[pair].digest or os.fsencode(pair.image)
            other, path = first.setdefault(digest, (split, pair.image))
            if other != split:
                text = f"is in {split} and, as {path}, in {other}, expected in one of them"
                problems.append(BadFile(pair.image, text))
    return problems


def _sizes(sizes: Counter[tuple[int, int]]) -> dict[str, tuple[int, int]]:
    if not sizes:
        return {}
    by_area = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return {
        "smallest": by_area[0],
        "most_frequent": max(by_area, key=lambda size: sizes[size]),
        "largest": by_area[-1],
    }
