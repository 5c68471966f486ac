# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.export``: a trained model's networks as torch.export programs."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from scam.commandline.command import Parser, in_flags, run
from scam.commandline.console import say
from scam.commandline.device import open_device
from scam.commandline.start import ABOUT
from scam.errors import InputError
from scam.models.checkpoint import load_checkpoint
from scam.models.export import FILES, MOST_PICTURES, save_programs
from scam.storage.outputs import expect_outputs

PROG = "python -m scam.export"
EXAMPLES = """\
  python -m scam.export demo --out exported
      writes encoder.pt2, generator.pt2 and config.json; import scam.ops before loading them
  python -m scam.export demo --no-fused-sca --out exported
      slower programs that need only PyTorch"""


@in_flags
def main(argv: Sequence[str] | None = None) -> None:
    """Load, export both networks, compare them with the model, write the folder."""
    args = _parser().parse_args(argv)
    out = Path(args.out)
    outputs = [("out", out, out / name) for name in FILES]
    if os.path.isdir(out) and os.listdir(out) and not args.overwrite:
        raise InputError("{out} exists: expected a new or empty folder, or {:overwrite}", out=out)
    expect_outputs(outputs, overwrite=args.overwrite)
    device = open_device(args.device)
    checkpoint = load_checkpoint(args.checkpoint, device=device, fused=args.fused_sca)
    expect_outputs(outputs, checkpoint.files, overwrite=args.overwrite)
    model = checkpoint.model
    apart = save_programs(model, out, overwrite=args.overwrite)
    height, width = model.config.size
    say(
        f"{args.out}/encoder.pt2: image (B, 3, {height}, {width}), labels (B, {height}, {width}) "
        f"int32 -> tokens {('B', *model.mean_tokens.shape)}, present".replace("'", ""),
        f"{args.out}/generator.pt2: labels, tokens -> image; B from 1 to {MOST_PICTURES}",
        f"one image through both differs from the model's by at most {apart:.1e}",
    )


def _parser() -> Parser:
    parser = Parser(PROG, ABOUT["export"], EXAMPLES)
    parser.add_checkpoint()
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="new or empty folder to write to"
    )
    parser.add_overwrite()
    parser.add_argument(
        "--device", help="where the programs will run (default: a GPU if there is one)"
    )
    parser.add_argument(
        "--fused-sca",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="call the fused operators of scam.ops; --no-fused-sca: dense, in plain PyTorch",
    )
    return parser


if __name__ == "__main__":
    run(main, PROG)
