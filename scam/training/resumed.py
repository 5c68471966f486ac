# SPDX-License-Identifier: Apache-2.0
"""The files behind a run that is resumed: pictures, label merge, network weights.

Each is known by what it holds. Where it lies may change, and pictures may come and go.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from scam.data import MERGES
from scam.data.labels import merge_content
from scam.data.split import (
    Pictures,
    Split,
    has_val,
    named,
    read_split,
    training_folder,
    val_folder,
)
from scam.data.subset import Subset
from scam.errors import InputError
from scam.files import file_digest, read_json
from scam.models.weights import CONFIG
from scam.training.perceptual import WEIGHT_FILES, default_weights
from scam.training.run_folder import RunFolder
from scam.training.settings import MANNEQUINS, MAY_CHANGE, Sources, open_sources


class Resumed(NamedTuple):
    """What a run goes on with; ``said``: one line on what came and went, or none.

    split: None where the pictures of an old checkpoint cannot be known.
    """

    sources: Sources
    split: Split | None
    said: list[str]


def resume_folder(out: str, asked: dict[str, Any]) -> RunFolder:
    """Open the run in ``out``; files that were asked for may lie elsewhere than they did.

    InputError if there is no run, or one with other settings.
    """
    may_change = list(MAY_CHANGE)
    stored: dict[str, Any] = {}
    if (Path(out) / CONFIG).is_file():
        stored = read_json(Path(out) / CONFIG)
    data, old = asked.get("data", {}), stored.get("data", {})
    if MANNEQUINS not in (data.get("data"), old.get("data")):
        may_change.append("data.data")  # resume_data compares the pictures
        place, labels = data.get("data", old.get("data")), old.get("labels")
        if place and labels and not _label_folder(Path(place), labels).is_dir():
            may_change.append("data.labels")  # renamed
    if data.get("merge") not in (None, *MERGES) and old.get("merge") not in (None, *MERGES):
        asked = {**asked, "data": {**data, "merge": merge_content(data["merge"])}}
        if _is_path(old["merge"]) and _same_merge(old["merge"], asked["data"]["merge"]):
            may_change.append("data.merge")
    if stored.get("training", {}).get("perceptual_weights") is not None:
        may_change.append("training.perceptual_weights")  # find_weights compares their digests
    return RunFolder.resume(out, asked, may_change)


def resume_data(folder: RunFolder) -> Resumed:
    """Open the data of a run as its newest checkpoint knows them.

    Who was held out stays held out; new pictures join the training.

    InputError if the data are not there, or are others; if nothing is left to measure on; if a
    val folder holds pictures that were trained on.
    """
    data = folder.config.get("data", {})
    place, newest = data.get("data", MANNEQUINS), folder.newest()
    stored = read_json(folder.path / CONFIG).get("data", {})
    moved = any(stored.get(name) != data.get(name) for name in ("data", "labels"))
    if place != MANNEQUINS and not Path(place).is_dir():
        if moved:
            raise InputError(f"data is {place!r}, expected {MANNEQUINS!r} or a folder")
        raise InputError(
            f"--resume: the pictures of this run were in {place}, where no folder is now: "
            "give --data, the folder where they are"
        )
    about = {} if newest is None else read_json(newest / CONFIG)
    trained = about.get("trained", {})
    split = None if newest is None else read_split(newest, trained.get("split"))
    if place == MANNEQUINS or newest is None:
        sources = open_sources(data)
        return Resumed(sources, Split.of(*sources), [])
    if split is None:
        return _by_counts(data, trained, moved)
    train, held_out = _sorted_out(split, place, data.get("labels", "labels"))
    if moved:
        _expect_same_names(place, split.names, train.keys() | held_out.keys())
    if not held_out:
        first = min(name for name, _ in split.held_out)
        raise InputError(
            f"--resume: {place} has none of the {len(split.held_out)} held-out pictures of this "
            f"run any more, for example {first}"
        )
    opened, measured = open_sources(data, held_out=None if has_val(place) else held_out.keys())
    stems = [opened.stem(index) for index in range(len(opened))]
    if len(train) < len(stems):  # copies of held-out pictures are for neither side
        opened = Subset(opened, [index for index, stem in enumerate(stems) if stem in train])
    sources = opened, measured
    return Resumed(sources, split.continued(train, held_out), _changes(split, train, held_out))


def find_weights(folder: RunFolder) -> None:
    """Let the run's setting name its perceptual weights where they are now.

    InputError if they are nowhere, or others than those that the run began with.
    """
    training = folder.config.get("training", {})
    path, name = training.get("perceptual_weights"), training.get("perceptual")
    if path is None:
        return
    if not Path(path).is_file() and name in WEIGHT_FILES:
        # Another user's home, another machine: where this one keeps the file of that name.
        usual = default_weights(name)
        if usual.name != Path(path).name or not usual.is_file():
            raise InputError(
                f"--resume: the weights behind this run's perceptual loss {name} were {path}, "
                "where no file is now: give --perceptual-weights, the file where they are"
            )
        training["perceptual_weights"] = path = str(usual)
    wanted = folder.config.get("perceptual_digest")
    if wanted is not None and file_digest(Path(path)) != wanted:
        raise InputError(
            f"--resume: {path} holds other weights than this run's perceptual loss began with"
        )


def _label_folder(root: Path, labels: str) -> Path:
    return (root / "train" if (root / "train").is_dir() else root) / labels


def _is_path(merge: object) -> bool:
    return isinstance(merge, str)


def _same_merge(stored: str, content: object) -> bool:
    """Whether an old run's merge file holds ``content``, or is gone: then its labels decide."""
    if not Path(stored).is_file():
        return True
    found = merge_content(stored)
    assert isinstance(found, dict)
    assert isinstance(content, dict)
    return list(found.items()) == list(content.items())


def _by_counts(data: dict[str, Any], trained: dict[str, Any], moved: bool) -> Resumed:
    """For checkpoints of earlier versions, which keep no names."""
    place, held = data["data"], trained.get("held-out pictures")
    if data.get("holdout") is None and held is not None and not has_val(place):
        data = {**data, "holdout": held}  # fewer were held out of few pictures then
    sources = open_sources(data)
    now = {"training pictures": len(sources[0]), "held-out pictures": len(sources[1])}
    for what, count in now.items():
        if trained.get(what, count) == count:
            continue
        if moved:
            raise InputError(
                f"--data {place}: has {count} {what}, this run {trained[what]}; "
                "expected the same pictures"
            )
        said = (
            f"{place} has {count} {what}, the checkpoint {trained[what]}: it is of an earlier "
            "version and keeps no names, so held-out pictures may have been trained on"
        )
        return Resumed(sources, None, [said])
    return Resumed(sources, Split.of(*sources), [])


def _sorted_out(split: Split, place: str, labels: str) -> tuple[Pictures, Pictures]:
    """Training and held-out pictures of the folder ``place``."""
    everything = training_folder(Path(place), labels)
    if not has_val(place):
        held, copies = split.kept_from_training(everything)
        train = {n: d for n, d in everything.items() if n not in held | copies}
        return train, {n: d for n, d in everything.items() if n in held}
    held_out = val_folder(Path(place), labels)
    wrong = [
        name
        for name, digest in held_out.items()
        if split.side(name, digest, name not in everything) == "training"
    ]
    if wrong:
        raise InputError(
            f"--resume: {Path(place, 'val')} holds pictures that this run was trained on: "
            f"{named(wrong)}; expected them in train/"
        )
    return everything, held_out


def _expect_same_names(place: str, then: Collection[str], now: Collection[str]) -> None:
    gone, new = {*then} - {*now}, {*now} - {*then}
    if gone or new:
        differs = [
            f"{word} {named(names)}" for word, names in (("lacks", gone), ("adds", new)) if names
        ]
        raise InputError(
            f"--data {place}: expected this run's {len(then)} pictures under their names, "
            f"it {' and '.join(differs)}"
        )


def _changes(split: Split, train: Pictures, held_out: Pictures) -> list[str]:
    """What differs from the pictures of the checkpoint, in one line."""
    was = {"training": dict(split.training), "held_out": dict(split.held_out)}
    now = {"training": train, "held_out": held_out}
    contents = {digest for side in now.values() for digest in side.values() if digest}
    known = {digest for side in was.values() for digest in side.values() if digest}
    parts = []
    for side, word, verb in (
        ("training", "training", "join the training"),
        ("held_out", "held-out", "join the held-out ones"),
    ):
        before, after = was[side], now[side]
        other = was["held_out" if side == "training" else "training"]
        new = [n for n, d in after.items() if n not in before and d not in known]
        moved = [n for n, d in after.items() if n in other and other[n] == d and n not in before]
        gone = [n for n, d in before.items() if n not in after and d not in contents]
        edited = [n for n, d in after.items() if n in before and d not in known]
        renamed = [n for n, d in after.items() if before.get(n) != d and d in known]
        for names, text in (
            (new, f"new pictures {verb}"),
            (moved, f"pictures from the other side {verb}"),
            (gone, f"{word} pictures are gone"),
            (edited, f"{word} pictures have other content"),
            ([n for n in renamed if n not in moved], f"{word} pictures have other names"),
        ):
            if names:
                parts.append(f"{len(names)} {text} ({named(names)})")
    return [f"since the checkpoint {'; '.join(parts)}"] if parts else []
