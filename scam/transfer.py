# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.transfer``: paint the subject of one photograph into another."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from scam import cli
from scam.data import FolderPairs, open_source
from scam.data.pairs import read_pair
from scam.data.source import PairSource
from scam.editing import paste_back, touched_pixels
from scam.errors import InputError
from scam.files import write_aside
from scam.training.loading import Checkpoint, load_checkpoint
from scam.training.run_folder import CONFIG, read_json
from scam.training.sheet import save_sheet

PROG = "python -m scam.transfer"
EXAMPLES = """\
  python -m scam.transfer runs/mannequins --subject mannequin_val_00003 \\
      --background mannequin_val_00010 --out transfer.png --sheet transfer_sheet.png
      two held-out pictures of the data set that the model was trained on
  python -m scam.transfer runs/photos --subject anna.jpg anna_labels.png \\
      --background street.jpg street_labels.png --paste-back --out anna_in_street.png
      any two photographs with label maps; beyond a narrow edge around the person the street
      stays as it is"""


_FEATHER = 4
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


@dataclass(frozen=True)
class Picture:
    """A photograph at its own size and, for the model, at the model's."""

    photo: NDArray[np.uint8]
    labels: NDArray[np.int32]

    def tensors(self, size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
        """Image (1, 3, H, W) in [-1, 1] and labels (1, H, W)."""
        photo = _resized(self.photo, size, Image.Resampling.BILINEAR)
        image = torch.from_numpy(photo).permute(2, 0, 1).float() / 127.5 - 1
        labels = torch.from_numpy(_nearest(self.labels, size))
        return image[None].to(device), labels[None].to(device)


def main(argv: Sequence[str] | None = None) -> None:
    """Load, encode both pictures, mix their latents, paint, and write the result."""
    args = _parser().parse_args(argv)
    out = _checked_out(args)
    device = cli.device(args.device)
    checkpoint = load_checkpoint(args.checkpoint, device=device)
    subject, background = _open_pictures(args, checkpoint)
    pose = subject.labels if args.pose == "subject" else background.labels
    if args.pose_labels is not None:
        pose = checkpoint.label_values.read(Path(args.pose_labels))
        if args.paste_back and pose.shape != background.labels.shape:
            raise InputError(
                f"--pose-labels {args.pose_labels}: is {pose.shape[1]}x{pose.shape[0]}, expected "
                f"the {background.labels.shape[1]}x{background.labels.shape[0]} of the background"
            )
    scene = [checkpoint.label(word) for word in args.background_labels]

    model = checkpoint.model
    size = model.config.size
    wanted = torch.from_numpy(_nearest(pose, size))[None].to(device)
    subject_pair, background_pair = (p.tensors(size, device) for p in (subject, background))
    with torch.no_grad():
        painted = model.transfer(
            subject_pair,
            background_pair,
            labels=wanted,
            background_labels=scene,
            absent=args.absent,
        )
    result = _to_pixels(painted[0])
    if args.paste_back:
        shape = background.labels.shape
        touched = touched_pixels(background.labels, _nearest(pose, shape), scene)
        enlarged = _resized(result, shape, Image.Resampling.BICUBIC)
        feather = _FEATHER if args.feather is None else args.feather
        result = paste_back(background.photo, enlarged, touched, feather)
    if args.sheet is not None:
        columns = {
            "subject": subject_pair[0],
            "background": background_pair[0],
            "labels": wanted,
            "transfer": painted,
        }
        save_sheet(args.sheet, columns, min_height=384)
        print(f"sheet: {args.sheet}")
    with write_aside(out) as file:
        Image.fromarray(result).save(file, format=_FORMATS[out.suffix.lower()])
    print(f"{out}: {args.subject[0]} in {args.background[0]}, {_pose_words(args)}")


def _checked_out(args: argparse.Namespace) -> Path:
    out = Path(args.out)
    if out.suffix.lower() not in _FORMATS:
        raise InputError(f"--out {out}: expected a {', '.join(_FORMATS)} file")
    if args.paste_back and out.suffix.lower() != ".png":
        raise InputError(f"--out {out}: --paste-back keeps pixels exactly, which needs a .png")
    if args.sheet is not None and Path(args.sheet).suffix.lower() != ".png":
        raise InputError(f"--sheet {args.sheet}: expected a .png file")
    if args.feather is not None and not (args.paste_back and 0 <= args.feather <= 256):
        raise InputError(
            f"--feather {args.feather}: expected 0 to 256, together with --paste-back"
        )
    named = [args.pose_labels, *args.subject, *args.background]
    inputs = {Path(name).resolve() for name in named if name is not None}
    for flag, name in (("--out", args.out), ("--sheet", args.sheet)):
        if name is not None and Path(name).resolve() in inputs:
            raise InputError(f"{flag} {name}: is one of the pictures to read")
    if args.sheet is not None and Path(args.sheet).resolve() == out.resolve():
        raise InputError(f"--sheet {args.sheet}: is also --out")
    return out


def _open_pictures(args: argparse.Namespace, checkpoint: Checkpoint) -> list[Picture]:
    """Subject and background, from files or by name from a data set that is read once."""
    given = {"--subject": args.subject, "--background": args.background}
    for flag, words in given.items():
        if len(words) > 2:
            raise InputError(f"{flag} {' '.join(words)}: expected an image and its label map")
    sources = []
    if any(len(words) == 1 for words in given.values()):
        sources = _sources(args, checkpoint)
    elif args.data is not None or args.labels is not None:
        raise InputError("--data, --labels: of no use when both pictures are given as files")
    return [
        _read(Path(words[0]), Path(words[1]), checkpoint)
        if len(words) == 2
        else _find(flag, words[0], sources, checkpoint)
        for flag, words in given.items()
    ]


def _sources(args: argparse.Namespace, checkpoint: Checkpoint) -> list[PairSource]:
    """Both splits of --data, else of the data the model was trained on."""
    stored = checkpoint.path.parent.parent / CONFIG
    options = read_json(stored).get("data", {}) if stored.is_file() else {}
    if args.data is not None:
        options = {**options, "data": args.data, "holdout": None}
    if "data" not in options:
        raise InputError(
            f"{checkpoint.path}: its run folder is not around it, so pictures cannot be named: "
            "give image and label map files, or --data"
        )
    if args.labels is not None:
        options["labels"] = args.labels
    name = options.pop("data")
    return [open_source(name, split, **options) for split in ("val", "train")]


def _find(flag: str, stem: str, sources: list[PairSource], checkpoint: Checkpoint) -> Picture:
    for source in sources:
        for index in range(len(source)):
            if source.stem(index) == stem:
                return _load(source, index, checkpoint)
    example = sources[0].stem(0)
    raise InputError(
        f"{flag} {stem}: no such picture; expected a name like {example}, or two files"
    )


def _load(source: PairSource, index: int, checkpoint: Checkpoint) -> Picture:
    if isinstance(source, FolderPairs):
        pair = source.pairs[index]
        return _read(pair.image, pair.labels, checkpoint)
    return Picture(*source.load(index, checkpoint.model.config.size))


def _read(photo: Path, labels: Path, checkpoint: Checkpoint) -> Picture:
    image, read = read_pair(photo, labels, checkpoint.label_values)
    return Picture(np.asarray(image), read)


def _nearest(labels: NDArray[np.int32], size: tuple[int, int]) -> NDArray[np.int32]:
    return np.array(Image.fromarray(labels).resize(size[::-1], Image.Resampling.NEAREST))


def _resized(
    pixels: NDArray[np.uint8], size: tuple[int, int], how: Image.Resampling
) -> NDArray[np.uint8]:
    return np.array(Image.fromarray(pixels).resize(size[::-1], how))


def _to_pixels(image: Tensor) -> NDArray[np.uint8]:
    """(3, H, W) in [-1, 1] -> uint8 (H, W, 3)."""
    scaled = ((image.clamp(-1, 1) + 1) * 127.5).round().byte()
    return scaled.permute(1, 2, 0).cpu().numpy()


def _pose_words(args: argparse.Namespace) -> str:
    if args.pose_labels is not None:
        return f"under the label map {args.pose_labels}"
    return f"in the pose of the {args.pose}"


def _parser() -> argparse.ArgumentParser:
    parser = cli.Parser(PROG, "Paint the subject of one photograph into another.", EXAMPLES)
    parser.add_argument("checkpoint", help="a training run's folder, or one of its step folders")
    given = "image and label map, or the name of a picture in --data"
    parser.add_argument("--subject", nargs="+", required=True, metavar="FILE", help=given)
    parser.add_argument("--background", nargs="+", required=True, metavar="FILE", help=given)
    parser.add_argument(
        "--out",
        required=True,
        help="picture to write, of the model's size; with --paste-back of the background's",
    )
    parser.add_argument("--data", help="data set of named pictures (default: the model's own)")
    parser.add_argument("--labels", help="its folder of label maps (default: the model's own)")
    poses = parser.add_mutually_exclusive_group()
    poses.add_argument(
        "--pose",
        choices=("background", "subject"),
        default="background",
        help="whose label map is painted (default: background)",
    )
    poses.add_argument("--pose-labels", metavar="FILE", help="another label map to paint")
    parser.add_argument(
        "--background-labels",
        nargs="+",
        default=["0"],
        metavar="LABEL",
        help="labels, by name or number, taken from the background picture (default: 0)",
    )
    parser.add_argument(
        "--absent",
        choices=("background", "mean", "error"),
        default="background",
        help="where a label comes from that the subject's picture lacks (default: background)",
    )
    parser.add_argument(
        "--paste-back",
        action="store_true",
        help="keep the background photograph, to the pixel, beyond the feathered edge",
    )
    parser.add_argument("--feather", type=int, help=f"pixels of edge (default: {_FEATHER})")
    parser.add_argument("--sheet", metavar="FILE", help="also a sheet of both pictures and result")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda if there is one)")
    return parser


if __name__ == "__main__":
    cli.run(main, PROG)
