# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.attention``: which latents a pixel reads, and where each latent looked."""

from collections.abc import Sequence
from contextlib import ExitStack

from scam.commandline.command import in_flags, run
from scam.commandline.console import say
from scam.commandline.device import open_device
from scam.editing.attention_sheet import (
    choose_layers,
    numbers_aside,
    save_maps_sheet,
    tensors_with,
)
from scam.editing.flags.attention import attention_parser, check_paths
from scam.editing.sources import Finder, leading_words
from scam.errors import InputError, leading
from scam.models import attention_layers, attention_maps
from scam.models.checkpoint import load_checkpoint

PROG = "python -m scam.attention"


@in_flags
def main(argv: Sequence[str] | None = None) -> None:
    """Look at one image, draw a sheet, save the numbers."""
    args = attention_parser(PROG).parse_args(argv)
    checkpoint = load_checkpoint(args.checkpoint, device=open_device(args.device))
    with leading("checkpoint", args.checkpoint):
        known = attention_layers(checkpoint.model)
    if args.list_layers:
        say(*known)
        return
    check_paths(args, checkpoint.files)
    if args.out is None or args.picture is None:
        raise InputError("{:picture}, {:out}: expected both (or {:list_layers})")
    with leading("only"):
        only = list(checkpoint.model.labels_of(args.only))
    layers = choose_layers(known, args.layers)
    finder = Finder(checkpoint, args.data, args.labels)
    with leading_words("picture", args.picture):
        picture = finder.picture(args.picture)
    finder.expect_used()
    check_paths(args, finder.inputs)
    maps = attention_maps(checkpoint.model, *tensors_with(checkpoint, picture, only), layers)
    with ExitStack() as stack:
        if args.npz is not None:
            numbers = numbers_aside(
                args.npz, maps, checkpoint.label_names, overwrite=args.overwrite
            )
            stack.enter_context(numbers)
        how = {"scale": args.scale, "overwrite": args.overwrite}
        largest = save_maps_sheet(args.out, checkpoint, picture, maps, only, **how)
    say(*(f"{layer}: the largest weight is {most:.3g}" for layer, most in largest.items()))
    say(f"sheet: {args.out}")
    if args.npz is not None:
        say(f"numbers: {args.npz}")


if __name__ == "__main__":
    run(main, PROG)
