# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.semia apply``: the source under target label maps."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from scam.commandline.command import Parser
from scam.commandline.console import say
from scam.commandline.device import open_device
from scam.commandline.progress import progress
from scam.data import colorize
from scam.data.convert import floating
from scam.data.sheet import save_sheet
from scam.errors import InputError, within
from scam.semia.analogy import opened
from scam.semia.folder import LABELS, SOURCE, Stored, read_folder, write_image
from scam.semia.labels import Absent, Target, read_targets
from scam.storage.outputs import expect_outputs

PROG = "python -m scam.semia apply"
SHEET = "sheet.png"
EXAMPLES = """\
  python -m scam.semia apply runs/lake edited.png --out results
      results/edited.png, and results/sheet.png with source, label map and result
  python -m scam.semia apply runs/lake targets --out results --absent nearest
      every label map in the folder targets; labels that the source lacks are replaced"""


def main(argv: Sequence[str]) -> None:
    """Read the folder and the label maps, generate, write images and a sheet."""
    args = _parser().parse_args(argv)
    device = open_device(args.device)
    stored = read_folder(args.dir)
    targets = read_targets(
        args.labels, stored.vocabulary, absent=args.absent, source_size=stored.own_size
    )
    names = _names(targets)
    files = [args.out / f"{name}.png" for name in names]
    expect_outputs(
        [("out", args.out, path) for path in (*files, args.out / SHEET)],
        [args.dir / SOURCE, args.dir / LABELS, *targets],
        overwrite=args.overwrite,
    )
    analogy = opened(stored, device)
    for target in targets.values():
        say(*target.notes)
    made = {}
    with progress("generating", 100 * len(targets), unit=None, logged=True) as bar:
        for number, (path, target) in enumerate(targets.items()):
            with within(path):
                labels = stored.working(target.labels)
                image = analogy.generate(labels, partial(_tell, bar, number))
            # At once: who stops it keeps what is done.
            write_image(files[number], image, overwrite=args.overwrite)
            made[names[number]] = labels, image
            _tell(bar, number, 1)
    write_sheet(args.out / SHEET, stored, made)
    say(f"{len(files)} written to {args.out}", f"sheet: {args.out / SHEET}")


def _tell(bar: Any, number: int, share: float) -> None:
    """Of result ``number`` this share is done."""
    bar.update(round(100 * (number + share)) - bar.n)


def write_sheet(path: Path, stored: Stored, made: dict[str, tuple[Tensor, Tensor]]) -> None:
    """Source, its label map, target and result, a row for each result; smaller ones on white.

    made: by name the target label map (h, w) and the image uint8 (3, h, w).
    """
    source = stored.image, stored.labels
    size = tuple(
        max(x.shape[at - 2] for x in (source[1], *(labels for labels, _ in made.values())))
        for at in range(2)
    )
    rows = [
        (_on_white(source[0], size), _on_white(_coloured(source[1]), size),
         _on_white(_coloured(labels), size), _on_white(image, size))
        for labels, image in made.values()
    ]  # fmt: skip
    columns = [torch.stack(column) for column in zip(*rows, strict=True)]
    captions = ("source", "labels", "target", "result")
    save_sheet(path, dict(zip(captions, columns, strict=True)), rows=list(made))


def _on_white(image: Tensor, size: Sequence[int]) -> Tensor:
    canvas = torch.ones(3, *size)
    canvas[:, : image.shape[1], : image.shape[2]] = floating(image.cpu())
    return canvas


def _coloured(labels: Tensor) -> Tensor:
    return torch.from_numpy(colorize(labels.cpu().numpy())).permute(2, 0, 1)


def _names(targets: dict[Path, Target]) -> list[str]:
    """Names of results: those of the files; InputError where two are one."""
    seen: dict[str, Path] = {}
    for path in targets:
        if path.stem in seen or path.stem == Path(SHEET).stem:
            taken = seen.get(path.stem, f"{SHEET}, which this command writes")
            raise InputError(f"{path}: has the name of {taken}; expected another")
        seen[path.stem] = path
    return list(seen)


def _parser() -> Parser:
    parser = Parser(PROG, "Generate the source under other label maps.", EXAMPLES)
    parser.add_argument("dir", type=Path, help="what `train` left")
    parser.add_argument(
        "labels", nargs="+", type=Path,
        help="label maps in the source's labels, of any size, or folders of them",
    )  # fmt: skip
    parser.add_argument("--out", required=True, type=Path, help="folder for images and sheet")
    parser.add_argument(
        "--absent", choices=get_args(Absent), default="error",
        help="what becomes of labels that the source lacks: an error, or the nearest label "
        "(default: error)",
    )  # fmt: skip
    parser.add_overwrite()
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda if there is one)")
    return parser
