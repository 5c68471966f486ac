# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.data``: make label maps, prepare data sets, check folders before training."""

import sys
from collections.abc import Sequence

from scam.commandline.command import Parser, in_flags, run
from scam.commandline.start import ABOUT
from scam.data.commands import check, label, prepare

PROG = "python -m scam.data"
COMMANDS = {"label": label, "check": check, "prepare": prepare}
EXAMPLES = """\
  python -m scam.data label photos --parser person_parser:label_map
      a function of yours makes label maps of the photographs in photos/images
  python -m scam.data prepare celebamask-hq CelebAMask-HQ faces --size 256 256
      a downloaded data set becomes a folder that scam.train reads
  python -m scam.data check faces
      its contents, and every file that cannot be used
  python -m scam.data check --help
      help of one command"""


@in_flags
def main(argv: Sequence[str] | None) -> None:
    """Run the command that the first word names."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = Parser(PROG, ABOUT["data"], EXAMPLES)
    parser.add_argument("command", choices=COMMANDS, help="followed by its own arguments")
    COMMANDS[parser.parse_args(words[:1]).command].main(words[1:])


if __name__ == "__main__":
    run(main, PROG)
