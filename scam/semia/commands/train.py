# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.semia train``: a folder from which an image is generated."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from scam.commandline.command import Parser
from scam.commandline.console import say
from scam.commandline.device import open_device
from scam.commandline.flags import add_flags, given
from scam.data.advice import path_word
from scam.data.picture import save_label_png
from scam.errors import InputError, counted, sized
from scam.semia.folder import TARGETS, Method, Stored, discard, read_folder
from scam.semia.generator import GeneratorConfig
from scam.semia.labels import Absent, Source, read_source, read_targets
from scam.semia.landscape.example import example
from scam.semia.learning import start, train
from scam.semia.options import SemiaOptions
from scam.semia.patches import PatchOptions
from scam.semia.vocabulary import Vocabulary
from scam.storage.locks import locked
from scam.training.run_folder import RunFolder

PROG = "python -m scam.semia train"
EXAMPLES = """\
  python -m scam.semia train --out runs/lake
      the embedded example, without learning; its targets are written to runs/lake/targets
  python -m scam.semia train photo.jpg labels.png --out runs/photo --size 512
      a photograph and its label map, an index map or an image in colours
  python -m scam.semia train photo.jpg labels.png --out runs/refined --method network --seconds 300
      as good as a network gets in five minutes; sheets are in runs/refined/samples
  python -m scam.semia train --resume --out runs/refined --steps 4000
      resume, with every setting it was started with"""
SETTINGS = (PatchOptions, GeneratorConfig, SemiaOptions)
_SIZES = {"patches": 768, "network": 128}
"""Pixels of the longer side where nothing else is asked for."""
_GPU_SIZE = 512
_EXAMPLE = (320, 480)
_ABSENT: Absent = "error"


def main(argv: Sequence[str]) -> None:
    """Read, start or resume the folder, learn if there is anything to learn."""
    args = vars(_parser().parse_args(argv))
    if args["absent"] != _ABSENT and not args["previews"]:
        raise InputError("{absent}: expected {:previews} with it", absent=args["absent"])
    device = open_device(args.pop("device"))
    out, resume = args["out"], args.pop("resume")
    notes: list[str] = []
    targets: dict[str, Tensor] = {}
    with ExitStack() as stack:
        if resume:
            if out.is_dir():
                stack.enter_context(locked(out))
            run = _resumed(out, args)
        else:
            source, targets = _source(args)
            notes.extend(source.notes)
            stack.enter_context(locked(out))
            run = _started(args, source, device)
        try:
            stored = read_folder(out)
            for name, labels in targets.items():
                save_label_png(out / TARGETS / f"{name}.png", labels)
            previews = _previews(args, stored)
            lines = [*notes, heading(stored, device)]
            if stored.method == "patches":
                say(*lines)
            else:
                sheet = train(
                    run, device, resume=resume, previews=previews, say=say,
                    heading="\n".join(lines),
                )  # fmt: skip
                say(f"sheet: {sheet}")
        except BaseException:
            if not resume and not run.has_steps():
                discard(run)
            raise
    where = path_word(out / TARGETS) if (out / TARGETS).is_dir() else "LABELS ..."
    say(f"next: python -m scam.semia apply {path_word(out)} {where} --out EDITED")


def heading(stored: Stored, device: torch.device) -> str:
    """What is worked on."""
    words = f"working size {sized(stored.labels.shape)}"
    if tuple(stored.labels.shape) != stored.own_size:
        words += f", the image's own is {sized(stored.own_size, order=False)}"
    labels = counted(len(stored.vocabulary), "label")
    labels = f"{labels} ({stored.vocabulary.shares(stored.labels)})"
    return f"{labels}, {words}, method {stored.method}, {device}; folder: {stored.path}"


def _source(args: dict[str, Any]) -> tuple[Source, dict[str, Tensor]]:
    """The source, and target label maps where it is the embedded example."""
    image, labels = args["image"], args["labels"]
    if image is None:
        if args["as_colours"]:
            raise InputError("{as_colours}: expected an image and labels", as_colours=True)
        drawn = example(*_EXAMPLE)
        vocabulary = Vocabulary("index", tuple(range(len(drawn.names))))
        return Source(drawn.image, drawn.labels, vocabulary), drawn.targets
    if labels is None:
        raise InputError(
            f"{image}: give its label map as a second argument, as in: photo.jpg labels.png"
        )
    return read_source(image, labels, as_colours=args["as_colours"]), {}


def _started(args: dict[str, Any], source: Source, device: torch.device) -> RunFolder:
    method: Method = args["method"] or "patches"
    if method == "patches" and args["previews"]:
        message = "{previews}: expected {method} with it: patches draw no sheets"
        raise InputError(message, previews=args["previews"], method="network")
    settings = {name: value for kind in SETTINGS for name, value in given(args, kind).items()}
    size = args["size"]
    if size is None:
        size = _GPU_SIZE if method == "network" and device.type == "cuda" else _SIZES[method]
    return start(
        args["out"], source.image, source.labels, source.vocabulary, method,
        size=size, seconds=args["seconds"], device=device, **settings,
    )  # fmt: skip


def _resumed(out: Path, args: dict[str, Any]) -> RunFolder:
    """Open the run in ``out``; what was asked for may not contradict it."""
    for name in ("image", "size", "seconds", "as_colours"):
        if args[name] not in (None, False):
            message = f"{{{name}}}: cannot be given with {{resume}}: {out} has its own"
            raise InputError(message, **{name: args[name]}, resume=True)
    if read_folder(out).method == "patches":
        raise InputError(f"{{resume}}: {out} holds patches, which learn nothing", resume=True)
    sections = zip(("patches", "network", "training"), SETTINGS, strict=True)
    asked = {name: given(args, kind) for name, kind in sections if given(args, kind)}
    if args["method"] is not None:
        asked["method"] = args["method"]
    free = [name for name, what in SemiaOptions.settings().items() if what.may_change]
    return RunFolder.resume(out, asked, [f"training.{name}" for name in free])


def _previews(args: dict[str, Any], stored: Stored) -> list[Tensor]:
    """Label maps for the sheets, at the working size: of files, or the folder's that fit."""
    size, kept = stored.labels.shape, stored.path / TARGETS
    if not args["previews"]:
        targets = read_targets([kept], stored.vocabulary).values() if kept.is_dir() else ()
        return [x for x in (stored.working(each.labels) for each in targets) if x.shape == size]
    found = []
    files = read_targets(args["previews"], stored.vocabulary, absent=args["absent"])
    for path, target in files.items():
        say(*target.notes)
        labels = stored.working(target.labels)
        if labels.shape != size:
            own, wanted = sized(target.labels.shape, order=False), sized(stored.own_size)
            raise InputError(f"{path}: is {own}, expected {wanted} for a preview")
        found.append(labels)
    return found


def _parser() -> Parser:
    about = "Learn one image with its label map; `apply` then generates it under other label maps."
    parser = Parser(PROG, about, EXAMPLES)
    parser.add_argument("image", nargs="?", type=Path, help="(default: the embedded example)")
    parser.add_argument("labels", nargs="?", type=Path, help="its label map, of the same size")
    parser.add_argument("--out", required=True, type=Path, help="folder to make")
    methods = "patches: a collage of the source's patches, no learning, seconds; network: a "
    methods += "generator that refines it, minutes (default: patches)"
    parser.add_argument("--method", choices=get_args(Method), help=methods)
    parser.add_argument(
        "--size",
        type=int,
        metavar="PIXELS",
        help="of the longer side, to work at (default: patches 768, network 128, on a GPU 512; "
        "no larger than the image)",
    )
    parser.add_argument(
        "--seconds", type=float, help="of learning, instead of --steps: as many as fit in there"
    )
    parser.add_argument(
        "--previews", nargs="+", type=Path, metavar="LABELS", help="label maps for the sheets"
    )
    parser.add_argument(
        "--absent", choices=get_args(Absent), default=_ABSENT,
        help=f"what becomes of labels in --previews that the source lacks (default: {_ABSENT})",
    )  # fmt: skip
    parser.add_argument(
        "--as-colours", action="store_true",
        help="a grey or palette png of labels is an image in colours, not an index map",
    )  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="resume the run in --out")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda if there is one)")
    for settings in SETTINGS:
        add_flags(parser, settings)
    return parser
