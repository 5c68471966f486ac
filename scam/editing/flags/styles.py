# SPDX-License-Identifier: Apache-2.0
"""The flags of the commands of ``python -m scam.styles``."""

from pathlib import Path

from scam.commandline.command import Parser
from scam.editing.flags.refine import add_refine

EXAMPLES = """\
  python -m scam.styles add demo --library styles --picture mannequin_val_00003 --name anna
      styles/anna.safetensors and a thumbnail beside it; the run of a model of yours needs no
      --library
  python -m scam.styles mean demo --library styles --data mannequins --max-pictures 16 \\
      --name everybody
      the mean of many images, each label's over the images that have it
  python -m scam.styles list demo --library styles
      the saved styles, and whether these weights can still use them
  python -m scam.transfer demo --background mannequin_val_00010 \\
      --donor hair=lib:anna --library styles --out borrowed.png
      use it in a transfer"""


def add_parser(prog: str) -> Parser:
    """See ``--help``."""
    parser = _parser(f"{prog} add", "Save the latents of an image.")
    parser.add_argument(
        "--picture", nargs="+", required=True, metavar="FILE",
        help="image and label map; or one of: IMAGE,LABELS, an image of a data folder, the name of"
        " an image in --data",
    )  # fmt: skip
    add_refine(parser)
    parser.add_argument("--name", help="of the style (default: the image's)")
    parser.add_argument("--data", help="data set of named images (default: the model's own)")
    return parser


def mean_parser(prog: str) -> Parser:
    """See ``--help``."""
    parser = _parser(f"{prog} mean", "Save the mean latents of many images.")
    parser.add_argument("--data", required=True, help="a data folder, or mannequins (held out)")
    parser.add_argument("--name", default="mean", help="of the style (default: mean)")
    parser.add_argument("--max-pictures", type=int, metavar="N", help="N of them, spread evenly")
    return parser


def list_parser(prog: str) -> Parser:
    """See ``--help``."""
    what = "The saved styles, and whether these weights can still use them."
    return _parser(f"{prog} list", what, writes=False)


def _parser(prog: str, what: str, *, writes: bool = True) -> Parser:
    parser = Parser(prog, what, EXAMPLES)
    parser.add_checkpoint()
    parser.add_argument(
        "--library", type=Path, metavar="DIR", help="folder of styles (default: the run's styles/)"
    )
    if writes:
        parser.add_argument("--labels", help="name of the data's folder of label maps")
        parser.add_overwrite("--replace")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda if there is one)")
    return parser
