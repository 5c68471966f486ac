# SPDX-License-Identifier: Apache-2.0
"""Carry out a plan: every pair checked and written aside, the folder there only when whole."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from scam.data.advice import advise_once
from scam.data.arrays import LabelMap
from scam.data.pairs import expect_equal_sizes
from scam.data.parallel import spread
from scam.data.picture import read_image, save_label_png
from scam.data.picture_folder import BadFile
from scam.data.prepare.plan import Item, Plan
from scam.data.report import splits_text
from scam.errors import InputError, counted, one_line, sized
from scam.storage.files import folder_aside
from scam.storage.reading import read_json
from scam.version import __version__

RECORD = "prepared.json"
_TOO_MANY_BAD = 100


@dataclass(frozen=True)
class Prepared:
    """What was made: images per split, the value of unlabelled pixels if any, and bad files."""

    splits: dict[str, int]
    ignore_label: int | None
    bad: list[BadFile]


def expect_new(dst: Path, src: Path) -> None:
    """InputError if ``dst`` exists, saying what is there, or would be in ``src``."""
    if os.path.lexists(dst):
        raise InputError(f"{dst}: already exists{describe_folder(dst)}; choose a new folder")
    if dst.resolve().is_relative_to(src.resolve()):
        raise InputError(
            f"{dst}: is in {src}, which is never changed; expected a folder elsewhere"
        )


def describe_folder(folder: Path) -> str:
    """`` (celebamask-hq, 28000 images, ...)`` from the record of a prepared folder, else ''."""
    try:
        record = read_json(folder / RECORD)
        size = record["size"]
        return (
            f" ({record['kind']} prepared from {record['source']}: "
            f"{splits_text(record['splits'])}, {counted(record['labels'], 'label')}"
            + (f", {sized(size)})" if size else ")")
        )
    except (ValueError, LookupError, TypeError, AttributeError):  # somebody else's file
        return ""


def write_plan(
    plan: Plan,
    src: Path,
    dst: Path,
    *,
    size: tuple[int, int] | None = None,
    copy: bool = False,
    skip_bad: bool = False,
    workers: int = 1,
) -> Prepared:
    """Make the folder ``dst``; it appears only when everything is in it.

    size: (H, W) of all pairs (photographs averaged down and saved as png, label maps nearest
    pixels: what training would make of them); None keeps photographs as they are, as hard links
    to the files of src or, with ``copy`` or on another disk, copies. skip_bad: leave out what
    cannot be used. InputError if dst exists or is in src, the disk refuses, or, unless skip_bad,
    files are bad.
    """
    expect_new(dst, src)
    _expect_different(plan.items)
    ignore = 255 if len(plan.label_set) <= 255 else 65535
    splits: dict[str, int] = {}
    unlabelled = False
    bad = list(plan.problems)
    with folder_aside(dst) as folder:
        for split in {item.split for item in plan.items}:
            for name in ("images", "labels"):
                (folder / (split or "") / name).mkdir(parents=True)
        writer = _Writer(plan, folder, size, copy, ignore)
        results = spread(writer, plan.items, workers=workers, what=f"prepare {plan.kind}")
        for item, result in zip(plan.items, results, strict=True):
            if isinstance(result, BadFile):
                bad.append(result)
                if len(bad) >= _TOO_MANY_BAD and not skip_bad:
                    break
                continue
            name = item.split or "all"
            splits[name] = splits.get(name, 0) + 1
            unlabelled |= result
        if bad and not (skip_bad and splits):
            raise BadFilesError(src, bad)
        prepared = Prepared(splits, ignore if unlabelled else None, bad)
        _write_texts(folder, plan, prepared, src, size)
        if hasattr(os, "sync"):
            os.sync()  # thousands of files: one call in place of one fsync each
    return prepared


class BadFilesError(InputError):
    """Files that cannot be prepared; ``bad`` holds each of them."""

    def __init__(self, src: Path, bad: list[BadFile]) -> None:
        self.bad = bad
        many = "at least " if len(bad) >= _TOO_MANY_BAD else ""
        texts, advice = advise_once(map(str, bad))
        first = texts[0] if len(bad) == 1 else f"the first: {texts[0]}"
        super().__init__(
            f"{src}: {many}{counted(len(bad), 'bad file')}, nothing was written "
            f"({{:skip_bad}} leaves {'it' if len(bad) == 1 else 'them'} out); "
            + "; ".join([first, *advice])
        )


@dataclass(frozen=True)
class _Writer:
    """Writes one pair; returns whether it has pixels without label, or what is bad about it."""

    plan: Plan
    folder: Path
    size: tuple[int, int] | None
    copy: bool
    ignore: int

    def __getstate__(self) -> dict[str, object]:
        # Workers need no list of everything.
        plan = self.plan
        bare = Plan(plan.kind, plan.label_set, [], plan.read, plan.enlarge, plan.keep_maps)
        return {**vars(self), "plan": bare}

    def __call__(self, item: Item) -> bool | BadFile:
        try:
            picture, orientation = read_image(item.image)
            labels = self.plan.read(item)
            if self.plan.enlarge:
                labels = _in_proportion(labels, picture.size)
            expect_equal_sizes(item.image, picture, orientation, item.maps[0], labels)
        except InputError as error:
            return _problem(error, item)
        place = self.folder / (item.split or "")
        image_to, map_to = place / "images" / item.stem, place / "labels" / f"{item.stem}.png"
        if self.size is None:
            self._keep(item.image, _with_suffix(image_to, item.image.suffix))
        else:
            box = self.size[1], self.size[0]
            small = picture.resize(box, Image.Resampling.BILINEAR)
            small.save(_with_suffix(image_to, ".png"))
            labels = nearest(labels, box)
        if self.size is None and self.plan.keep_maps:
            self._keep(item.maps[0], map_to)
        else:
            with map_to.open("wb") as file:  # the folder is written aside, not each of its maps
                save_label_png(file, labels, ignore_label=self.ignore)
        return bool((labels < 0).any())

    def _keep(self, source: Path, target: Path) -> None:
        if not self.copy:
            try:
                os.link(source.resolve(), target)
                return
            except OSError:
                pass  # another disk, or one without hard links
        shutil.copyfile(source, target)


def nearest(labels: LabelMap, box: tuple[int, int]) -> LabelMap:
    """Labels (H, W) at ``box`` = (width, height): the nearest pixels, as training takes them."""
    return np.asarray(Image.fromarray(labels).resize(box, Image.Resampling.NEAREST))


def _in_proportion(labels: LabelMap, box: tuple[int, int]) -> LabelMap:
    height, width = labels.shape
    return nearest(labels, box) if width * box[1] == height * box[0] else labels


def _problem(error: InputError, item: Item) -> BadFile:
    for file in (item.image, *item.maps):
        if str(error).startswith(one_line(f"{file}: ")):
            return BadFile.of(error, file)
    return BadFile(item.image, str(error))


def _with_suffix(path: Path, suffix: str) -> Path:
    # Path.with_suffix would cut a stem at its last dot.
    return path.with_name(path.name + suffix)


def _expect_different(items: list[Item]) -> None:
    seen: dict[tuple[str | None, str], Item] = {}
    for item in items:
        first = seen.setdefault((item.split, item.stem), item)
        if first is not item:
            raise InputError(f"{item.image} and {first.image}: have the same name {item.stem!r}")


def _write_texts(
    folder: Path, plan: Plan, prepared: Prepared, src: Path, size: tuple[int, int] | None
) -> None:
    names = "".join(f"{index} {name}\n" for index, name in enumerate(plan.label_set.names))
    record = {
        "kind": plan.kind,
        "source": str(src.resolve()),
        "splits": prepared.splits,
        "labels": len(plan.label_set),
        "size": size,
        "ignore_label": prepared.ignore_label,
        "left_out": [str(problem) for problem in prepared.bad],
        "scam": __version__,
    }
    texts = {"labels.txt": names, RECORD: json.dumps(record, indent=2) + "\n", **plan.texts}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
