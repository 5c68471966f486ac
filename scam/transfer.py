# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.transfer``: paint the subject of one photograph into another."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from scam import cli
from scam.checkpoint import load_checkpoint
from scam.editing import batch, fingerprint
from scam.editing.donors import FORM, Donor, parse_donor
from scam.editing.edit import Edited, Settings
from scam.editing.editor import Editor
from scam.editing.naming import naming
from scam.editing.pictures import Picture, label_tensor, resized, to_image
from scam.editing.sources import Finder, Folder, digest
from scam.editing.styles import Style
from scam.errors import InputError
from scam.files import expect_writable, write_aside
from scam.sheet import save_sheet
from scam.words import counted

PROG = "python -m scam.transfer"
EXAMPLES = """\
  python -m scam.transfer runs/mannequins --subject mannequin_val_00003 \\
      --background mannequin_val_00010 --out transfer.png --sheet transfer_sheet.png
      two held-out pictures of the data set that the model was trained on
  python -m scam.transfer runs/photos --subject anna.jpg anna_labels.png \\
      --background street.jpg street_labels.png --paste-back --out anna_in_street.png
      any two photographs with label maps; beyond a narrow edge around the person the street
      stays as it is
  python -m scam.transfer runs/mannequins --background mannequin_val_00010 \\
      --donor hair,face=mannequin_val_00003 --donor upper_body=mannequin_val_00007:0.7 \\
      --donor lower_body.2=lib:anna --out mixed.png
      hair and face of one, seven tenths of the coat of another, a single latent of a style
  python -m scam.transfer runs/mannequins --subject mannequin_val_00003 \\
      --background mannequin_val_00010 --interpolate 7 --out strip.png
      seven steps from one person to the other
  python -m scam.transfer runs/mannequins --subject mannequin_val_00003 \\
      --background mannequins --out everywhere
      one subject in every picture of a folder (here: the held-out mannequins)"""


_FEATHER = 4
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_MOST_STEPS = 256
_MOST_NOTES = 10


def main(argv: Sequence[str] | None = None) -> None:
    """Load, open what the pictures are called, mix their latents, paint, write the results."""
    args = _parser().parse_args(argv)
    _check(args)
    checkpoint = load_checkpoint(args.checkpoint, device=cli.device(args.device))
    donors = [parse_donor(text, checkpoint) for text in args.donor]
    _check_paths(args, donors)
    with naming("--background-labels"):
        scene = tuple(checkpoint.label(word) for word in args.background_labels)
    settings = Settings(
        scene,
        args.absent,
        args.interpolate,
        (_FEATHER if args.feather is None else args.feather) if args.paste_back else None,
    )
    finder = Finder(checkpoint, args.data, args.labels, args.library)
    subject = None if args.subject is None else _open(finder, "--subject", args.subject)
    background = _open(finder, "--background", args.background)
    others = [_open_donor(finder, donor) for donor in donors]
    finder.expect_used()
    if isinstance(background, Style):
        raise InputError(f"--background {args.background[0]}: is a style, expected a picture")
    pose = args.pose if args.pose_labels is None else Path(args.pose_labels)
    editor = Editor(checkpoint, settings, donors, pose)
    many = [source for source in (subject, *others, background) if isinstance(source, Folder)]
    if many:
        _edit_folder(args, editor, subject, background, others)
        return
    assert isinstance(background, Picture)
    one = [source for source in (subject, *others) if not isinstance(source, Folder | None)]
    _edit_picture(args, editor, None if subject is None else one.pop(0), background, one)


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
    if out.suffix.lower() not in _FORMATS:
        raise InputError(f"--out {out}: expected a {', '.join(_FORMATS)} file")
    if args.pairs is not None:
        raise InputError(f"--pairs {args.pairs}: expected --background and another to be folders")
    for flag, path in (("--out", out), ("--sheet", args.sheet)):
        if path is not None:
            with naming(f"{flag} {path}"):
                expect_writable(path)
    edited = editor(background, subject, others)
    if args.sheet is not None:
        _save_sheet(args.sheet, editor, subject, background, others, edited)
        print(f"sheet: {args.sheet}")
    with write_aside(out) as file:
        Image.fromarray(edited.pixels).save(file, format=_FORMATS[out.suffix.lower()])
    _print_notes(edited.notes)
    given = [*(args.subject or [])[:1], *args.donor]
    print(f"{out}: {', '.join(given)} in {args.background[0]}, {_pose_words(args)}")


def _save_sheet(
    path: str,
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
    save_sheet(path, columns, min_height=384)


def _edit_folder(
    args: argparse.Namespace,
    editor: Editor,
    subject: batch.Source | None,
    background: Picture | Folder,
    others: Sequence[batch.Source],
) -> None:
    out = Path(args.out)
    if out.suffix.lower() in _FORMATS:
        raise InputError(f"--out {out}: expected a folder, since a folder of pictures is given")
    if args.sheet is not None:
        raise InputError(f"--sheet {args.sheet}: expected single pictures, not a folder of them")
    taken = [*([] if subject is None else [subject]), *others]
    plan = batch.make_plan(background, taken, args.pairs)
    batch.open_out(out, _record(args, editor, background, subject, others, plan))

    def make(name: str) -> Edited:
        pictures = [plan.other(source, name) for source in taken]
        whose = None if subject is None else pictures.pop(0)
        return editor(plan.background(background, name), whose, pictures)

    count, notes = batch.run(out, plan.names, make)
    _print_notes(notes)
    there = len(plan.names) - count
    were = f", {there} {'was' if there == 1 else 'were'} there already" if there else ""
    print(f"{out}: {counted(count, 'picture')}{were}")


def _print_notes(notes: Sequence[str]) -> None:
    for note in notes[:_MOST_NOTES]:
        print(note)
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
    free = ("checkpoint", "out", "device", "sheet")
    record: dict[str, Any] = {"model": fingerprint(editor.checkpoint.model)}
    for name, value in vars(args).items():
        if name not in free:
            record[name] = str(value) if isinstance(value, Path) else value
    read = {"--background": background, "--subject": subject, "--pose-labels": editor.given_pose}
    for donor, other in zip(editor.donors, others, strict=True):
        read[f"--donor {donor.text}"] = other
    for flag, found in read.items():
        if not isinstance(found, Folder | None):
            record[f"content of {flag}"] = digest(found)
    if args.pairs is not None:
        record["content of --pairs"] = plan.digest
    return record


def _check(args: argparse.Namespace) -> None:
    out = Path(args.out)
    if args.subject is None and not args.donor:
        raise InputError("--subject, --donor: expected at least one of them")
    if args.interpolate is not None and not 2 <= args.interpolate <= _MOST_STEPS:
        raise InputError(f"--interpolate {args.interpolate}: expected 2 to {_MOST_STEPS} pictures")
    if args.paste_back and out.suffix.lower() in set(_FORMATS) - {".png"}:
        raise InputError(f"--out {out}: --paste-back keeps pixels exactly, which needs a .png")
    if args.sheet is not None and Path(args.sheet).suffix.lower() != ".png":
        raise InputError(f"--sheet {args.sheet}: expected a .png file")
    if args.feather is not None and not (args.paste_back and 0 <= args.feather <= 256):
        raise InputError(
            f"--feather {args.feather}: expected 0 to 256, together with --paste-back"
        )


def _check_paths(args: argparse.Namespace, donors: Sequence[Donor]) -> None:
    of_donors = [word for donor in donors for word in (donor.picture, *donor.picture.split(","))]
    named = [args.pose_labels, *(args.subject or []), *args.background, *of_donors]
    inputs = {Path(name).resolve() for name in named if name is not None}
    for flag, name in (("--out", args.out), ("--sheet", args.sheet)):
        if name is not None and Path(name).resolve() in inputs:
            raise InputError(f"{flag} {name}: is one of the pictures to read")
    if args.sheet is not None and Path(args.sheet).resolve() == Path(args.out).resolve():
        raise InputError(f"--sheet {args.sheet}: is also --out")


def _pose_words(args: argparse.Namespace) -> str:
    if args.pose_labels is not None:
        return f"under the label map {args.pose_labels}"
    return f"in the pose of the {args.pose}"


def _parser() -> argparse.ArgumentParser:
    parser = cli.Parser(PROG, "Paint the subject of one photograph into another.", EXAMPLES)
    parser.add_argument("checkpoint", help="a training run's folder, or one of its step folders")
    given = (
        "image and label map; or one of: IMAGE,LABELS, an image of a data folder, the name of a "
        "picture in --data, lib:NAME or a .safetensors style (not as background), a data folder"
    )
    parser.add_argument("--subject", nargs="+", metavar="FILE", help=given)
    parser.add_argument(
        "--background", nargs="+", required=True, metavar="FILE", help="likewise: scene and pose"
    )
    parser.add_argument(
        "--donor",
        action="append",
        default=[],
        metavar="LABEL=PICTURE[:WEIGHT]",
        help=f"{FORM}: give these labels, or one latent of a label, the latents of another picture"
        " or style, or so much of them (0 to 1); may be repeated",
    )
    parser.add_argument(
        "--interpolate",
        type=int,
        metavar="N",
        help="a strip of N pictures from the background picture's own latents to the edited ones",
    )
    parser.add_argument(
        "--out",
        required=True,
        help="picture to write, of the model's size; with --paste-back of the background's; "
        "a folder where a folder of pictures is given",
    )
    parser.add_argument(
        "--pairs",
        type=Path,
        metavar="FILE",
        help='who meets whom in two folders: {"donors": {"background": "other"}} '
        "(default: equal names)",
    )
    parser.add_argument("--data", help="data set of named pictures (default: the model's own)")
    parser.add_argument("--labels", help="its folder of label maps (default: the model's own)")
    parser.add_argument(
        "--library", type=Path, metavar="DIR", help="folder of styles (default: the run's styles/)"
    )
    poses = parser.add_mutually_exclusive_group()
    poses.add_argument(
        "--pose",
        choices=("background", "subject"),
        default="background",
        help="whose label map is painted (default: background)",
    )
    poses.add_argument("--pose-labels", metavar="FILE", help="another label map to paint")
    parser.add_argument(
        "--background-labels",
        nargs="+",
        default=["0"],
        metavar="LABEL",
        help="labels, by name or number, that a subject leaves to the background (default: 0)",
    )
    parser.add_argument(
        "--absent",
        choices=("background", "mean", "error"),
        default="background",
        help="where a label comes from that a subject's or donor's picture lacks "
        "(default: background)",
    )
    parser.add_argument(
        "--paste-back",
        action="store_true",
        help="keep the background photograph, to the pixel, beyond the feathered edge",
    )
    parser.add_argument("--feather", type=int, help=f"pixels of edge (default: {_FEATHER})")
    parser.add_argument("--sheet", metavar="FILE", help="also a sheet of all pictures and result")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda if there is one)")
    return parser


if __name__ == "__main__":
    cli.run(main, PROG)
