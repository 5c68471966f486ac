# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.semia``: generate one image under other label maps."""

import sys
from collections.abc import Sequence

from scam.commandline.command import Parser, in_flags, run
from scam.commandline.start import ABOUT
from scam.semia.commands import apply, evaluate, train

PROG = "python -m scam.semia"
COMMANDS = {"train": train, "apply": apply, "evaluate": evaluate}
EXAMPLES = """\
  python -m scam.semia train --out runs/lake
      the embedded example, without learning: seconds; targets are written to runs/lake/targets
  python -m scam.semia apply runs/lake runs/lake/targets --out edited
      the image under each of these label maps
  python -m scam.semia train photo.png labels.png --out runs/photo --method network --seconds 300
      your own image, refined by a network in five minutes
  python -m scam.semia evaluate runs/lake runs/lake/targets
      does the result show its label map, and look like the source?
  python -m scam.semia train --help
      help of one command"""


@in_flags
def main(argv: Sequence[str] | None) -> None:
    """Run the command that the first word names."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = Parser(PROG, ABOUT["semia"], EXAMPLES)
    parser.add_argument("command", choices=COMMANDS, help="followed by its own arguments")
    COMMANDS[parser.parse_args(words[:1]).command].main(words[1:])


if __name__ == "__main__":
    run(main, PROG)
