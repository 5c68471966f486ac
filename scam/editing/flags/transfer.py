# SPDX-License-Identifier: Apache-2.0
"""The flags of ``python -m scam.transfer``."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from scam.commandline.command import Parser
from scam.commandline.start import ABOUT
from scam.data.fit import Fit
from scam.data.save_picture import FORMATS
from scam.data.sheet import expect_scale
from scam.editing.batch import NO_FOLDERS
from scam.editing.donors import FORM, Donor
from scam.editing.edit import Settings
from scam.editing.flags.refine import add_refine
from scam.editing.transfers import SHEET_HEIGHT, Given
from scam.errors import InputError, leading
from scam.models.checkpoint import Checkpoint
from scam.models.mixing import Absent
from scam.storage.outputs import expect_outputs, expect_outside

EXAMPLES = """\
  python -m scam.transfer demo --subject mannequin_val_00003 \\
      --background mannequin_val_00010 --out transfer.png --sheet transfer_sheet.png
      the model that comes with scam, and two cartoon people that it was not trained on
  python -m scam.transfer runs/photos --subject anna.jpg anna_labels.png \\
      --background street.jpg street_labels.png --paste-back --out anna_in_street.png
      any two photographs with label maps; beyond a narrow edge around the person the street
      stays as it is
  python -m scam.transfer demo --background mannequin_val_00010 \\
      --donor hair,face=mannequin_val_00003 --donor upper_body=mannequin_val_00007:0.7 \\
      --donor lower_body.2=lib:anna --library styles --out mixed.png
      hair and face of one, seven tenths of the coat of another, a single latent of a style
  python -m scam.transfer demo --background mannequin_val_00010 \\
      --donor clothes=mannequin_val_00003 --out dressed.png
      all clothes of another person; an unknown name lists the groups of labels
  python -m scam.transfer demo --subject mannequin_val_00003 \\
      --background mannequin_val_00010 --interpolate 7 --out strip.png
      seven steps from one person to the other
  python -m scam.transfer demo --subject mannequin_val_00003 \\
      --background mannequins --out everywhere --html
      one subject transferred into every image of a folder (here: the held-out
      mannequins), and a page with all results"""

FEATHER = 4
"""Pixels of edge unless ``--feather`` says otherwise."""
_MOST_STEPS = 256
_SCENE = ["0"]


def transfer_parser(prog: str) -> Parser:
    """See ``--help``."""
    parser = Parser(prog, ABOUT["transfer"], EXAMPLES)
    parser.add_checkpoint()
    given = (
        "who: an image and its label map (two files, or IMAGE,LABELS); an image of a data folder, "
        "or its name in --data; a style (lib:NAME or a .safetensors file); or a data folder"
    )
    parser.add_argument("--subject", nargs="+", metavar="FILE", help=given)
    parser.add_argument(
        "--background",
        nargs="+",
        required=True,
        metavar="FILE",
        help="scene and pose: given as --subject is, but no style",
    )
    parser.add_argument(
        "--donor",
        action="append",
        default=[],
        metavar=FORM,
        help="give labels or groups of them (clothes, skin, ...) the latents of another image or "
        "style; LABEL.LATENT is one latent of a label, WEIGHT (0 to 1) blends them in; may be "
        "repeated",
    )
    add_refine(parser)
    parser.add_argument(
        "--interpolate",
        type=int,
        metavar="N",
        help="a strip of N images from the background image's own latents to the edited ones",
    )
    parser.add_argument(
        "--out",
        required=True,
        help="image to write, of the model's size; with --paste-back of the background's; "
        "a folder if a folder of images is given, which the same command resumes",
    )
    parser.add_argument(
        "--pairs",
        type=Path,
        metavar="FILE",
        help='how images of two folders are paired: {"donors": {"background": "other"}} '
        "(default: equal names)",
    )
    parser.add_argument("--data", help="data set of named images (default: the model's own)")
    parser.add_argument("--labels", help="its folder of label maps (default: the model's own)")
    parser.add_argument(
        "--library", type=Path, metavar="DIR", help="folder of styles (default: the run's styles/)"
    )
    poses = parser.add_mutually_exclusive_group()
    poses.add_argument(
        "--pose",
        choices=("background", "subject"),
        default="background",
        help="whose label map to generate from (default: background)",
    )
    poses.add_argument("--pose-labels", metavar="FILE", help="another label map to generate from")
    parser.add_argument(
        "--background-labels",
        nargs="+",
        default=_SCENE,
        metavar="LABEL",
        help="labels or groups, by name or number, that --subject leaves to the background "
        "(default: 0)",
    )
    parser.add_argument(
        "--absent",
        choices=get_args(Absent),
        default="related",
        help="where the latents of a label come from that the subject's or donor's image lacks; "
        "related: the nearest label of its group there (a dress from a coat, legs from arms), "
        "else the background image; background: the background image; mean: the mean of training "
        "images; error: nowhere, stop (default: related)",
    )
    parser.add_argument(
        "--paste-back",
        action="store_true",
        help="keep the background photograph, to the pixel, beyond the feathered edge",
    )
    parser.add_argument(
        "--feather",
        type=int,
        help=f"width of that edge in pixels of the photograph (default: {FEATHER})",
    )
    parser.add_argument(
        "--fit",
        choices=get_args(Fit),
        help="how images of other proportions are fitted to the model's size: distorted, cropped "
        "or padded (default: as in training)",
    )
    parser.add_argument(
        "--sheet",
        metavar="FILE",
        help="also a sheet of all images and the result, at the result's size",
    )
    parser.add_scale(SHEET_HEIGHT)
    parser.add_argument(
        "--html",
        action="store_true",
        help="with a folder of images: also a page, index.html, of all results and copies of "
        "their inputs",
    )
    parser.add_overwrite()
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda if there is one)")
    return parser


def check_flags(args: argparse.Namespace) -> None:
    """InputError for flags that contradict each other, or values out of range."""
    out = Path(args.out)
    if args.subject is None and not args.donor:
        raise InputError("{:subject}, {:donor}: expected at least one of them")
    if args.subject is None and args.background_labels != _SCENE:
        raise InputError(
            "{background_labels}: expected {:subject} with it",
            background_labels=args.background_labels,
        )
    if args.interpolate is not None and not 2 <= args.interpolate <= _MOST_STEPS:
        raise InputError(
            f"{{interpolate}}: expected 2 to {_MOST_STEPS} images", interpolate=args.interpolate
        )
    if args.paste_back and out.suffix.lower() in set(FORMATS) - {".png"}:
        raise InputError("{out}: {:paste_back} keeps pixels exactly, which needs a .png", out=out)
    if args.sheet is not None and Path(args.sheet).suffix.lower() != ".png":
        raise InputError("{sheet}: expected a .png file", sheet=args.sheet)
    expect_scale(args.scale)
    if args.scale is not None and args.sheet is None:
        raise InputError("{scale}: expected {:sheet} with it", scale=args.scale)
    if args.feather is not None and not (args.paste_back and 0 <= args.feather <= 256):
        raise InputError(
            "{feather}: expected 0 to 256, together with {:paste_back}", feather=args.feather
        )


def edit_settings(args: argparse.Namespace, checkpoint: Checkpoint) -> Settings:
    """InputError for background labels that the model lacks."""
    with leading("background_labels"):
        scene = checkpoint.model.labels_of(args.background_labels)
    feather = FEATHER if args.feather is None else args.feather
    return Settings(
        scene=scene,
        absent=args.absent,
        steps=args.interpolate,
        feather=feather if args.paste_back else None,
        refine=args.refine,
    )


def check_paths(args: argparse.Namespace, donors: Sequence[Donor], inputs: Sequence[Path]) -> None:
    """InputError if a result would replace what is there, or change what is read.

    inputs: files and folders that are read beside those which the flags name.
    """
    of_donors = [word for donor in donors for word in (donor.picture, *donor.picture.split(","))]
    named = [args.pose_labels, args.pairs, *(args.subject or []), *args.background, *of_donors]
    files = [Path(name) for name in named if name is not None and not os.path.isdir(name)]
    inputs = [*inputs, *files]
    out, outputs = Path(args.out), []
    if out.suffix.lower() in FORMATS:
        outputs.append(("out", out, out))
    else:
        with leading("out", out):
            expect_outside(out, inputs)
    if args.sheet is not None:
        outputs.append(("sheet", args.sheet, Path(args.sheet)))
    expect_outputs(outputs, inputs, overwrite=args.overwrite)


def check_results(args: argparse.Namespace, given: Given) -> None:
    """InputError for flags that suit single images only, or folders only, where the other is."""
    out = Path(args.out)
    if not given.folders:
        if out.suffix.lower() not in FORMATS:
            raise InputError(f"{{out}}: expected a {', '.join(FORMATS)} file", out=out)
        if args.pairs is not None:
            raise InputError(NO_FOLDERS, pairs=args.pairs)
        if args.html:
            raise InputError(
                "{:html}: expected a folder of images; for a single image use {:sheet}"
            )
        return
    if out.suffix.lower() in FORMATS:
        raise InputError("{out}: expected a folder, since a folder of images is given", out=out)
    if args.overwrite:
        raise InputError("{:overwrite}: expected single images; a folder of results is resumed")
    if args.sheet is not None:
        raise InputError("{sheet}: expected single images, not a folder of them", sheet=args.sheet)
