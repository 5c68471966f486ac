# SPDX-License-Identifier: Apache-2.0
"""Make the figures of README.md and docs/: ``python docs/figures.py runs/mannequins``."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

import scam
from scam import semia
from scam.commandline import command
from scam.data import Mannequins, PairDataset
from scam.data.convert import floating
from scam.data.sheet import save_sheet
from scam.synthesis.previews import preview

PROG = "python docs/figures.py"
HERE = Path(__file__).parent
PICTURES = [9, 18, 3, 30]
TARGETS = ("move", "duplicate", "enlarge", "remove", "sketch")


def main(argv: Sequence[str] | None = None) -> None:
    """Mannequins by the model of a run, and the embedded example of SemIA."""
    examples = "  python docs/figures.py runs/mannequins\n  python docs/figures.py --out /tmp"
    parser = command.Parser(PROG, "Make mannequins.png of a run, and semia.png.", examples)
    parser.add_argument("run", nargs="?", help="what make train leaves (default: semia.png alone)")
    parser.add_argument("--out", type=Path, default=HERE, help="default: docs")
    parser.add_argument(
        "--size", type=int, nargs=2, default=(220, 330), metavar=("H", "W"), help="of semia.png's"
    )
    args = parser.parse_args(argv)
    if args.run is not None:
        save_sheet(args.out / "mannequins.png", mannequins(args.run))
    save_sheet(args.out / "semia.png", analogies(*args.size), rows=TARGETS)


@torch.no_grad()
def mannequins(run: str) -> dict[str, Tensor]:
    """Held-out mannequins, reconstructed, and each in the next one's place."""
    model = scam.load(run)
    pictures = PairDataset(Mannequins("val"), model.config.size)
    image, labels = map(
        torch.stack, zip(*(pictures.pair(index) for index in PICTURES), strict=True)
    )
    reconstruction, transfer = preview(model, image, labels)
    return {
        "input": image,
        "labels": labels,
        "reconstruction": reconstruction,
        "transfer of next row": transfer,
    }


def analogies(height: int, width: int) -> dict[str, Tensor]:
    """The embedded example under other label maps, by patches."""
    source = semia.example(height, width)
    analogy = semia.learn(source.image, source.labels)
    targets = [source.targets[name] for name in TARGETS]
    results = [floating(analogy(target)) for target in targets]
    count = len(TARGETS)
    return {
        "source": floating(source.image).expand(count, -1, -1, -1),
        "its labels": source.labels.expand(count, -1, -1),
        "target": torch.stack(targets),
        "result": torch.stack(results),
    }


if __name__ == "__main__":
    command.run(main, PROG)
