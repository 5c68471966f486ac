# SPDX-License-Identifier: Apache-2.0
"""The files behind a run that is resumed: pictures, label merge, network weights.

Each is known by what it holds. Where it lies may change, and pictures may come and go.
"""

from collections.abc import Collection, Set
from pathlib import Path
from typing import Any, NamedTuple

from scam.checkpoints.step_folders import incomplete_after
from scam.checkpoints.weights import CONFIG
from scam.data import MERGES
from scam.data.labels import is_lost, merge_content
from scam.data.options import MANNEQUINS
from scam.data.split import (
    SPLIT,
    Pictures,
    Split,
    has_val,
    named,
    read_split,
    training_folder,
    val_folder,
)
from scam.data.subset import Subset
from scam.errors import InputError, counted
from scam.models.registry import stored_kind
from scam.storage.reading import file_digest, read_json
from scam.training.options import TrainOptions
from scam.training.perceptual import WEIGHT_FILES, default_weights
from scam.training.run_folder import RunFolder
from scam.training.settings import Sources, open_sources


class Resumed(NamedTuple):
    """What a run goes on with; ``said``: lines on what came, went and was passed over.

    split: None where the pictures of an old checkpoint cannot be known.
    """

    sources: Sources
    split: Split | None
    said: list[str]


def resume_folder(out: str, asked: dict[str, Any]) -> RunFolder:
    """Open the run in ``out``; files that were asked for may lie elsewhere than they did.

    InputError if there is no run, or one with other settings.
    """
    may_change = [
        f"training.{n}" for n, what in TrainOptions.settings().items() if what.may_change
    ]
    stored: dict[str, Any] = {}
    if (Path(out) / CONFIG).is_file():
        stored = read_json(Path(out) / CONFIG)
        shapes = asked.get("model", {})
        if shapes.get("kind") == stored_kind(stored.get("model", {})):  # which early runs imply
            asked = {**asked, "model": {n: v for n, v in shapes.items() if n != "kind"}}
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
    val folder holds pictures that were trained on; if no checkpoint is complete, but one was.
    """
    newest = folder.newest()
    passed_over = incomplete_after(newest, folder.checkpoints)
    if passed_over and newest is None:
        raise InputError(
            f"{{resume}}: {passed_over}, nor is an older one whole; expected the file back, or no "
            "step folder at all to begin again",
            resume=True,
        )
    found = _open_data(folder, newest)
    if passed_over and newest is not None:
        found.said.append(f"{passed_over}; the run goes on from {newest.name}")
    return found


def _open_data(folder: RunFolder, newest: Path | None) -> Resumed:
    data = folder.config.get("data", {})
    place = data.get("data", MANNEQUINS)
    stored = read_json(folder.path / CONFIG).get("data", {})
    moved = any(stored.get(name) != data.get(name) for name in ("data", "labels"))
    if place != MANNEQUINS and not Path(place).is_dir():
        if moved:
            raise InputError(f"{{data}}: expected {MANNEQUINS} or a folder", data=place)
        raise InputError(
            f"{{resume}}: the pictures of this run were in {place}, where no folder is now: "
            "give {:data}, the folder where they are",
            resume=True,
        )
    if is_lost(merge := data.get("merge")) and merge == stored.get("merge"):
        raise InputError(
            f"{{resume}}: the merge of this run was in {merge}, where no file is now: "
            "give {:merge}, the file where it is",
            resume=True,
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
            f"{{resume}}: {place} has none of this run's "
            f"{counted(len(split.held_out), 'held-out picture')} any more, for example {first}",
            resume=True,
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
                f"{{resume}}: the weights behind this run's perceptual loss {name} were {path}, "
                "where no file is now: give {:perceptual_weights}, the file where they are",
                resume=True,
            )
        training["perceptual_weights"] = path = str(usual)
    wanted = folder.config.get("perceptual_digest")
    if wanted is not None and file_digest(Path(path)) != wanted:
        raise InputError(
            f"{{resume}}: {path} holds other weights than this run's perceptual loss began with",
            resume=True,
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
    """For checkpoints that came without names: those of earlier versions, or split.json is gone.

    The digest of the split, or else the numbers of pictures must be the same.
    """
    place, held = data["data"], trained.get("held-out pictures")
    if data.get("holdout") is None and held is not None and not has_val(place):
        data = {**data, "holdout": held}  # fewer were held out of few pictures then
    sources = open_sources(data)
    split, digest = Split.of(*sources), trained.get("split")
    counts = {"training picture": len(sources[0]), "held-out picture": len(sources[1])}
    others = [what for what, count in counts.items() if trained.get(f"{what}s", count) != count]
    if digest == split.digest or (digest is None and not others):
        return Resumed(sources, split, [])
    if others and moved:
        what = others[0]
        raise InputError(
            f"{{data}}: has {counted(counts[what], what)}, this run {trained[f'{what}s']}; "
            "expected the same pictures",
            data=place,
        )
    differs = [
        f"{counted(counts[what], what)}, the checkpoint {trained[f'{what}s']}" for what in others
    ]
    why = "is of an earlier version and" if digest is None else f"has lost its {SPLIT} and"
    said = (
        f"{place} has {(differs or ['other pictures than the checkpoint'])[0]}: it {why} keeps no "
        "names, so held-out pictures may have been trained on"
    )
    return Resumed(sources, None, [said])


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
            f"{{resume}}: {Path(place, 'val')} holds pictures that this run was trained on: "
            f"{named(wrong)}; expected them in train/",
            resume=True,
        )
    return everything, held_out


def _expect_same_names(place: str, then: Collection[str], now: Collection[str]) -> None:
    gone, new = {*then} - {*now}, {*now} - {*then}
    if gone or new:
        differs = [
            f"{word} {named(names)}" for word, names in (("lacks", gone), ("adds", new)) if names
        ]
        raise InputError(
            f"{{data}}: expected this run's {len(then)} pictures under their names, "
            f"it {' and '.join(differs)}",
            data=place,
        )


def _changes(split: Split, train: Pictures, held_out: Pictures) -> list[str]:
    """What became of the checkpoint's pictures, in one line."""
    training, kept = dict(split.training), dict(split.held_out)
    known = {*training.values(), *kept.values()} - {""}
    there = {*train.values(), *held_out.values()} - {""}
    changes: dict[tuple[str, str], list[str]] = {}
    for side, then, now, other in (
        ("training", training, train, kept),
        ("held-out", kept, held_out, training),
    ):
        for name, digest in now.items():
            if what := _change(name, digest, then, other, known):
                changes.setdefault((side, what), []).append(name)
        gone = [name for name, digest in then.items() if name not in now and digest not in there]
        if gone:
            changes[side, "gone"] = gone
    parts = [
        f"{counted(len(names), f'{side} picture')} {what} ({named(names)})"
        for (side, what), names in changes.items()
    ]
    return [f"since the checkpoint: {'; '.join(parts)}"] if parts else []


def _change(
    name: str, digest: str, then: Pictures, other: Pictures, known: Set[str]
) -> str | None:
    """What became of a picture of a side; None: nothing.

    then: the side at the checkpoint; other: the other one; known: contents of both.
    """
    if then.get(name) == digest:
        return None
    if name not in then and other.get(name) == digest:
        return "moved from the other side"
    if digest in known:
        return "renamed"
    return "edited" if name in then else "added"
