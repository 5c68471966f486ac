# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.attention``: which latents a pixel reads, and where each latent looked."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scam.commandline.command import Parser, in_flags, open_device, run
from scam.commandline.console import say
from scam.data.sheet import save_sheet
from scam.editing.naming import naming
from scam.editing.sources import Finder
from scam.editing.styles import Style
from scam.errors import InputError
from scam.models.checkpoint import Checkpoint, load_checkpoint
from scam.models.scam.attention_maps import AttentionMap, attention_layers, attention_maps
from scam.storage.files import write_aside
from scam.storage.outputs import expect_outputs

PROG = "python -m scam.attention"
EXAMPLES = """\
  python -m scam.attention runs/mannequins --picture mannequin_val_00003 --out attention.png
      where the encoder's latents look in the photograph, and which of them each pixel of the
      generator's last layer reads (Figure 4 of the paper)
  python -m scam.attention runs/mannequins --picture mannequin_val_00003 --only upper_body hair \\
      --layers generator.0.1 generator.3.2 --out clothes.png --npz clothes.npz
      two labels in a coarse and a fine layer, and all numbers for NumPy
  python -m scam.attention runs/mannequins --list-layers
      the layers that this model has"""

_HOT = (1.0, 0.1, -0.9)
"""Colour, in [-1, 1], of the largest weight: of the generator's layer, of the encoder's latent."""
_DIM = 0.35
_MIN_HEIGHT = 192


@in_flags
def main(argv: Sequence[str] | None = None) -> None:
    """Look at one picture, draw a sheet, save the numbers."""
    args = _parser().parse_args(argv)
    checkpoint = load_checkpoint(args.checkpoint, device=open_device(args.device))
    model = checkpoint.model
    if args.list_layers:
        say(*attention_layers(model))
        return
    outputs = []
    for flag, name, suffix in (("--out", args.out, ".png"), ("--npz", args.npz, ".npz")):
        if name is None:
            continue
        if name.suffix.lower() != suffix:
            raise InputError(f"{flag} {name}: expected a {suffix} file")
        outputs.append((f"{flag} {name}", name))
    expect_outputs(outputs, checkpoint.files, overwrite=args.overwrite)
    if args.out is None or args.picture is None:
        raise InputError("--picture, --out: expected both (or --list-layers)")
    with naming("--only"):
        only = [checkpoint.label(word) for word in args.only]
    layers = args.layers or [attention_layers(model)[0], _last_modulation(checkpoint)]
    known = attention_layers(model)
    if layers == ["all"]:
        layers = known
    for layer in layers:
        if layer not in known:
            expected = f"some of {', '.join(known)}, or all"
            raise InputError(f"--layers: layer {layer!r}: expected {expected}")
    finder = Finder(checkpoint, args.data, args.labels)
    picture = finder.open("--picture", args.picture)
    if isinstance(picture, Style):
        raise InputError(f"--picture {args.picture[0]}: is a style, expected a picture")
    finder.expect_used()
    expect_outputs(outputs, finder.inputs, overwrite=args.overwrite)
    image, labels = picture.tensors(model.config.size, model.token_labels.device)
    lacking = [label for label in only if not (labels == label).any()]
    if lacking:
        name = checkpoint.label_names[lacking[0]]
        raise InputError(f"--only {name}: not in the label map of {picture.name}")
    maps = attention_maps(model, image, labels, layers)
    save_sheet(
        args.out,
        _columns(image, labels, maps, only, checkpoint),
        min_height=_MIN_HEIGHT,
        overwrite=args.overwrite,
        rows=list(maps),
    )
    say(f"sheet: {args.out}")
    if args.npz is not None:
        _save(args.npz, maps, checkpoint, args.overwrite)
        say(f"numbers: {args.npz}")


def _last_modulation(checkpoint: Checkpoint) -> str:
    last = [name for name in attention_layers(checkpoint.model) if name.endswith(".2")]
    return last[-1]


def _columns(
    image: Tensor,
    labels: Tensor,
    maps: Mapping[str, AttentionMap],
    only: Sequence[int],
    checkpoint: Checkpoint,
) -> dict[str, Tensor]:
    """A row per layer: picture, labels, the strongest latent, a heat map for each latent."""
    size = checkpoint.model.config.size
    grey = image.mean(1, keepdim=True).expand_as(image) * _DIM - (1 - _DIM)
    strongest, heat = [], []
    for layer, found in maps.items():
        chosen = found.labels >= 0
        if only:
            chosen &= torch.isin(found.labels, torch.tensor(only, device=chosen.device))
        weights = found.weights * chosen.unsqueeze(-1)
        print(f"{layer}: the largest weight is {float(weights.max()):.3g}")
        if layer.startswith("encoder"):
            weights = _relative(weights, found.labels)
        else:
            weights = weights / weights.max().clamp(min=torch.finfo(weights.dtype).tiny)
        strongest.append(_enlarged(_tokens(found, chosen, checkpoint), size))
        of_latent = _enlarged(weights.permute(0, 3, 1, 2).float(), size)[0].unsqueeze(1)
        hot = torch.tensor(_HOT, device=of_latent.device)[:, None, None]
        heat.append(grey + of_latent * (hot - grey))
    columns = {
        "picture": image.expand(len(maps), -1, -1, -1),
        "labels": labels.expand(len(maps), -1, -1),
        "strongest": torch.cat(strongest),
    }
    for number, column in enumerate(torch.stack(heat, dim=1)):
        columns[f"latent {number}"] = column
    return columns


def _relative(weights: Tensor, labels: Tensor) -> Tensor:
    """Each latent's weights (1, h, w, k) over its label's pixels, as parts of the largest."""
    largest = torch.ones_like(weights)
    for label in labels.unique().tolist():
        mine = (labels == label).unsqueeze(-1)
        most = (weights * mine).amax((1, 2), keepdim=True)
        largest = torch.where(mine, most.clamp(min=torch.finfo(weights.dtype).tiny), largest)
    return weights / largest


def _tokens(found: AttentionMap, chosen: Tensor, checkpoint: Checkpoint) -> Tensor:
    """Number of the token that weighs most at each pixel (1, h, w), -1 where none is shown."""
    of_tokens = checkpoint.model.token_labels
    first = torch.searchsorted(of_tokens, found.labels.clamp(min=0).to(of_tokens.dtype))
    return torch.where(chosen, first + found.weights.argmax(-1), -1)


def _enlarged(x: Tensor, size: tuple[int, int]) -> Tensor:
    if x.dim() == 3:
        return _enlarged(x.float()[None], size)[0].to(x.dtype)
    return F.interpolate(x, size=size, mode="nearest")


def _save(
    path: Path, maps: Mapping[str, AttentionMap], checkpoint: Checkpoint, overwrite: bool
) -> None:
    """``LAYER.labels`` (h, w), ``LAYER.weights`` (h, w, k), and ``label_names``."""
    arrays: dict[str, Any] = {"label_names": np.array(checkpoint.label_names)}
    for layer, found in maps.items():
        arrays[f"{layer}.labels"] = found.labels[0].cpu().numpy()
        arrays[f"{layer}.weights"] = found.weights[0].cpu().numpy()
    with write_aside(path, overwrite=overwrite) as file:
        np.savez_compressed(file, **arrays)


def _parser() -> Parser:
    parser = Parser(PROG, "Draw what attends to what in one picture.", EXAMPLES)
    parser.add_checkpoint()
    parser.add_argument(
        "--picture", nargs="+", metavar="FILE",
        help="image and label map; or one of: IMAGE,LABELS, an image of a data folder, the name of"
        " a picture in --data",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="FILE", help="sheet to write, a .png")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="LABEL",
        help="labels to show, by name or number (default: all of the picture)",
    )  # fmt: skip
    parser.add_argument(
        "--layers", nargs="+", metavar="LAYER",
        help="one row each, or all (default: the encoder's first and the generator's last)",
    )  # fmt: skip
    parser.add_argument("--npz", type=Path, metavar="FILE", help="also the numbers, for NumPy")
    parser.add_overwrite()
    parser.add_argument("--list-layers", action="store_true", help="print their names and leave")
    parser.add_argument("--data", help="data set of named pictures (default: the model's own)")
    parser.add_argument("--labels", help="its folder of label maps (default: the model's own)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda if there is one)")
    return parser


if __name__ == "__main__":
    run(main, PROG)
