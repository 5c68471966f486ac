# SPDX-License-Identifier: Apache-2.0
"""Whether the values in label maps are ids 0, 1, 2, ..., and what to do where they are not."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import gcd

from scam.errors import percent, spelled

# The highest value that unnamed maps may hold: more are instances or colours, not labels.
MOST_SCANNED = 1024
# What 255 means as the highest value of unnamed maps.
NO_LABEL = 255
# Of fewer ids, any gap may be a label that happens to be absent.
_FEW = 16
_MOST_ABSENT = 4
_END = 16
_SHOWN = 6


@dataclass(frozen=True)
class Scale:
    """Values that stand for ids: how they are spread, in words, and the flags that make ids.

    flags: of the shell command ``prepare indices``.
    """

    said: str
    flags: str


@dataclass(frozen=True)
class Judgement:
    """What the values of unnamed maps mean.

    count: labels 0 .. count - 1. strange: values among them, or above, that are not labels.
    problem: what is wrong with all of them together, else None. advice: what to do, with a
    command, where something is wrong, else None.
    """

    count: int
    strange: frozenset[int] = frozenset()
    problem: str | None = None
    advice: str | None = None


Command = Callable[[str], str]
"""The command ``prepare indices`` with the flags given."""


def judge(pixels: Mapping[int, int], command: Command) -> Judgement:
    """Judge the values, with pixels each, of all maps; those of the ignore label left out."""
    scale = scale_of(pixels)
    if scale is not None:
        said = f"label maps hold {scale.said}, expected labels 0, 1, 2, ..."
        return Judgement(0, problem=said, advice=scale_advice(scale, command))
    labels = _labels(pixels)
    strange = pixels.keys() - labels
    text = None
    if strange:
        value = NO_LABEL if NO_LABEL in strange else min(strange)
        share = percent(pixels[value], sum(pixels.values()))
        ignored = spelled("{ignore_label}", ignore_label=value)
        text = (
            f"{value} is {share} of the pixels: if they have no label, give "
            f"{ignored}; if they are a label, name all labels in labels.txt (lines "
            f"'id name') or renumber them: {command('--dense')}"
        )
    return Judgement(max(labels, default=0) + 1, frozenset(strange), advice=text)


def scale_advice(scale: Scale, command: Command) -> str:
    """What to do with values on a scale."""
    text = f"make index maps of them: {command(scale.flags)}"
    if scale.flags.startswith("--dense"):
        names = spelled("name them in labels.txt (lines 'id name') or give {:label_set}")
        text = (
            f"if these are ids, {names}; "
            f"to number those that are there 0, 1, 2, ... in their order: {command(scale.flags)}"
        )
    return text


def scale_of(pixels: Mapping[int, int]) -> Scale | None:
    """How the values, with pixels each, are spread; None where they may well be ids."""
    if not any(pixels):
        return None
    if _is_smoothed(pixels):
        return Scale("black and white and little between, as smoothed masks do", "--threshold 128")
    step, others = _step(pixels), pixels.keys() - {NO_LABEL}
    tighter = _step(others) if sum(value > 0 for value in others) > 2 else 0
    if NO_LABEL in pixels and tighter > step:
        said = f"{_listed(others)}, all multiples of {tighter}, and {NO_LABEL}"
        return Scale(said, f"--divide {tighter} --ignore-label {NO_LABEL}")
    if step and not _is_scattered(value // step for value in pixels):
        what = "as black and white masks do" if len(pixels) < 3 else f"all multiples of {step}"
        return Scale(f"{_listed(pixels)}, {what}", f"--divide {step}")
    labels = _labels(pixels)
    if any(labels) and not _is_scattered(labels):
        return None
    ids = f"{len(pixels)} of the ids 0 .. {max(pixels)}"
    return Scale(f"{ids} ({_listed(pixels)})", "--dense")


def _labels(values: Iterable[int]) -> set[int]:
    """The values that may be ids: not 255 as the highest, nor any far above the rest."""
    labels = {value for value in values if value < MOST_SCANNED}
    return labels - {NO_LABEL} if max(labels, default=0) == NO_LABEL else labels


def _step(values: Iterable[int]) -> int:
    """What all values are multiples of, unless by chance, else 0."""
    above = [value for value in values if value > 0]
    step = gcd(*above)
    by_chance = step < 2 or (step < 5 and len(above) < 6) or (step < 10 and len(above) < 2)
    return 0 if by_chance else step


def _is_scattered(ids: Iterable[int]) -> bool:
    ids = set(ids)
    top = max(ids, default=0)
    return top >= _FEW and _MOST_ABSENT * len(ids) < top + 1


def _is_smoothed(pixels: Mapping[int, int]) -> bool:
    """Nearly all pixels near 0 or 255, on both sides, and some of them beside 255."""
    if max(pixels) > 255 or not any(255 - _END <= value < 255 for value in pixels):
        return False
    total = sum(pixels.values())
    low = sum(count for value, count in pixels.items() if value <= _END)
    high = sum(count for value, count in pixels.items() if value >= 255 - _END)
    return len(pixels) > 2 and min(low, high) > 0.005 * total and low + high >= 0.9 * total


def _listed(values: Iterable[int]) -> str:
    ordered = sorted(values)
    if len(ordered) == 2:
        return f"{ordered[0]} and {ordered[1]} only"
    if len(ordered) > _SHOWN:
        return f"{', '.join(map(str, ordered[: _SHOWN - 1]))}, ..., {ordered[-1]}"
    return ", ".join(map(str, ordered))
