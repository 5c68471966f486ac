# SPDX-License-Identifier: Apache-2.0
"""``scam COMMAND``, also ``python -m scam COMMAND``: every command by its name."""

import runpy
import sys
from collections.abc import Sequence

from scam.commandline import start
from scam.commandline.command import Parser, run
from scam.errors import InputError, did_you_mean
from scam.version import __version__

PROG = "python -m scam"
ABOUT = "Swap people between photographs and edit images by label map."
EXAMPLES = """\
  python -m scam.train --amp --fused-sca
      train on drawn mannequins; a sheet of images within minutes on two cores
  python -m scam.train --help
      help of one command, as python -m scam help train"""


def script() -> None:
    """The console script ``scam``."""
    start.prepare(script=True)
    call(sys.argv[1:])


def call(words: Sequence[str]) -> None:
    """Run the command that ``words`` begin with, as ``python -m`` runs its module."""
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    if words and words[0] in start.ABOUT:
        sys.argv[1:] = words[1:]
        runpy.run_module(f"scam.{words[0]}", run_name="__main__", alter_sys=True)
    else:
        run(lambda _: main(words), PROG)


def main(argv: Sequence[str] | None = None) -> None:
    """Show what there is, or say that there is no such command."""
    words = sys.argv[1:] if argv is None else argv
    if words and not words[0].startswith("-"):
        name = words[0] or "''"
        known = ", ".join(start.ABOUT)
        near = did_you_mean(name, start.ABOUT) or f"; expected one of {known}"
        raise InputError(f"{name}: no such command{near}")
    width = max(map(len, start.ABOUT))
    rows = [f"  {name:{width}}  {about}" for name, about in start.ABOUT.items()]
    about = "\n".join([ABOUT, "", "commands:", *rows])
    parser = Parser(PROG, about, EXAMPLES)
    parser.usage = "%(prog)s COMMAND ... | help COMMAND"
    parser.add_argument("--version", action="version", version=f"scam {__version__}")
    parser.parse_args(words)
    parser.print_help()


if __name__ == "__main__":
    call(sys.argv[1:])
