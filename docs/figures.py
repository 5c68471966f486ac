# SPDX-License-Identifier: Apache-2.0
"""Make the README's picture: ``python docs/figures.py runs/mannequins``."""

from collections.abc import Sequence
from pathlib import Path

import scam
from scam.commandline import command
from scam.data import Mannequins, PairDataset
from scam.synthesis.previews import paint_sheet

PROG = "python docs/figures.py"
PICTURES = [9, 18, 3, 30]


def main(argv: Sequence[str] | None = None) -> None:
    """Paint held-out mannequins by the model of a run."""
    example = "  python docs/figures.py runs/mannequins"
    parser = command.Parser(PROG, "Paint held-out mannequins for the README.", example)
    parser.add_argument("run", help="what make train leaves")
    default = Path(__file__).with_name("mannequins.png")
    parser.add_argument("--out", type=Path, default=default, help="default: docs/mannequins.png")
    args = parser.parse_args(argv)
    model = scam.load(args.run)
    paint_sheet(model, PairDataset(Mannequins("val"), model.config.size), args.out, PICTURES)


if __name__ == "__main__":
    command.run(main, PROG)
