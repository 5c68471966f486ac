# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.styles``: keep the latents of images, for scam.transfer to give again."""

import argparse
import sys
from collections.abc import Callable, Sequence

from scam.commandline.command import Parser, in_flags, run
from scam.commandline.console import say
from scam.commandline.device import open_device
from scam.commandline.start import ABOUT
from scam.editing.flags.styles import EXAMPLES, add_parser, list_parser, mean_parser
from scam.editing.library import add_mean, add_picture, styles_in
from scam.editing.sources import Finder
from scam.editing.styles import Style, fingerprint
from scam.errors import InputError, counted
from scam.models.checkpoint import load_checkpoint

PROG = "python -m scam.styles"
_MOST_NAMES = 20


@in_flags
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command that the first word names."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = Parser(PROG, ABOUT["styles"], EXAMPLES)
    parser.add_argument("command", choices=COMMANDS, help="followed by its own arguments")
    COMMANDS[parser.parse_args(words[:1]).command](words[1:])


def add(words: Sequence[str]) -> None:
    """Encode one image and keep its latents."""
    args = add_parser(PROG).parse_args(words)
    finder = _finder(args, args.data, args.labels)
    more = {"refine": args.refine, "overwrite": args.overwrite}
    _tell(add_picture(finder, args.picture, args.name, **more))


def average(words: Sequence[str]) -> None:
    """Keep the mean latents of a data set."""
    args = mean_parser(PROG).parse_args(words)
    finder = _finder(args, None, args.labels)
    most, overwrite = args.max_pictures, args.overwrite
    _tell(add_mean(finder, args.data, args.name, most, overwrite=overwrite))


def show(words: Sequence[str]) -> None:
    """Print what the library holds."""
    args = list_parser(PROG).parse_args(words)
    checkpoint = load_checkpoint(args.checkpoint, device=open_device(args.device))
    library = Finder(checkpoint, library=args.library).library
    ours, found = fingerprint(checkpoint.model), list(styles_in(library))
    say(f"{library}: {counted(len(found), 'style')}, model {ours}")
    for name, style in found:
        if isinstance(style, InputError):
            say(f"  {name}: {style}")
            continue
        fits = "" if style.model == ours else f" (of another model, {style.model})"
        more = len(style.labels) - _MOST_NAMES
        labels = style.labels[:_MOST_NAMES] + ([f"{more} more"] if more > 0 else [])
        say(f"  {name}{fits}: {style.source}; {', '.join(labels)}")


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {"add": add, "mean": average, "list": show}


def _finder(args: argparse.Namespace, data: str | None, labels: str | None) -> Finder:
    checkpoint = load_checkpoint(args.checkpoint, device=open_device(args.device))
    return Finder(checkpoint, data, labels, args.library, new_library=True)


def _tell(style: Style) -> None:
    held, every = len(style.labels), len(style.label_names)
    say(f"{style.path}: {held} of {every} labels, from {style.source}")


if __name__ == "__main__":
    run(main, PROG)
