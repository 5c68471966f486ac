# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.transfer``: transfer the subject of one photograph into another."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from scam.commandline.command import in_flags, run
from scam.commandline.console import say
from scam.commandline.device import open_device
from scam.data.gallery import INDEX
from scam.editing.donors import parse_donor
from scam.editing.editor import Editor
from scam.editing.flags import transfer as flags
from scam.editing.sources import Finder
from scam.editing.transfers import edit_folder, edit_picture, open_given
from scam.errors import counted, leading
from scam.models.checkpoint import load_checkpoint

PROG = "python -m scam.transfer"


@in_flags
def main(argv: Sequence[str] | None = None) -> None:
    """Load, open the named images, mix their latents, generate, write the results."""
    args = flags.transfer_parser(PROG).parse_args(argv)
    flags.check_flags(args)
    checkpoint = load_checkpoint(args.checkpoint, device=open_device(args.device), fit=args.fit)
    donors = [parse_donor(text, checkpoint) for text in args.donor]
    flags.check_paths(args, donors, checkpoint.files)
    settings = flags.edit_settings(args, checkpoint)
    finder = Finder(checkpoint, args.data, args.labels, args.library)
    given = open_given(finder, args.subject, args.background, donors)
    flags.check_paths(args, donors, finder.inputs)
    pose = args.pose
    if args.pose_labels is not None:
        pose = Path(args.pose_labels)
        with leading("pose_labels", pose):
            finder.expect_names_of(pose)
    editor = Editor(checkpoint, settings, donors, pose)
    flags.check_results(args, given)
    out = Path(args.out)
    if given.folders:
        count, every, told = edit_folder(
            editor, given, out, args.pairs, vars(args), page=args.html
        )
        if args.html:
            say(f"page: {out / INDEX}")
        there = every - count
        were = f", {there} existed already" if there else ""
        say(*told, f"{out}: {counted(count, 'image')}{were}")
        return
    sheet = None if args.sheet is None else Path(args.sheet)
    noted = edit_picture(editor, given, out, sheet, scale=args.scale, overwrite=args.overwrite)
    if sheet is not None:
        say(f"sheet: {args.sheet}")
    who = ", ".join(map(shlex.quote, [*(args.subject or [])[:1], *args.donor]))
    where = shlex.quote(args.background[0])
    say(*noted, f"{out}: {who} in {where}, {_pose_words(args)}")


def _pose_words(args: argparse.Namespace) -> str:
    if args.pose_labels is not None:
        return f"under the label map {shlex.quote(args.pose_labels)}"
    return f"in the pose of the {args.pose}"


if __name__ == "__main__":
    run(main, PROG)
