# SPDX-License-Identifier: Apache-2.0
"""Make the figures of README.md and docs/: ``python docs/figures.py demo``."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from scam import semia
from scam.attention import main as draw_attention
from scam.commandline import command
from scam.commandline.device import open_device
from scam.data import Mannequins, PairDataset
from scam.data.convert import floating
from scam.data.sheet import save_sheet
from scam.editing.edit import Settings
from scam.editing.editor import Editor
from scam.editing.flags.transfer import FEATHER
from scam.editing.pictures import Picture
from scam.editing.transfers import sheet_columns
from scam.models import SynthesisModel
from scam.models.checkpoint import Checkpoint, load_checkpoint
from scam.synthesis.previews import preview_columns

PROG = "python docs/figures.py"
HERE = Path(__file__).parent
PICTURES = [9, 30, 20, 57]
PASTED = 9, 18
ATTENTION = "--data", "mannequins", "--picture", "mannequin_val_00003", "--overwrite"
TARGETS = ("move", "duplicate", "enlarge", "remove", "sketch")


def main(argv: Sequence[str] | None = None) -> None:
    """All figures that show what a model generates, and the embedded example of SemIA."""
    examples = (
        "  python docs/figures.py demo\n"
        "      mannequins.png, attention.png, paste.png and semia.png in docs\n"
        "  python docs/figures.py --out /tmp\n"
        "      semia.png alone"
    )
    parser = command.Parser(PROG, "Make the figures of README.md and docs.", examples)
    parser.add_argument(
        "checkpoint", nargs="?", help="what make train leaves (default: semia.png alone)"
    )
    parser.add_argument("--out", type=Path, default=HERE, help="default: docs")
    parser.add_argument(
        "--size", type=int, nargs=2, default=(220, 330), metavar=("H", "W"), help="of semia.png's"
    )
    parser.add_argument(
        "--refine", type=int, default=100, help="steps of refinement in mannequins.png"
    )
    args = parser.parse_args(argv)
    if args.checkpoint is not None:
        checkpoint = load_checkpoint(args.checkpoint, device=open_device(None))
        names = checkpoint.label_names
        columns = mannequins(checkpoint.model, args.refine)
        save_sheet(args.out / "mannequins.png", columns, label_names=names)
        save_sheet(args.out / "paste.png", pasted(checkpoint), label_names=names)
        draw_attention([args.checkpoint, *ATTENTION, "--out", str(args.out / "attention.png")])
    save_sheet(args.out / "semia.png", analogies(*args.size), rows=TARGETS)


@torch.no_grad()
def mannequins(model: SynthesisModel, refine: int) -> dict[str, Tensor]:
    """Held-out mannequins, reconstructed from encoded and from refined latents, and each in the
    next one's place.
    """
    pictures = PairDataset(Mannequins("val"), model.config.size)
    image, labels = map(
        torch.stack, zip(*(pictures.pair(index) for index in PICTURES), strict=True)
    )
    return preview_columns(model, image, labels, refine, len(image))


def pasted(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """A subject in a background of four times the model's size, as ``--paste-back`` does it."""
    height, width = checkpoint.model.config.size
    source, size = Mannequins("val"), (4 * height, 4 * width)
    background, subject = (Picture(*source.load(i, size), source.stem(i)) for i in PASTED)
    edited = Editor(checkpoint, Settings(feather=FEATHER))(background, subject, [])
    sources = [("subject", subject), ("background", background)]
    return sheet_columns(sources, background.labels, checkpoint.frame, ("pasted back", edited))


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
