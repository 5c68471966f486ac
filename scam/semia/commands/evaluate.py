# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.semia evaluate``: do results show their label maps and resemble the source?"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import get_args

from torch import Tensor

from scam.commandline.command import Parser
from scam.commandline.console import say
from scam.commandline.device import open_device
from scam.commandline.progress import progress
from scam.data.convert import floating, to_uint8
from scam.errors import within
from scam.evaluation.rows import Row
from scam.semia.analogy import Analogy, opened
from scam.semia.folder import Stored, read_folder
from scam.semia.judge import STEPS, train_judge
from scam.semia.labels import Absent, read_targets
from scam.semia.patches import PatchMatch, PatchOptions
from scam.semia.scores import Scorer, side_by_side
from scam.storage.files import write_json
from scam.storage.outputs import expect_outputs

PROG = "python -m scam.semia evaluate"
REPORT = "evaluation.json"
EXAMPLES = """\
  python -m scam.semia evaluate runs/lake targets
      means over all label maps in the folder targets, beside those of patches and of a collage
  python -m scam.semia evaluate runs/lake edited.png --out scores --inception-weights weights.pth
      with SIFID, and the numbers of each label map in scores/evaluation.json"""
_SOURCE = "the source's own"
_COLLAGE = PatchOptions(rounds=1, last_rounds=1, coarsest=96)
"""One step of patch match."""
_MOST = 256
"""Pixels of the longer side above which comparing all patches takes minutes."""


def main(argv: Sequence[str]) -> None:
    """Generate under each label map, measure, print the means, write all numbers."""
    args = _parser().parse_args(argv)
    device = open_device(args.device)
    stored = read_folder(args.dir)
    files = read_targets(args.labels, stored.vocabulary, absent=args.absent)
    out = args.dir if args.out is None else args.out
    overwrite = args.out is None or args.overwrite
    expect_outputs([("out", out, out / REPORT)], list(files), overwrite=overwrite)
    for target in files.values():
        say(*target.notes)
    if max(stored.labels.shape) > _MOST:
        say(f"larger than {_MOST} pixels: comparing all patches takes minutes a label map")
    targets = {str(path): stored.working(target.labels) for path, target in files.items()}
    targets = {_SOURCE: stored.labels, **targets}
    rows, facts = measure(stored, opened(stored, device), targets, args.inception_weights)
    report = {"source": str(args.dir), "method": stored.method, **facts}
    report["rows"] = {method: [x.as_dict() for x in found] for method, found in rows.items()}
    write_json(out / REPORT, report, overwrite=overwrite)
    print(side_by_side(rows))
    say(f"report: {out / REPORT}")


def measure(
    stored: Stored, analogy: Analogy, targets: dict[str, Tensor], inception: Path | None
) -> tuple[dict[str, list[Row]], dict[str, object]]:
    """By method the rows of a :class:`Scorer`, and facts about its judge.

    Beside what the folder holds stand patches, and one step of patch match. targets: labels
    (h, w) by name, at the working size.
    """
    image = floating(stored.image)[None]
    labels, count = stored.labels[None], len(stored.vocabulary)
    with progress("training the network that scores", STEPS, unit="steps") as bar:
        judge = train_judge(image, labels, count, progress=bar.update)
    scorer = Scorer(image, labels, judge, inception)

    def found(target: Tensor) -> Tensor:
        return analogy.generate(target).cpu()

    def collage(matcher: PatchMatch, target: Tensor) -> Tensor:
        return to_uint8(matcher(target).image)

    methods: dict[str, Callable[[Tensor], Tensor]] = {stored.method: found}
    for name, options in (("patches", PatchOptions()), ("collage", _COLLAGE)):
        if name != stored.method:
            matcher = PatchMatch(image[0], labels[0], count, options)
            methods[name] = partial(collage, matcher)
    rows: dict[str, list[Row]] = {name: [] for name in methods}
    with progress("measuring", len(methods) * len(targets), unit="results") as bar:
        for method, made in methods.items():
            for name, target in targets.items():
                with within(name):
                    result = floating(made(target))[None]
                    rows[method] += scorer.rows(name, result, target[None])
                bar.update(1)
    return rows, {**scorer.facts(), "ceilings": [row.as_dict() for row in scorer.ceilings()]}


def _parser() -> Parser:
    about = "Measure results: their layout in the eyes of a segmenter that saw only the source, "
    about += "and how far their patches are from the source's."
    parser = Parser(PROG, about, EXAMPLES)
    parser.add_argument("dir", type=Path, help="what `train` left")
    parser.add_argument(
        "labels",
        nargs="+",
        type=Path,
        help="label maps in the source's labels, or folders of them",
    )
    parser.add_argument(
        "--out", type=Path, help=f"folder for {REPORT} (default: DIR, where one is replaced)"
    )
    parser.add_argument(
        "--absent", choices=get_args(Absent), default="error",
        help="what becomes of labels that the source lacks (default: error)",
    )  # fmt: skip
    parser.add_argument(
        "--inception-weights", type=Path, metavar="FILE", help="for SIFID (see docs/evaluate.md)"
    )
    parser.add_overwrite()
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda if there is one)")
    return parser
