# SPDX-License-Identifier: Apache-2.0
"""The files behind a run that is resumed: images, label merge, network weights.

Each is known by its contents. Its path may change, and images may be added or removed.
"""

import json
from collections import defaultdict
from collections.abc import Set
from pathlib import Path
from typing import Any, NamedTuple

from scam.checkpoints.step_folders import incomplete_after, newest_step_folder
from scam.checkpoints.weights import CONFIG
from scam.data import MERGES, SOURCES
from scam.data.labels import is_lost, merge_content
from scam.data.options import MANNEQUINS
from scam.data.split import (
    SPLIT,
    Digests,
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
from scam.synthesis.options import SynthesisOptions
from scam.synthesis.perceptual import WEIGHT_FILES, default_weights
from scam.synthesis.settings import Sources, open_sources
from scam.training.run_folder import RunFolder


class Resumed(NamedTuple):
    """What a run is resumed with; ``said``: lines on what came, went and was passed over;
    ``split``: None where the images of an old checkpoint cannot be known.
    """

    sources: Sources
    split: Split | None
    said: list[str]


def _refused(message: str) -> InputError:
    return InputError(f"{{resume}}: {message}", resume=True)


def _lost(what: str, place: str, kind: str, flag: str) -> InputError:
    return _refused(f"{what} {place}, where no {kind} is now: give its new place as {{:{flag}}}")


def resume_folder(out: str, asked: dict[str, Any]) -> RunFolder:
    """Open the run in ``out``; files that were asked for may have moved;
    InputError if there is no run, or one with other settings.
    """
    free = (name for name, what in SynthesisOptions.settings().items() if what.may_change)
    may_change = [f"training.{name}" for name in free]
    path = Path(out) / CONFIG
    stored = read_json(path) if path.is_file() else {}
    shapes = asked.get("model", {})
    if shapes.get("kind") == stored_kind(stored.get("model", {})):  # which early runs imply
        asked = {**asked, "model": {n: v for n, v in shapes.items() if n != "kind"}}
    data, old = asked.get("data", {}), stored.get("data", {})
    if SOURCES.keys().isdisjoint((data.get("data"), old.get("data"))):
        may_change.append("data.data")  # resume_data compares the images
        place, labels = data.get("data", old.get("data", "")), old.get("labels", "")
        if not any(Path(place, folder, labels).is_dir() for folder in ("", "train")):
            may_change.append("data.labels")  # renamed
    if "fit" not in old and data.get("fit") == "squash":  # what early runs did
        may_change.append("data.fit")
    merge, before = data.get("merge"), old.get("merge")
    if merge not in (None, *MERGES) and before not in (None, *MERGES):
        content = merge_content(merge)
        asked = {**asked, "data": {**data, "merge": content}}
        if isinstance(before, str):  # an early run's file; where it is gone, its labels decide
            then = merge_content(before) if Path(before).is_file() else content
            if json.dumps(then) == json.dumps(content):
                may_change.append("data.merge")
    if stored.get("training", {}).get("perceptual_weights") is not None:
        may_change.append("training.perceptual_weights")  # find_weights compares their digests
    return RunFolder.resume(out, asked, may_change)


def resume_data(folder: RunFolder) -> Resumed:
    """Open the data of a run as its newest checkpoint knows them: who was held out stays so, and
    new images join the training.

    InputError if the data are not there, or are others; if nothing is left to measure on; if a
    val folder holds images that were trained on; if no checkpoint is complete, but one was.
    """
    newest = newest_step_folder(folder.checkpoints)
    passed_over = incomplete_after(newest, folder.checkpoints)
    if newest is None and passed_over:
        wanted = "expected the file back, or no step folder at all to begin again"
        raise _refused(f"{passed_over}, nor is an older one whole; {wanted}")
    found = _open_data(folder, newest)
    if newest is not None and passed_over:
        found.said.append(f"{passed_over}; the run is resumed from {newest.name}")
    return found


def _open_data(folder: RunFolder, newest: Path | None) -> Resumed:
    data = folder.config.get("data", {})
    place, labels = data.get("data", MANNEQUINS), data.get("labels", "labels")
    stored = read_json(folder.path / CONFIG).get("data", {})
    moved = any(stored.get(name) != data.get(name) for name in ("data", "labels"))
    if place not in SOURCES and not Path(place).is_dir():
        if moved:
            raise InputError(f"{{data}}: expected {', '.join(SOURCES)} or a folder", data=place)
        raise _lost("the images of this run were in", place, "folder", "data")
    if is_lost(merge := data.get("merge")) and merge == stored.get("merge"):
        raise _lost("the merge of this run was in", merge, "file", "merge")
    trained = {} if newest is None else read_json(newest / CONFIG).get("trained", {})
    split = None if newest is None else read_split(newest, trained.get("split"))
    if place in SOURCES or newest is None:
        sources = open_sources(data)
        return Resumed(sources, Split.of(*sources), [])
    if split is None:
        return _by_counts(data, trained, moved)
    train, held_out = _sorted_out(split, Path(place), labels)
    if moved:
        _expect_same_names(place, split.names, train.keys() | held_out.keys())
    if not held_out:
        first = min(name for name, _ in split.held_out)
        gone = counted(len(split.held_out), "held-out image")
        raise _refused(f"{place} has none of this run's {gone} any more, for example {first}")
    opened, measured = open_sources(data, held_out=None if has_val(place) else held_out.keys())
    # Copies of held-out images are for neither side.
    kept = [index for index in range(len(opened)) if opened.stem(index) in train]
    sources = opened if len(kept) == len(opened) else Subset(opened, kept), measured
    return Resumed(sources, split.continued(train, held_out), _changes(split, train, held_out))


def find_weights(folder: RunFolder) -> None:
    """Let the run's setting name its perceptual weights where they are now; InputError if they
    are nowhere, or others than those that the run began with.
    """
    training = folder.config.get("training", {})
    path, name = training.get("perceptual_weights"), training.get("perceptual")
    if path is None:
        return
    if not Path(path).is_file() and name in WEIGHT_FILES:
        usual = default_weights(name)  # another user's home, another machine
        if usual.name != Path(path).name or not usual.is_file():
            what = f"the weights behind this run's perceptual loss {name} were"
            raise _lost(what, path, "file", "perceptual_weights")
        training["perceptual_weights"] = path = str(usual)
    wanted = folder.config.get("perceptual_digest")
    if wanted is not None and file_digest(Path(path)) != wanted:
        raise _refused(f"{path} holds other weights than this run's perceptual loss began with")


def _by_counts(data: dict[str, Any], trained: dict[str, Any], moved: bool) -> Resumed:
    """For checkpoints without names, which lost them or are of an earlier version: the digest of
    the split, or else the numbers of images must be the same.
    """
    place, held = data["data"], trained.get("held-out pictures")
    if data.get("holdout") is None and held is not None and not has_val(place):
        data = {**data, "holdout": held}  # fewer were held out of few images then
    sources = open_sources(data)
    split, digest = Split.of(*sources), trained.get("split")
    counts = {"training picture": len(sources[0]), "held-out picture": len(sources[1])}
    others = [
        (counted(count, what.replace("picture", "image")), trained[f"{what}s"])
        for what, count in counts.items()
        if trained.get(f"{what}s", count) != count
    ]
    if digest == split.digest or (digest is None and not others):
        return Resumed(sources, split, [])
    differs = "other images than the checkpoint"
    for now, then in others[:1]:
        if moved:
            message = f"{{data}}: has {now}, this run {then}; expected the same images"
            raise InputError(message, data=place)
        differs = f"{now}, the checkpoint {then}"
    why = "is of an earlier version" if digest is None else f"has lost its {SPLIT}"
    risk = "keeps no names, so held-out images may have been trained on"
    return Resumed(sources, None, [f"{place} has {differs}: it {why} and {risk}"])


def _sorted_out(split: Split, root: Path, labels: str) -> tuple[Digests, Digests]:
    """Training and held-out images of the folder ``root``."""
    everything = training_folder(root, labels)
    if not has_val(str(root)):
        held, copies = split.kept_from_training(everything)
        train = {n: d for n, d in everything.items() if n not in held | copies}
        return train, {n: d for n, d in everything.items() if n in held}
    held_out = val_folder(root, labels)
    sides = {n: split.side(n, digest, n not in everything) for n, digest in held_out.items()}
    if wrong := [name for name, side in sides.items() if side == "training"]:
        found = f"{root / 'val'} holds images that this run was trained on: {named(wrong)}"
        raise _refused(f"{found}; expected them in train/")
    return everything, held_out


def _expect_same_names(place: str, then: Set[str], now: Set[str]) -> None:
    sides = (("lacks", then - now), ("adds", now - then))
    if differs := [f"{word} {named(names)}" for word, names in sides if names]:
        expected = f"expected this run's {len(then)} images under their names"
        raise InputError(f"{{data}}: {expected}, it {' and '.join(differs)}", data=place)


def _changes(split: Split, train: Digests, held_out: Digests) -> list[str]:
    """What became of the checkpoint's images, in one line."""
    training, kept = dict(split.training), dict(split.held_out)
    known = {*training.values(), *kept.values()} - {""}
    there = {*train.values(), *held_out.values()} - {""}
    changes: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for side, now, then, other in (
        ("training", train, training, kept),
        ("held-out", held_out, kept, training),
    ):
        for name, digest in now.items():
            if then.get(name) == digest:
                continue
            what = "edited" if name in then else "added"
            if name not in then and other.get(name) == digest:
                what = "moved from the other side"
            elif digest in known:
                what = "renamed"
            changes[side, what].append(name)
        gone = [n for n, digest in then.items() if n not in now and digest not in there]
        if gone:
            changes[side, "gone"] = gone
    parts = [
        f"{counted(len(names), f'{side} image')} {what} ({named(names)})"
        for (side, what), names in changes.items()
    ]
    return [f"since the checkpoint: {'; '.join(parts)}"] if parts else []
