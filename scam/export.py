# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.export``: a trained model's networks as torch.export programs."""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scam.commandline.command import Parser, in_flags, open_device, run
from scam.commandline.console import say
from scam.errors import InputError
from scam.storage.files import files_aside
from scam.storage.outputs import expect_outputs

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from scam.models import SynthesisModel

PROG = "python -m scam.export"
EXAMPLES = """\
  python -m scam.export runs/mannequins --out exported
      writes encoder.pt2, generator.pt2 and config.json; import scam.ops before loading them
  python -m scam.export runs/mannequins --no-fused-sca --out exported
      slower programs that need nothing but PyTorch"""

FILES = ("encoder.pt2", "generator.pt2", "config.json")


@in_flags
def main(argv: Sequence[str] | None = None) -> None:
    """Load, export both networks, compare them with the model, write the folder."""
    args = _parser().parse_args(argv)
    out = Path(args.out)
    outputs = [(f"--out {out}", out / name) for name in FILES]
    if os.path.isdir(out) and os.listdir(out) and not args.overwrite:
        raise InputError(f"--out {out} exists: expected a new or empty folder, or --overwrite")
    expect_outputs(outputs, overwrite=args.overwrite)
    import torch

    from scam.models.checkpoint import load_checkpoint
    from scam.models.export import MOST_PICTURES, export_encoder, export_generator

    device = open_device(args.device)
    checkpoint = load_checkpoint(args.checkpoint, device=device, fused=args.fused_sca)
    expect_outputs(outputs, checkpoint.files, overwrite=args.overwrite)
    model = checkpoint.model
    programs = {"encoder": export_encoder(model), "generator": export_generator(model)}
    height, width = model.config.size
    with torch.no_grad():
        apart = _difference(model, programs)
    with files_aside(out, FILES, overwrite=args.overwrite) as folder:
        for name, program in programs.items():
            torch.export.save(program, folder / f"{name}.pt2")
        description = json.dumps(model.description(), indent=2) + "\n"
        (folder / "config.json").write_text(description)
    say(
        f"{args.out}/encoder.pt2: image (B, 3, {height}, {width}), labels (B, {height}, {width}) "
        f"int32 -> tokens {('B', *model.mean_tokens.shape)}, present".replace("'", ""),
        f"{args.out}/generator.pt2: labels, tokens -> image; B from 1 to {MOST_PICTURES}",
        f"one picture through both differs from the model's by at most {apart:.1e}",
    )


def _difference(model: "SynthesisModel", programs: dict[str, "ExportedProgram"]) -> float:
    """Largest difference of a painted random picture, exported against not."""
    import torch

    config = model.config
    device = model.token_labels.device
    draw = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, *config.size, generator=draw).to(device) * 2 - 1
    cells = torch.randint(config.num_labels, (1, 1, 8, 8), generator=draw).float()
    labels = torch.nn.functional.interpolate(cells, size=config.size)[:, 0].int().to(device)
    tokens, _ = programs["encoder"].module()(image, labels)
    painted = programs["generator"].module()(labels, tokens)
    return float((painted - model.generate(labels, model.encode(image, labels))).abs().max())


def _parser() -> Parser:
    parser = Parser(
        PROG, "Export encoder and generator of a trained model with torch.export.", EXAMPLES
    )
    parser.add_checkpoint()
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="new or empty folder to write to"
    )
    parser.add_overwrite()
    parser.add_argument("--device", help="where the programs will run; default: a GPU if any")
    parser.add_argument(
        "--fused-sca",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="call the fused operators of scam.ops; --no-fused-sca: dense, in plain PyTorch",
    )
    return parser


if __name__ == "__main__":
    run(main, PROG)
