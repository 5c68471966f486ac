# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.transfer``: paint the subject of one photograph into another."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from scam.commandline.command import in_flags, open_device, run
from scam.commandline.console import say
from scam.data.sheet import save_sheet
from scam.editing import batch, fingerprint
from scam.editing.donors import Donor, parse_donor
from scam.editing.edit import Edited, Settings
from scam.editing.editor import Editor
from scam.editing.flags import FEATHER, FORMATS, check_flags, check_paths, transfer_parser
from scam.editing.naming import naming
from scam.editing.pictures import Picture, label_tensor, resized, to_image
from scam.editing.sources import Finder, Folder, digest
from scam.editing.styles import Style
from scam.errors import InputError, counted
from scam.models.checkpoint import load_checkpoint
from scam.storage.files import write_aside

PROG = "python -m scam.transfer"
_MOST_NOTES = 10


@in_flags
def main(argv: Sequence[str] | None = None) -> None:
    """Load, open what the pictures are called, mix their latents, paint, write the results."""
    args = transfer_parser(PROG).parse_args(argv)
    check_flags(args)
    checkpoint = load_checkpoint(args.checkpoint, device=open_device(args.device))
    donors = [parse_donor(text, checkpoint) for text in args.donor]
    check_paths(args, donors, checkpoint.files)
    with naming("--background-labels"):
        scene = tuple(checkpoint.label(word) for word in args.background_labels)
    settings = Settings(
        scene,
        args.absent,
        args.interpolate,
        (FEATHER if args.feather is None else args.feather) if args.paste_back else None,
    )
    finder = Finder(checkpoint, args.data, args.labels, args.library)
    subject = None if args.subject is None else _open(finder, "--subject", args.subject)
    background = _open(finder, "--background", args.background)
    others = [_open_donor(finder, donor) for donor in donors]
    finder.expect_used()
    check_paths(args, donors, finder.inputs)
    if isinstance(background, Style):
        raise InputError(f"--background {args.background[0]}: is a style, expected a picture")
    pose = args.pose if args.pose_labels is None else Path(args.pose_labels)
    editor = Editor(checkpoint, settings, donors, pose)
    single = [other for other in others if not isinstance(other, Folder)]
    if isinstance(background, Folder) or isinstance(subject, Folder) or len(single) < len(others):
        _edit_folder(args, editor, subject, background, others)
    else:
        _edit_picture(args, editor, subject, background, single)


def _open(finder: Finder, flag: str, words: list[str]) -> batch.Source:
    folder = finder.folder(flag, words)
    return finder.open(flag, words) if folder is None else folder


def _open_donor(finder: Finder, donor: Donor) -> batch.Source:
    try:
        return _open(finder, f"--donor {donor.text}", [donor.picture])
    except InputError as error:
        raise InputError(f"{error}{donor.doubt}") from error


def _edit_picture(
    args: argparse.Namespace,
    editor: Editor,
    subject: Picture | Style | None,
    background: Picture,
    others: Sequence[Picture | Style],
) -> None:
    out = Path(args.out)
    if out.suffix.lower() not in FORMATS:
        raise InputError(f"--out {out}: expected a {', '.join(FORMATS)} file")
    if args.pairs is not None:
        raise InputError(f"--pairs {args.pairs}: expected --background and another to be folders")
    edited = editor(background, subject, others)
    if args.sheet is not None:
        _save_sheet(args, editor, subject, background, others, edited)
        say(f"sheet: {args.sheet}")
    with write_aside(out, overwrite=args.overwrite) as file:
        Image.fromarray(edited.pixels).save(file, format=FORMATS[out.suffix.lower()])
    _print_notes(edited.notes)
    given = [*(args.subject or [])[:1], *args.donor]
    say(f"{out}: {', '.join(given)} in {args.background[0]}, {_pose_words(args)}")


def _save_sheet(
    args: argparse.Namespace,
    editor: Editor,
    subject: Picture | Style | None,
    background: Picture,
    others: Sequence[Picture | Style],
    edited: Edited,
) -> None:
    size, device = editor.checkpoint.model.config.size, torch.device("cpu")
    named: list[tuple[str, Picture | Style]] = []
    if subject is not None:
        named.append(("subject", subject))
    for number, (donor, other) in enumerate(zip(editor.donors, others, strict=True), start=1):
        named.append((f"{number}: {donor.text.partition('=')[0]}", other))
    columns: dict[str, Tensor] = {}
    for caption, source in [*named, ("background", background)]:
        if isinstance(source, Picture):
            columns[caption] = source.tensors(size, device)[0]
        elif (thumbnail := source.thumbnail(size)) is not None:
            columns[caption] = to_image(thumbnail)
    columns["labels"] = label_tensor(editor.pose_of(background, subject), size, device)
    steps = editor.settings.steps
    caption = "transfer" if steps is None else f"step {steps} of {steps}"
    columns[caption] = to_image(resized(edited.last, size, Image.Resampling.BILINEAR))
    save_sheet(args.sheet, columns, min_height=384, overwrite=args.overwrite)


def _edit_folder(
    args: argparse.Namespace,
    editor: Editor,
    subject: batch.Source | None,
    background: Picture | Folder,
    others: Sequence[batch.Source],
) -> None:
    out = Path(args.out)
    if out.suffix.lower() in FORMATS:
        raise InputError(f"--out {out}: expected a folder, since a folder of pictures is given")
    if args.overwrite:
        raise InputError("--overwrite: expected single pictures; a folder of results is resumed")
    if args.sheet is not None:
        raise InputError(f"--sheet {args.sheet}: expected single pictures, not a folder of them")
    given = others if subject is None else [subject, *others]
    plan = batch.make_plan(background, given, args.pairs)

    def make(name: str) -> Edited:
        return editor(
            plan.background(background, name),
            None if subject is None else plan.other(subject, name),
            [plan.other(other, name) for other in others],
        )

    with batch.opened(out, _record(args, editor, background, subject, others, plan)):
        count, notes = batch.run(out, plan.names, make)
    _print_notes(notes)
    there = len(plan.names) - count
    were = f", {there} {'was' if there == 1 else 'were'} there already" if there else ""
    say(f"{out}: {counted(count, 'picture')}{were}")


def _print_notes(notes: Sequence[str]) -> None:
    say(*notes[:_MOST_NOTES])
    if len(notes) > _MOST_NOTES:
        print(f"... and {len(notes) - _MOST_NOTES} more lines like these")


def _record(
    args: argparse.Namespace,
    editor: Editor,
    background: Picture | Folder,
    subject: batch.Source | None,
    others: Sequence[batch.Source],
    plan: batch.Plan,
) -> dict[str, Any]:
    """What must be equal for a folder of results to be gone on with.

    Pictures in folders are known by their names, whatever else was read by what it held.
    """
    free = ("checkpoint", "out", "device", "sheet", "overwrite")
    record: dict[str, Any] = {"model": fingerprint(editor.checkpoint.model)}
    for name, value in vars(args).items():
        if name not in free:
            record[name] = str(value) if isinstance(value, Path) else value
    read = {"--background": background, "--subject": subject, "--pose-labels": editor.given_pose}
    for donor, other in zip(editor.donors, others, strict=True):
        read[f"--donor {donor.text}"] = other
    for flag, content in read.items():
        if not isinstance(content, Folder | None):
            record[f"content of {flag}"] = digest(content)
    if args.pairs is not None:
        record["content of --pairs"] = plan.digest
    return record


def _pose_words(args: argparse.Namespace) -> str:
    if args.pose_labels is not None:
        return f"under the label map {args.pose_labels}"
    return f"in the pose of the {args.pose}"


if __name__ == "__main__":
    run(main, PROG)
