# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.data prepare``: from a data set's own layout to a folder that trains."""

import argparse
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scam.commandline.command import Parser
from scam.commandline.console import say
from scam.data.advice import advise_once, path_word
from scam.data.commands.check import add_workers, ignore_label, positive
from scam.data.labels import LABEL_SETS
from scam.data.picture_folder import BadFile
from scam.data.prepare import Plan, ade20k, celebamask_hq, idesigner, indices, palette
from scam.data.prepare.palette import PALETTE
from scam.data.prepare.write import BadFilesError, Prepared, expect_new, write_plan
from scam.data.report import splits_text
from scam.errors import InputError
from scam.settings.environment import max_pixels
from scam.storage.locks import locked_by
from scam.storage.outputs import expect_writable

PROG = "python -m scam.data prepare"
_BOTH = "; {train,val,test}/images and labels likewise"
_MAKE = "Make the folder DST, which scam.train reads, from SRC:"
_ALL = """\
Photographs stay as they are (hard links) unless --size is given. DST appears when it is complete;
bad files stop it."""
_BAD_SHOWN = 20


@dataclass(frozen=True)
class _Kind:
    """What SRC may be, in its help, with the flags it takes; ``plan`` reads it."""

    about: str
    examples: str
    add_flags: Callable[[argparse.ArgumentParser], None]
    plan: Callable[[argparse.Namespace, Path, int], Plan]


def _add_labels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--labels", metavar="NAME", default="labels", help="label folder in SRC (default: labels)"
    )


def _add_idesigner(parser: argparse.ArgumentParser) -> None:
    _add_labels(parser)
    parser.add_argument(
        "--ignore-label", type=int, metavar="N", help="value of SRC that means: no label"
    )


def _add_palette(parser: argparse.ArgumentParser) -> None:
    _add_labels(parser)
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
        default=0,
        help="colours that differ by this much per channel are one, 0 .. 255 (default: 0)",
    )


def _add_indices(parser: argparse.ArgumentParser) -> None:
    _add_labels(parser)
    parser.add_argument(
        "--divide",
        type=int,
        metavar="N",
        help="ids are the values divided by N, such as 10 or 255",
    )
    parser.add_argument(
        "--dense",
        action="store_true",
        help="the values that labels.txt in SRC names, or else those that are there, become ids "
        "0, 1, 2, ... in their order",
    )
    parser.add_argument(
        "--threshold", type=int, metavar="N", help="label 1 from value N on, label 0 below"
    )
    parser.add_argument(
        "--ignore-label", type=int, metavar="N", help="value of SRC that means: no label"
    )
    parser.add_argument(
        "--label-set",
        metavar="NAME",
        help=f"what the ids are called (default: labels.txt in SRC): {', '.join(LABEL_SETS)}",
    )


def _plan_indices(args: argparse.Namespace, src: Path, workers: int) -> Plan:
    return indices.plan(
        src,
        args.labels,
        divide=args.divide,
        dense=args.dense,
        threshold=args.threshold,
        ignore_label=args.ignore_label,
        label_set=args.label_set,
        workers=workers,
    )


def _plan_palette(args: argparse.Namespace, src: Path, workers: int) -> Plan:
    return palette.plan(
        src,
        args.labels,
        palette=args.palette,
        label_set=args.label_set,
        tolerance=args.tolerance,
        workers=workers,
    )


KINDS = {
    "celebamask-hq": _Kind(
        "CelebAMask-HQ as unpacked: CelebA-HQ-img, CelebAMask-HQ-mask-anno and, for the official "
        "train, val and test, CelebA-HQ-to-CelebA-mapping.txt",
        """\
  python -m scam.data prepare celebamask-hq CelebAMask-HQ faces --size 256 256""",
        lambda _: None,
        lambda _, src, __: celebamask_hq.plan(src),
    ),
    "ade20k": _Kind(
        "ADEChallengeData2016 as unpacked: training becomes train, validation test",
        """\
  python -m scam.data prepare ade20k ADEChallengeData2016 scenes""",
        lambda _: None,
        lambda _, src, __: ade20k.plan(src),
    ),
    "idesigner": _Kind(
        "images/ and labels/ with a human parser's 20 labels (LIP), merged to background, face "
        f"and body{_BOTH}",
        """\
  python -m scam.data prepare idesigner people people3 --labels labels_lip20""",
        _add_idesigner,
        lambda args, src, _: idesigner.plan(src, args.labels, ignore_label(args.ignore_label)),
    ),
    "indices": _Kind(
        "images/ and labels/ whose label images are greys that stand for ids (masks in black "
        "and white, RGB with equal channels, 16 bits, tiff), made index maps that keep their ids"
        f"{_BOTH}",
        """\
  python -m scam.data prepare indices grey ids
      the same values, as png files with one channel
  python -m scam.data prepare indices masks ids2 --divide 255
      0 and 255 become 0 and 1; smoothed masks: --threshold 128
  python -m scam.data prepare indices sparse ids3 --dense
      0, 13, 234 become 0, 1, 2; labels.txt keeps their names and says what they were""",
        _add_indices,
        _plan_indices,
    ),
    "palette": _Kind(
        f"images/ and labels/ whose label images are colours, made index maps{_BOTH}",
        """\
  python -m scam.data prepare palette colours indexed
      labels follow the order of colours, #000000 first; indexed/palette.txt says which is which
  python -m scam.data prepare palette colours indexed2 --palette indexed/palette.txt --tolerance 60
      the same colours with names you gave them, in images saved as jpeg
  python -m scam.data prepare palette parsed indexed3 --palette voc --label-set lip20
      index maps that were saved in the usual colours of PASCAL VOC""",
        _add_palette,
        _plan_palette,
    ),
}
EXAMPLES = "\n".join(kind.examples for kind in KINDS.values())
EXAMPLES += f"\n  {PROG} palette --help\n      the flags of one kind"


def main(argv: Sequence[str]) -> None:
    """Plan, write, and say what was written and what to do next."""
    kinds = (_indented(kind.about, f"  {name:15}") for name, kind in KINDS.items())
    chosen = Parser(PROG, "\n".join([_MAKE, *kinds, _ALL]), EXAMPLES)
    chosen.add_argument("kind", choices=KINDS, help="what SRC is; SRC, DST and flags follow")
    kind = chosen.parse_args(argv[:1]).kind
    args = _parser(kind).parse_args(argv[1:])
    src, dst = Path(args.src), Path(args.dst)
    if args.size is not None and min(args.size) < 1:
        raise InputError("{size}: expected sides of 1 or more", size=args.size)
    if args.size is not None and args.size[0] * args.size[1] > max_pixels():
        raise InputError(f"{{size}}: expected {max_pixels()} pixels at most", size=args.size)
    workers = positive("workers", args.workers)
    if not src.is_dir():
        found = "is a file" if src.is_file() else "no such folder"
        raise InputError(f"{src}: {found}, expected the folder of the unpacked data set")
    expect_new(dst, src)
    expect_writable(dst)
    try:
        with locked_by(dst.with_name(f".{dst.name}.lock"), ("dst", dst), "preparing it"):
            prepared = write_plan(
                KINDS[kind].plan(args, src, workers),
                src,
                dst,
                size=None if args.size is None else (args.size[0], args.size[1]),
                copy=args.copy,
                skip_bad=args.skip_bad,
                workers=workers,
            )
    except BadFilesError as error:
        if len(error.bad) > 1:
            lines, _ = _bad_lines(error.bad, "  ")  # the error itself advises
            say("bad files:", *lines, file=sys.stderr)
        raise
    if prepared.bad:
        lines, advice = _bad_lines(prepared.bad, "left out: ")
        say(*lines, *advice, file=sys.stderr)
    say(*_summary(kind, dst, prepared, args.size))


def _summary(kind: str, dst: Path, prepared: Prepared, size: Sequence[int] | None) -> list[str]:
    ignore = prepared.ignore_label
    flags = "" if ignore is None else f" --ignore-label {ignore}"
    folder = path_word(dst)
    held = "" if "val" in prepared.splits else "; training holds its val images out of them"
    if held and "train" in prepared.splits:
        held = "; training holds its val images out of train"
    tables = {
        "palette": [
            f"colours and their labels: {dst / PALETTE} (black first, then as colours sort)"
        ],
        "indices": [f"labels and what they were: {dst / 'labels.txt'}"],
    }
    return [
        f"{dst}: {splits_text(prepared.splits)}{held}",
        *tables.get(kind, []),
        f"next: python -m scam.data check {folder}{flags}",
        f"      python -m scam.train --amp --fused-sca --data {folder}{flags} "
        f"--preset {'tiny' if kind in tables else kind}"
        + (f" --size {size[0]} {size[1]}" if size else ""),
    ]


def _bad_lines(bad: Sequence[BadFile], first: str) -> tuple[list[str], list[str]]:
    lines, advice = advise_once(f"{first}{problem}" for problem in bad[:_BAD_SHOWN])
    if len(bad) > _BAD_SHOWN:
        lines.append(f"{first}{len(bad) - _BAD_SHOWN} more")
    return lines, advice


def _indented(text: str, first: str) -> str:
    return textwrap.fill(text, 99, initial_indent=first, subsequent_indent=" " * len(first))


def _parser(kind: str) -> argparse.ArgumentParser:
    text = "\n".join([_MAKE, _indented(KINDS[kind].about, "  "), _ALL])
    parser = Parser(f"{PROG} {kind}", text, KINDS[kind].examples)
    parser.add_argument("src", help="folder to read; never changed")
    parser.add_argument("dst", help="folder to make; must not exist")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="resize once, to the values that training at this size computes from the originals: "
        "photographs averaged down and saved as png, label maps by nearest pixels; other "
        "proportions are squashed, not cropped",
    )
    parser.add_argument(
        "--copy", action="store_true", help="copy photographs instead of linking them"
    )
    parser.add_argument("--skip-bad", action="store_true", help="skip bad files, with a warning")
    KINDS[kind].add_flags(parser)
    add_workers(parser)
    return parser
