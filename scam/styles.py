# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.styles``: keep the latents of pictures, for scam.transfer to give again."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

import torch
from PIL import Image

from scam.commandline.command import Parser, in_flags, open_device, run
from scam.commandline.console import say
from scam.commandline.progress import progress
from scam.data.subset import evenly
from scam.editing.latents import mean
from scam.editing.paste import Pixels
from scam.editing.pictures import Picture, label_tensor, resized, to_pixels
from scam.editing.sources import Finder, Folder, encode
from scam.editing.styles import SUFFIX, Style, fingerprint, read_style, save_style
from scam.errors import InputError, counted
from scam.models.checkpoint import Checkpoint, load_checkpoint
from scam.models.styles import Styles
from scam.storage.files import sweep
from scam.storage.outputs import expect_outputs

PROG = "python -m scam.styles"
EXAMPLES = """\
  python -m scam.styles add runs/mannequins --picture mannequin_val_00003 --name anna
      runs/mannequins/styles/anna.safetensors and a thumbnail beside it
  python -m scam.styles mean runs/mannequins --data mannequins --max-pictures 16 --name everybody
      the mean of many pictures, each label's over the pictures that hold it
  python -m scam.styles list runs/mannequins
      what is kept, and whether these weights can still use it
  python -m scam.transfer runs/mannequins --background mannequin_val_00010 \\
      --donor hair=lib:anna --out borrowed.png
      give it to somebody"""

_MOST_NAMES = 20


@in_flags
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command that the first word names."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = Parser(PROG, "Keep the latents of pictures, to give them again.", EXAMPLES)
    parser.add_argument("command", choices=COMMANDS, help="followed by its own arguments")
    COMMANDS[parser.parse_args(words[:1]).command](words[1:])


def add(words: Sequence[str]) -> None:
    """Encode one picture and keep its latents."""
    parser = _parser("add", "Keep the latents of a picture.")
    parser.add_argument(
        "--picture", nargs="+", required=True, metavar="FILE",
        help="image and label map; or one of: IMAGE,LABELS, an image of a data folder, the name of"
        " a picture in --data",
    )  # fmt: skip
    parser.add_argument("--name", help="of the style (default: the picture's)")
    parser.add_argument("--data", help="data set of named pictures (default: the model's own)")
    args = parser.parse_args(words)
    checkpoint, finder = _open(args, args.data, new_library=True)
    picture = finder.open("--picture", args.picture)
    if isinstance(picture, Style):
        raise InputError(f"--picture {args.picture[0]}: is a style already, expected a picture")
    finder.expect_used()
    path = _free_path(args, finder, Path(picture.name).stem if args.name is None else args.name)
    size = checkpoint.model.config.size
    small = resized(picture.photo, size, Image.Resampling.BILINEAR)
    latents = encode(picture, checkpoint)
    _save(path, checkpoint, latents, picture.name, small, args.overwrite)


def average(words: Sequence[str]) -> None:
    """Keep the mean latents of a data set."""
    parser = _parser("mean", "Keep the mean latents of many pictures.")
    parser.add_argument("--data", required=True, help="a data folder, or mannequins (held out)")
    parser.add_argument("--name", default="mean", help="of the style (default: mean)")
    parser.add_argument("--max-pictures", type=int, metavar="N", help="N of them, spread evenly")
    args = parser.parse_args(words)
    if args.max_pictures is not None and args.max_pictures < 1:
        raise InputError(f"--max-pictures {args.max_pictures}: expected 1 or more")
    checkpoint, finder = _open(args, None, new_library=True)
    folder = finder.folder("--data", [args.data])
    if folder is None:
        raise InputError(f"--data {args.data}: expected a data folder, or mannequins")
    path = _free_path(args, finder, args.name)
    every = len(folder.stems)
    stems = [folder.stems[i] for i in evenly(every, args.max_pictures or every)]
    latents = mean(_encoded(folder, stems, checkpoint), checkpoint.model.token_labels)
    latents = latents.to(checkpoint.model.token_labels.device)
    shown = _paint_first(folder.load(stems[0]), latents, checkpoint)
    source = f"mean of {counted(len(stems), 'picture')} of {folder.name}"
    _save(path, checkpoint, latents, source, shown, args.overwrite)


def show(words: Sequence[str]) -> None:
    """Print what the library holds."""
    parser = _parser("list", "What is kept, and whether these weights can still use it.")
    args = parser.parse_args(words)
    checkpoint, finder = _open(args, None)
    ours = fingerprint(checkpoint.model)
    names = os.listdir(finder.library) if os.path.lexists(finder.library) else []
    paths = [finder.library / name for name in sorted(names) if fnmatch(name, f"[!.]*{SUFFIX}")]
    say(f"{finder.library}: {counted(len(paths), 'style')}, model {ours}")
    for path in paths:
        try:
            style = read_style(path)
        except InputError as error:
            say(f"  {path.stem}: {error}")
            continue
        fits = "" if style.model == ours else f" (of another model, {style.model})"
        more = len(style.labels) - _MOST_NAMES
        names = style.labels[:_MOST_NAMES] + ([f"{more} more"] if more > 0 else [])
        say(f"  {style.name}{fits}: {style.source}; {', '.join(names)}")


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {"add": add, "mean": average, "list": show}


def _encoded(folder: Folder, stems: Sequence[str], checkpoint: Checkpoint) -> Iterator[Styles]:
    with progress("mean", len(stems)) as bar:
        for stem in stems:
            yield encode(folder.load(stem), checkpoint)
            bar.update()


@torch.no_grad()
def _paint_first(picture: Picture, latents: Styles, checkpoint: Checkpoint) -> Pixels:
    model = checkpoint.model
    labels = label_tensor(picture.labels, model.config.size, latents.tokens.device)
    return to_pixels(model.generate(labels, latents, model.fixed_noise())[0])


def _save(
    path: Path,
    checkpoint: Checkpoint,
    latents: Styles,
    source: str,
    shown: Pixels,
    overwrite: bool,
) -> None:
    names = checkpoint.label_names
    save_style(path, checkpoint.model, latents, names, source, shown, overwrite=overwrite)
    held = int(latents.present.sum())
    say(f"{path}: {held} of {len(names)} labels, from {source}")


def _open(
    args: argparse.Namespace, data: str | None, *, new_library: bool = False
) -> tuple[Checkpoint, Finder]:
    checkpoint = load_checkpoint(args.checkpoint, device=open_device(args.device))
    return checkpoint, Finder(checkpoint, data, args.labels, args.library, new_library=new_library)


def _free_path(args: argparse.Namespace, finder: Finder, name: str) -> Path:
    if not name or name != Path(name).name or name.startswith(".") or ":" in name:
        found = name or "''"
        raise InputError(
            f"--name {found}: expected a file name without folder, colon or leading dot"
        )
    path: Path = finder.library / f"{name}{SUFFIX}"
    outputs = [(f"--name {name}", file) for file in (path, path.with_suffix(".png"))]
    expect_outputs(outputs, finder.inputs, overwrite=args.overwrite)
    sweep(finder.library)
    return path


def _parser(command: str, what: str) -> Parser:
    parser = Parser(f"{PROG} {command}", what, EXAMPLES)
    parser.add_checkpoint()
    parser.add_argument(
        "--library", type=Path, metavar="DIR", help="folder of styles (default: the run's styles/)"
    )
    if command != "list":
        parser.add_argument("--labels", help="name of the data's folder of label maps")
        parser.add_overwrite("--replace")
    parser.set_defaults(labels=None)
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda if there is one)")
    return parser


if __name__ == "__main__":
    run(main, PROG)
