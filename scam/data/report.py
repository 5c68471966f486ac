# SPDX-License-Identifier: Apache-2.0
"""A :class:`~scam.data.FolderReport` as text: counts, labels with bars, bad files."""

from collections.abc import Sequence

from scam.data.advice import advise_once
from scam.data.fit import SLIGHT, Frame
from scam.data.folder_report import FolderReport, LabelCount
from scam.data.labels import LABEL_SETS
from scam.data.split import FEW_HELD_OUT, LEAST_EVALUATED
from scam.errors import counted, printable, sized, spelled

_BAR = 30
_NAMED_ABSENT = 12
_BAD_SHOWN = 20


def report_text(report: FolderReport, *, every_bad: bool = False) -> str:
    """Several lines for a terminal; of more than 20 bad files the first 20 unless every_bad."""
    usable = sum(report.splits.values())
    table = label_table(report.labels, usable, report.unlabelled)
    return "\n".join([*_head(report), "", *table, *_bad(report, every_bad)])


def splits_text(splits: dict[str, int]) -> str:
    """``20 train, 2 val and 5 test images``, or ``27 images`` of a folder without splits."""
    if list(splits) == ["all"]:
        return counted(splits["all"], "image")
    *first, last = [f"{count} {split}" for split, count in splits.items()]
    return f"{', '.join(first)} and {last} images" if first else f"{last} images"


def _head(report: FolderReport) -> list[str]:
    usable = sum(report.splits.values())
    of = "" if usable == report.pairs else f" usable of {report.pairs} pairs"
    held = " (val held out of train)" if report.held_out else ""
    lines = [printable(f"{report.root}: {splits_text(report.splits)}{of}{held}")]
    if report.left_out:
        lines.append(printable(report.left_out))
    if "train" not in report.splits:
        lines.append("no folder train: only scam.evaluate reads these")
    if report.sizes:
        low, usual, high = report.sizes.values()
        if report.num_sizes == 1:
            lines.append(f"size: {sized(usual)}")
        else:
            lines.append(
                f"sizes: {sized(low, order=False)} to {sized(high)}, most often "
                f"{sized(usual, order=False)}, {report.num_sizes} different"
            )
            frame = Frame(report.sizes["largest"])
            if any(frame.stretch(size) > SLIGHT for size in report.sizes.values()):
                lines.append(
                    "their proportions differ: training squashes images to one size; with fit "
                    "crop or pad it keeps their proportions"
                )
    if report.turned:
        lines.append(
            f"turned upright by their EXIF orientation: {counted(report.turned, 'photograph')}; "
            "their label maps must be upright too"
        )
    if usable:
        lines.append(
            counted(len(report.labels), "label") + ("" if report.named else _unnamed(report))
        )
    if report.unpaired:
        names = ", ".join(report.unpaired[:_NAMED_ABSENT])
        more = ", ..." if len(report.unpaired) > _NAMED_ABSENT else ""
        lines.append(
            f"not swapped in mirrored images, since no label differs in left and right only: "
            f"{names}{more}"
        )
    held_out = report.splits.get("val", 0)
    if 0 < held_out < FEW_HELD_OUT and "train" in report.splits:
        lines.append(f"fewer than {FEW_HELD_OUT} val images: their numbers will be noisy")
    if 0 < held_out < LEAST_EVALUATED:
        more = f"train with {{:holdout}} {LEAST_EVALUATED}" if report.held_out else "add to val"
        needs = f"scam.evaluate needs {LEAST_EVALUATED} val images: {more}"
        lines.append(spelled(needs))
    return lines


def _unnamed(report: FolderReport) -> str:
    like = [name for name, known in LABEL_SETS.items() if len(known) == len(report.labels)]
    sets, have = ("label set", "has") if len(like) == 1 else ("label sets", "have")
    also = (
        f" (the {sets} {' and '.join(like)} {have} {len(report.labels)} as well)" if like else ""
    )
    return f" without names{also}: {spelled('write labels.txt or give {:label_set}')}"


def label_table(labels: Sequence[LabelCount], images: int, unlabelled: int) -> list[str]:
    """What share of so many images, and of their pixels, each label has; ``unlabelled``: pixels
    without one.
    """
    present = [label for label in labels if label.pictures]
    if not present:
        return ["no usable pair: nothing to count"]
    pixels = sum(label.pixels for label in labels) + unlabelled
    width = max(len("label"), *(len(label.name) for label in present))
    most = max(label.pixels for label in present)
    lines = [f"{'id':>5}  {'label':{width}}  {'images':>15}  {'pixels':>7}  (bars: square root)"]
    for label in present:
        share = f"{label.pictures} ({100 * label.pictures / images:.0f} %)"
        bar = "#" * max(1, round(_BAR * (label.pixels / most) ** 0.5))
        lines.append(
            f"{label.id:5}  {label.name:{width}}  {share:>15}  "
            f"{100 * label.pixels / pixels:5.2f} %  {bar}"
        )
    if unlabelled:
        lines.append(f"without a label: {100 * unlabelled / pixels:.2f} % of the pixels")
    return lines + _absent([label for label in labels if not label.pictures])


def _absent(absent: list[LabelCount]) -> list[str]:
    if not absent:
        return []
    names = ", ".join(
        str(label.id) if label.name == f"label_{label.id}" else f"{label.id} {label.name}"
        for label in absent[:_NAMED_ABSENT]
    )
    more = ", ..." if len(absent) > _NAMED_ABSENT else ""
    return [f"labels that never occur: {names}{more}"]


def _bad(report: FolderReport, every_bad: bool) -> list[str]:
    if not report.bad:
        return ["", "no bad file"]
    bad = report.bad_lines()
    texts = (
        printable(f"  {file}: {text}") for file, text in (bad if every_bad else bad[:_BAD_SHOWN])
    )
    shown, advice = advise_once(texts)
    lines = ["", f"bad: {len(report.bad)}", *shown]
    if len(shown) < len(bad):
        all_of_them = spelled("{:every_bad} shows them")
        lines.append(f"  ... and {len(bad) - len(shown)} more ({all_of_them})")
    # Of greys the values of all maps tell more than one image does.
    if report.advice:
        advice = [line for line in advice if " indices " not in line]
    return [*lines, *report.advice, *advice]
