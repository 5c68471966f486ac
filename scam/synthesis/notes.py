# SPDX-License-Identifier: Apache-2.0
"""What a run says, in a line each, where its numbers or its images are not what they seem."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scam.data import PairDataset
from scam.data.fit import SLIGHT, Frame
from scam.data.left_out import left_out
from scam.data.shapes import shapes_of
from scam.data.split import FEW_HELD_OUT, LEAST_EVALUATED, Split, named
from scam.errors import counted, sized, spelled
from scam.metrics import ColourFloors
from scam.synthesis.options import SynthesisOptions

_LONG_WARMUP = 0.25
"""Of all steps."""


def at_start(
    options: SynthesisOptions,
    train: PairDataset,
    held_out: PairDataset,
    split: Split | None = None,
) -> Iterator[str]:
    """Of settings and images, before anything is trained; split: of the images, where known."""
    images, maps = _folders(train, held_out)
    if skipped := left_out(images, maps=maps):
        yield skipped
    if len(held_out) < FEW_HELD_OUT:
        yield (
            f"{counted(len(held_out), 'held-out image')}: with fewer than {FEW_HELD_OUT} the "
            "PSNR is noisy, so do not choose between runs by it"
        )
    if len(held_out) < LEAST_EVALUATED:
        yield spelled(
            f"scam.evaluate needs {LEAST_EVALUATED} held-out images: start a run with "
            f"{{:holdout}} {LEAST_EVALUATED}, or have so many in the folder val"
        )
    if options.warmup > _LONG_WARMUP * options.steps:
        yield spelled(
            f"learning rates rise over {counted(options.warmup, 'step')}, more than a quarter of "
            f"{{steps}}: give more {{:steps}}, or {{:warmup}} {int(_LONG_WARMUP * options.steps)}",
            steps=options.steps,
        )
    if split is not None and (copies := split.copies):
        are = "is" if len(copies) == 1 else "are"
        yield (
            f"{counted(len(copies), 'held-out image')} ({named(copies)}) {are} among the training "
            "images too, by content: the held-out PSNR is too high; remove the copies"
        )
    yield from _proportions(train, held_out)


def of_labels(train: PairDataset, floors: ColourFloors) -> Iterator[str]:
    """Of labels that the training images from which ``floors`` learnt lack."""
    names = train.source.label_set.names
    missing = [names[label] for label in floors.unknown]
    if missing:
        occur = "occurs" if len(missing) == 1 else "occur"
        yield (
            f"{len(missing)} of {len(names)} labels {occur} in none of the {floors.pictures} "
            f"training images at {sized(train.size)} and cannot be learnt: {named(missing)}"
        )


def at_end(logged: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Of the numbers that were logged, by step."""
    own, mean, psnr = (
        next((entry[name] for entry in reversed(logged) if entry.get(name) is not None), None)
        for name in ("psnr_own_colours", "psnr_mean_colours", "psnr")
    )
    if own is None or mean is None or psnr is None or psnr >= own:
        return
    floor, where = (mean, "over the training images") if psnr < mean else (own, "in each image")
    yield spelled(
        f"held-out PSNR {psnr:.2f} dB is worse than the {floor:.2f} dB of flat colours, each "
        f"label's mean {where}: the model has not learnt enough yet; resume with more {{:steps}}, "
        "or add images"
    )


def _folders(*data: PairDataset) -> tuple[list[Path], list[Path]]:
    """Where the photographs are, and where their label maps."""
    sources = [each.source for each in data]
    files = [source.files(index) for source in sources for index in range(len(source))]
    pairs = [pair for pair in files if pair is not None]
    images, maps = ((p.image.parent for p in pairs), (p.labels.parent for p in pairs))
    return list(dict.fromkeys(images)), list(dict.fromkeys(maps))


def _proportions(train: PairDataset, held_out: PairDataset) -> Iterator[str]:
    frame = Frame(train.size, train.source.fit)
    shapes = [shape for data in (train, held_out) for shape in shapes_of(data.source)]
    others = [shape for shape in shapes if frame.stretch(shape) > SLIGHT]
    if not others:
        return
    aspects = sorted(height / width for height, width in others)
    low, high = f"{aspects[0]:.2f}", f"{aspects[-1]:.2f}"
    found = low if low == high else f"{low} .. {high}"
    wanted = f"{frame.size[0] / frame.size[1]:.2f}"
    most = 1 - 1 / max(frame.stretch(shape) for shape in others)
    are = "is" if len(others) == 1 else "are"
    said = {
        "squash": f"{are} squashed: height / width from {found} to {wanted} ({{:fit}} crop or pad "
        "keeps proportions)",
        "crop": f"{are} cropped from height / width {found} to {wanted}: {most:.0%} of one at "
        "most",
        "pad": f"{are} padded from height / width {found} to {wanted}: {most:.0%} of the image at "
        "most is padding",
    }
    yield spelled(f"{len(others)} of {len(shapes)} images {said[frame.fit]}")
