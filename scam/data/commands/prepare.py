# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.data prepare``: from a data set's own layout to a folder that trains."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from scam import cli
from scam.data.commands.check import add_workers, positive
from scam.data.labels import LABEL_SETS
from scam.data.prepare import Plan, ade20k, celebamask_hq, idesigner, palette
from scam.data.prepare.palette import PALETTE
from scam.data.prepare.write import BadFilesError, Prepared, expect_new, write_plan
from scam.data.report import splits_text
from scam.errors import InputError

PROG = "python -m scam.data prepare"
DESCRIPTION = """\
Make the folder DST, which scam.train reads, from SRC:
  celebamask-hq  CelebAMask-HQ as unpacked: CelebA-HQ-img, CelebAMask-HQ-mask-anno and, for the
                 official train, val and test, CelebA-HQ-to-CelebA-mapping.txt
  ade20k         ADEChallengeData2016 as unpacked: training becomes train, validation test
  idesigner      images/ and labels/ with a human parser's 20 labels (LIP), merged to background,
                 face and body
  palette        images/ and labels/ whose label pictures are colours, made index maps
The last two also take {train,val,test}/images and labels. Photographs stay as they are (hard
links) unless --size is given. DST appears when it is whole; bad files stop it."""
EXAMPLES = """\
  python -m scam.data prepare celebamask-hq CelebAMask-HQ faces --size 256 256
  python -m scam.data prepare ade20k ADEChallengeData2016 scenes
  python -m scam.data prepare idesigner people people3 --labels labels_lip20
  python -m scam.data prepare palette painted indexed
      the label with the most pixels becomes 0, and so on; indexed/palette.txt says which is which
  python -m scam.data prepare palette painted indexed2 --palette indexed/palette.txt --tolerance 60
      the same colours with names you gave them, in pictures saved as jpeg
  python -m scam.data prepare palette parsed indexed3 --palette voc --label-set lip20
      index maps that were saved in the usual colours of PASCAL VOC"""

_PRESETS = {"celebamask-hq": "celebamask-hq", "ade20k": "ade20k", "idesigner": "idesigner"}
# Options that mean something to some kinds only.
_ONLY = {
    "labels": ("idesigner", "palette"),
    "ignore_label": ("idesigner",),
    "palette": ("palette",),
    "label_set": ("palette",),
    "tolerance": ("palette",),
}
_BAD_SHOWN = 20


def main(argv: Sequence[str]) -> None:
    """Plan, write, and say what is there and how to go on."""
    args = _parser().parse_args(argv)
    src, dst = Path(args.src), Path(args.dst)
    for name, kinds in _ONLY.items():
        if getattr(args, name) is not None and args.kind not in kinds:
            flag = "--" + name.replace("_", "-")
            raise InputError(f"{flag} is for {' and '.join(kinds)}, not for {args.kind}")
    if args.size is not None:
        for side in args.size:
            positive("--size", side)
    workers = positive("--workers", args.workers)
    if not src.is_dir():
        found = "is a file" if src.is_file() else "no such folder"
        raise InputError(f"{src}: {found}, expected the folder of the unpacked data set")
    expect_new(dst)
    try:
        prepared = write_plan(
            _plan(args, src, workers),
            src,
            dst,
            size=None if args.size is None else (args.size[0], args.size[1]),
            copy=args.copy,
            skip_bad=args.skip_bad,
            workers=workers,
        )
    except BadFilesError as error:
        _list_bad(error.bad[1:], "also bad")
        raise
    _list_bad(prepared.bad, "left out")
    print("\n".join(_summary(args, dst, prepared)))


def _plan(args: argparse.Namespace, src: Path, workers: int) -> Plan:
    labels = args.labels or "labels"
    if args.kind == "celebamask-hq":
        return celebamask_hq.plan(src)
    if args.kind == "ade20k":
        return ade20k.plan(src)
    if args.kind == "idesigner":
        return idesigner.plan(src, labels, args.ignore_label)
    return palette.plan(
        src,
        labels,
        palette=args.palette,
        names=args.label_set,
        tolerance=args.tolerance or 0,
        workers=workers,
    )


def _summary(args: argparse.Namespace, dst: Path, prepared: Prepared) -> list[str]:
    ignore = prepared.ignore_label
    flags = "" if ignore is None else f" --ignore-label {ignore}"
    folder = shlex.quote(str(dst))
    held = "" if "val" in prepared.splits else "; training holds its val pictures out of them"
    if held and "train" in prepared.splits:
        held = "; training holds its val pictures out of train"
    colours = [f"colours and their labels: {dst / PALETTE}"] if args.kind == "palette" else []
    return [
        f"{dst}: {splits_text(prepared.splits)}{held}",
        *colours,
        f"next: python -m scam.data check {folder}{flags}",
        f"      python -m scam.train --amp --fused-sca --data {folder}{flags} "
        f"--preset {_PRESETS.get(args.kind, 'tiny')}",
    ]


def _list_bad(bad: Sequence[object], what: str) -> None:
    for problem in bad[:_BAD_SHOWN]:
        print(f"{what}: {problem}", file=sys.stderr)
    if len(bad) > _BAD_SHOWN:
        print(f"{what}: {len(bad) - _BAD_SHOWN} more", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = cli.Parser(PROG, DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "kind", choices=("celebamask-hq", "ade20k", "idesigner", "palette"), help="what SRC is"
    )
    parser.add_argument("src", help="folder to read; never changed")
    parser.add_argument("dst", help="folder to make; must not exist")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="resize once: photographs averaged down and saved as png, label maps nearest pixels, "
        "the same numbers as training at this size makes of the originals",
    )
    parser.add_argument("--copy", action="store_true", help="copy photographs, never link them")
    parser.add_argument("--skip-bad", action="store_true", help="leave bad files out, aloud")
    parser.add_argument("--labels", metavar="NAME", help="label folder in SRC (default: labels)")
    parser.add_argument(
        "--ignore-label", type=int, metavar="N", help="value of SRC that means: no label"
    )
    parser.add_argument(
        "--palette", metavar="FILE", help="lines 'id #rrggbb name', or voc (default: found)"
    )
    parser.add_argument(
        "--label-set",
        metavar="NAME",
        help=f"what --palette voc stands for: {', '.join(LABEL_SETS)}",
    )
    parser.add_argument(
        "--tolerance",
        type=int,
        metavar="N",
        help="colours that differ by this much per channel are one, 0 .. 255 (default: 0)",
    )
    add_workers(parser)
    return parser
