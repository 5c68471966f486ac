# SPDX-License-Identifier: Apache-2.0
"""The flags of ``python -m scam.studio``."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from scam.commandline.command import Parser
from scam.commandline.start import ABOUT
from scam.data.parser import FORM, HELP
from scam.errors import InputError
from scam.storage.outputs import expect_outputs

MANNEQUINS = "runs/mannequins"
EXAMPLES = """\
  python -m scam.studio
      the run that `make train` leaves, or the demo that comes with scam, in the browser
  python -m scam.studio runs/faces --parser face_parser:label_map
      photographs without a label map too: face_parser.py in this folder makes one
  python -m scam.studio runs/lake
      one image under other label maps, after `python -m scam.semia train --out runs/lake`
  python -m scam.studio runs/faces --replay anna.json --out anna
      replay the session saved as anna.json, without a browser
  python -m scam.studio runs/faces --host 0.0.0.0 --port 8000 --no-browser
      for browsers of other machines, which need the token in the address that is printed"""


def studio_parser(prog: str) -> Parser:
    """See ``--help``."""
    parser = Parser(prog, ABOUT["studio"], EXAMPLES)
    parser.add_argument(
        "checkpoint",
        nargs="?",
        help="a training run's folder, one of its step folders, what save_pretrained wrote,"
        " the folder of scam.semia train, or demo: the model that comes with scam"
        f" (default: {MANNEQUINS} where it is, else demo)",
    )
    parser.add_argument(
        "--host", metavar="ADDRESS",
        help="address to listen on (default: 127.0.0.1, this machine only)",
    )  # fmt: skip
    parser.add_argument(
        "--port", type=int, help="port to listen on (default: 7226, or a free one if it is taken)"
    )
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument("--parser", metavar=FORM, help=HELP)
    parser.add_argument("--data", help="data set of the examples (default: the model's own)")
    parser.add_argument("--labels", help="its folder of label maps (default: the model's own)")
    parser.add_argument(
        "--replay", type=Path, metavar="FILE", help="a saved session to replay, into --out"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR",
        help="folder for the images of --replay: what the page offers to download",
    )  # fmt: skip
    parser.add_overwrite()
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda if there is one)")
    return parser


def check_flags(args: argparse.Namespace) -> None:
    """InputError for flags that contradict each other, or values out of range."""
    if (args.replay is None) != (args.out is None):
        raise InputError("{:replay}, {:out}: expected both or neither")
    if args.replay is None and args.overwrite:
        raise InputError("{:overwrite}: expected together with {:replay}")
    if args.port is not None and not 0 <= args.port < 1 << 16:
        raise InputError("{port}: expected 0 to 65535", port=args.port)
    if args.replay is not None:
        for name in ("host", "port"):
            if getattr(args, name) is not None:
                message = f"{{{name}}}: cannot be used with {{:replay}}"
                raise InputError(message, **{name: getattr(args, name)})


def check_source(args: argparse.Namespace) -> None:
    """InputError for flags that cannot be used with a folder of ``scam.semia``."""
    for name in ("parser", "data", "labels"):
        if getattr(args, name) is not None:
            message = (
                f"{{{name}}}: cannot be used with a folder of scam.semia, which holds one image"
            )
            raise InputError(message, **{name: getattr(args, name)})


def check_paths(args: argparse.Namespace, names: Iterable[str], inputs: Sequence[Path]) -> None:
    """InputError if a file of ``--replay`` would replace what is there, or what is read.

    names: of the files.
    """
    outputs = [("out", args.out, args.out / name) for name in names]
    expect_outputs(outputs, [args.replay, *inputs], overwrite=args.overwrite)
