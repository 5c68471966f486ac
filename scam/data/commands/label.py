# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.data label``: label maps of photographs, made by a parser."""

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scam.commandline.command import Parser
from scam.commandline.console import say
from scam.commandline.progress import progress
from scam.data.advice import path_word
from scam.data.commands.check import ignore_label
from scam.data.folder_report import LabelCount
from scam.data.labels import LABEL_SETS, NUM_VALUES, LabelSet, find_label_set
from scam.data.left_out import left_out
from scam.data.names import named_labels
from scam.data.parser import FORM, HELP, LabelParser, load_parser
from scam.data.picture import read_image, save_label_png
from scam.data.picture_folder import find_images
from scam.data.report import label_table
from scam.data.train_val_test import split_folders
from scam.data.values import LabelValues, count_values
from scam.errors import InputError, counted, within
from scam.storage.files import sweep, write_aside
from scam.storage.outputs import expect_writable

PROG = "python -m scam.data label"
DESCRIPTION = """\
Make label maps of photographs with a parser: a function of yours, which may call a network.
Existing label maps are kept, so an interrupted command continues where it was."""
EXAMPLES = """\
  python -m scam.data label photos --parser person_parser:label_map
      the function label_map in person_parser.py, here, makes photos/labels of photos/images
  python -m scam.data label photos --parser person_parser:label_map --label-set lip20
      the same, and refuse values that are none of the 20 labels of LIP
  python -m scam.data label anna.jpg --parser person_parser:label_map
      make anna_labels.png, which scam.transfer finds by itself
  python -m scam.data label album --parser person_parser:label_map --out album_labels
      of photographs that lie in the folder album itself"""


class Target(NamedTuple):
    """A photograph, and where its label map goes."""

    image: Path
    labels: Path


class Found(NamedTuple):
    """Pixels of each label, how many maps hold it, and how many maps were there before."""

    pixels: Counter[int]
    images: Counter[int]
    kept: int


def main(argv: Sequence[str]) -> None:
    """Make what is missing; say which labels there are and what to do next."""
    args = _parser().parse_args(argv)
    src, ignore = Path(args.src), ignore_label(args.ignore_label)
    targets = find_targets(src, args.labels, None if args.out is None else Path(args.out))
    names = _names(src, args.labels, args.label_set, ignore)
    for file in {target.labels.parent: target.labels for target in targets}.values():
        expect_writable(file)
        sweep(file.parent)
    values = LabelValues.build(NUM_VALUES if names is None else len(names), None, ignore)
    found = make_maps(targets, load_parser(args.parser), values, overwrite=args.overwrite)
    kept = f", {found.kept} of which existed already" if found.kept else ""
    say(f"{_place(targets)}: {counted(len(targets), 'label map')}{kept}")
    if src.is_dir() and (skipped := _left_out(targets)):
        say(skipped)
    say("")
    unlabelled = found.pixels.pop(-1, 0)
    names = names or LabelSet.numbered("labels", max(found.pixels, default=0) + 1)
    rows = [
        LabelCount(index, name, found.images[index], found.pixels[index])
        for index, name in enumerate(names.names)
    ]
    say(*label_table(rows, len(targets), unlabelled))
    if args.out is None:
        say(*_next(args, src))


def make_maps(
    targets: Sequence[Target], parser: LabelParser, values: LabelValues, *, overwrite: bool = False
) -> Found:
    """Make and write every label map that is not there yet, or with ``overwrite`` all of them.

    InputError that names the photograph for what the parser returns and ``values`` does not know;
    maps made before it stay.
    """
    found = Found(Counter(), Counter(), 0)
    with progress("label", len(targets), logged=True) as bar:
        for image, file in targets:
            if file.exists() and not overwrite:
                labels = values.read(file)
                found = found._replace(kept=found.kept + 1)
            else:
                photo, _ = read_image(image)
                with within(image):
                    labels = parser(np.asarray(photo), values)
                with write_aside(file, overwrite=overwrite) as out:
                    save_label_png(out, labels, ignore_label=values.ignore)
            counts = count_values(labels)
            found.pixels.update(counts)
            found.images.update(counts.keys())
            bar.update()
    return found


def find_targets(src: Path, labels: str, out: Path | None) -> list[Target]:
    """The photographs that ``src`` is or holds. InputError if there are none, or no place for
    their label maps.

    labels: the folder of label maps in a data folder; out: theirs, of other photographs.
    """
    if src.is_file():
        if out is None and src.parent.name == "images":
            return [Target(src, src.parent.parent / labels / f"{src.stem}.png")]
        beside = src.with_name(f"{src.stem}_labels.png")
        return [Target(src, beside if out is None else out / f"{src.stem}.png")]
    if not src.is_dir():
        raise InputError(f"{src}: no such file or folder, expected photographs")
    splits = split_folders(src)
    if splits == [None] and not (src / "images").is_dir():
        if out is None:
            raise InputError(
                f"{src}: holds no folder images; put the photographs there or, if they are in "
                f"{src} itself, say with {{:out}} where their label maps go"
            )
        folders = {src: out}
    elif out is not None:
        message = f"{{out}}: expected none, label maps of {src / 'images'} go to {src / labels}"
        raise InputError(message, out=out)
    else:
        roots = [src / (split or "") for split in splits]
        folders = {root / "images": root / labels for root in roots}
    for images, maps in folders.items():
        if images.resolve() == maps.resolve():
            raise InputError(f"{maps}: is the folder of photographs, expected one of label maps")
    return [
        Target(image, maps / f"{image.stem}.png")
        for images, maps in folders.items()
        for image in find_images(images)
    ]


def _names(src: Path, labels: str, label_set: str | None, ignore: int | None) -> LabelSet | None:
    """What the values mean, where that is known."""
    if src.is_dir():
        return named_labels(src, labels, label_set, ignore)
    return None if label_set is None else find_label_set(label_set)


def _place(targets: Sequence[Target]) -> str:
    if len(targets) == 1:
        return str(targets[0].labels)
    return ", ".join(dict.fromkeys(str(target.labels.parent) for target in targets))


def _left_out(targets: Sequence[Target]) -> str:
    folders = dict.fromkeys(target.image.parent for target in targets)
    return left_out(folders, {target.labels.parent for target in targets})


def _next(args: argparse.Namespace, src: Path) -> list[str]:
    """The commands that use the label maps; RUN: a model of these labels."""
    place, values = path_word(src), ""
    if args.labels != "labels":
        place += f" --labels {path_word(args.labels)}"
    if src.is_file():
        return [
            f"next: python -m scam.transfer RUN --subject {place} --background IMAGE --out FILE"
        ]
    if args.label_set is not None:
        values += f" --label-set {path_word(args.label_set)}"
    if args.ignore_label is not None:
        values += f" --ignore-label {args.ignore_label}"
    return [
        f"next: python -m scam.data check {place}{values}",
        f"      python -m scam.train --amp --fused-sca --data {place}{values} --out RUN",
        f"then: python -m scam.transfer RUN --data {place} "
        "--subject NAME --background NAME --out FILE",
        f"      python -m scam.studio RUN --data {place}",
    ]


def _parser() -> argparse.ArgumentParser:
    parser = Parser(PROG, DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "src", help="folder with images/ or {train,val,test}/images, a photograph, or with --out"
        " any folder of photographs",
    )  # fmt: skip
    parser.add_argument("--parser", required=True, metavar=FORM, help=HELP)
    parser.add_argument(
        "--labels", metavar="NAME", default="labels",
        help="folder to make beside images/ (default: labels)",
    )  # fmt: skip
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="folder for the label maps of photographs that are not in a folder images/",
    )
    parser.add_argument(
        "--label-set", metavar="NAME",
        help="what the parser's values are (default: labels.txt in SRC, else any values): "
        + ", ".join(LABEL_SETS),
    )  # fmt: skip
    parser.add_argument(
        "--ignore-label", type=int, metavar="N", help="the parser's value that means: no label"
    )
    parser.add_overwrite()
    return parser
