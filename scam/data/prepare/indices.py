# SPDX-License-Identifier: Apache-2.0
"""Label images whose greys stand for ids, made index maps; no id changes unless asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scam.data.advice import prepare_command
from scam.data.arrays import LabelMap
from scam.data.greys import read_values
from scam.data.ids import MOST_SCANNED, judge
from scam.data.labels import NUM_VALUES, LabelSet, find_label_set
from scam.data.names import names_file, names_text, read_label_names, read_names
from scam.data.parallel import spread
from scam.data.picture_folder import PICTURE_SUFFIXES, BadFile
from scam.data.prepare.plan import Item, Plan, folder_items
from scam.data.values import count_values, values_text, without
from scam.errors import InputError


@dataclass(frozen=True)
class GreyMaps:
    """Reads the label image of an item; ``ids`` are those of its values, -1 for none."""

    ids: Mapping[int, int]
    expected: str

    def __call__(self, item: Item) -> LabelMap:
        """The labels, int32 (H, W). InputError for a value without an id."""
        values = read_values(item.maps[0])
        found, where = np.unique(values, return_inverse=True)
        strange = [value for value in found.tolist() if value not in self.ids]
        if strange:
            pixels = count_values(values)
            text = values_text({value: pixels[value] for value in strange})
            raise InputError(f"{item.maps[0]}: holds {text}, expected {self.expected}")
        ids = np.array([self.ids[value] for value in found.tolist()], np.int32)
        return ids[where].reshape(values.shape)


@dataclass(frozen=True)
class _Rule:
    """Which ids values become; ``about`` says it in labels.txt, ``expected`` of bad ones."""

    id_of: Callable[[int], int | None]
    about: str
    expected: str


def plan(
    src: Path,
    labels: str = "labels",
    *,
    divide: int | None = None,
    dense: bool = False,
    threshold: int | None = None,
    ignore_label: int | None = None,
    label_set: str | None = None,
    workers: int = 1,
) -> Plan:
    """``images`` with images of greys ``<labels>``, or ``{train,val,test}`` with both.

    Values are ids unless one of three says otherwise: ``divide``, ids times a number; ``dense``,
    the values that ``<labels>.txt`` names, or else those that are there, become 0, 1, 2, ... in
    their order; ``threshold``, 1 from this value on and 0 below. ``ignore_label``: a value of
    pixels without label. ``label_set``: the new ids else ``<labels>.txt`` if there.
    InputError for values that are not ids, with the flags that make ids of them.
    """
    given = [name for name, value in _asked(divide, dense, threshold).items() if value]
    if len(given) > 1:
        raise InputError(f"{{:{given[0]}}} and {{:{given[1]}}}: expected one of them")
    for name, number in (("divide", divide), ("threshold", threshold)):
        if number is not None and not 1 <= number < NUM_VALUES:
            message = f"{{{name}}}: expected 1 .. {NUM_VALUES - 1}"
            raise InputError(message, **{name: number})
    file = None if label_set is not None else names_file(src, labels)
    if label_set is not None and dense:
        raise InputError("{label_set}: expected no {:dense} with it", label_set=label_set)
    items, problems = folder_items(src, labels, PICTURE_SUFFIXES)
    items, pixels, unreadable = _census(items, workers)
    problems += unreadable
    pixels = {v: n for v, n in without(pixels, ignore_label).items() if 0 <= v < NUM_VALUES}
    if dense:
        rule, found = _dense(pixels, file, ignore_label)
    else:
        rule = _rule(divide, threshold)
        known = None if label_set is None else find_label_set(label_set)
        if file is not None:
            known = read_label_names(file, ignore_label, labels)
        if known is None and not given:
            _expect_ids(src, labels, pixels, ignore_label)
        found = known or _unnamed(pixels, rule)
    ids = {
        value: index
        for value in pixels
        if (index := rule.id_of(value)) is not None and index < len(found)
    }
    if ignore_label is not None:
        ids[ignore_label] = -1
    return Plan(
        "indices",
        found,
        items,
        GreyMaps(ids, rule.expected if given else f"labels 0 .. {len(found) - 1}"),
        problems=problems,
        texts={"labels.txt": f"# {rule.about}\n{names_text(dict(enumerate(found.names)))}"},
    )


def _asked(divide: int | None, dense: bool, threshold: int | None) -> dict[str, bool]:
    return {
        "divide": divide is not None,
        "dense": dense,
        "threshold": threshold is not None,
    }


def _census(items: list[Item], workers: int) -> tuple[list[Item], dict[int, int], list[BadFile]]:
    """The items that can be read, pixels per value of their maps, and the others."""
    good, pixels, bad = [], dict[int, int](), []
    found = spread(_count, items, workers=workers, what="find values")
    for item, counts in zip(items, found, strict=True):
        if isinstance(counts, BadFile):
            bad.append(counts)
            continue
        good.append(item)
        for value, count in counts.items():
            pixels[value] = pixels.get(value, 0) + count
    return good, pixels, bad


def _count(item: Item) -> dict[int, int] | BadFile:
    try:
        found = count_values(read_values(item.maps[0]))
    except InputError as error:
        return BadFile.of(error, item.maps[0])
    if len(found) > MOST_SCANNED:
        text = f"holds {len(found)} values, expected {MOST_SCANNED} labels at most"
        return BadFile(item.maps[0], text)
    return found


def _rule(divide: int | None, threshold: int | None) -> _Rule:
    if divide is not None:
        return _Rule(
            lambda value: value // divide if value % divide == 0 else None,
            f"ids are the values of the source divided by {divide}",
            f"labels times {divide}",
        )
    if threshold is not None:
        return _Rule(
            lambda value: int(value >= threshold),
            f"label 1 is what was {threshold} or more in the source",
            f"values of 0 .. {NUM_VALUES - 1}",
        )
    return _Rule(lambda value: value, "ids are the values of the source", "labels")


def _dense(
    pixels: Mapping[int, int], file: Path | None, ignore_label: int | None
) -> tuple[_Rule, LabelSet]:
    """Values in a row, under the names that ``file`` gives to them."""
    named = {} if file is None else without(read_names(file), ignore_label)
    values = sorted(named or pixels) or [0]
    if len(values) > MOST_SCANNED:
        raise InputError(
            f"{{dense}}: found {len(values)} values, expected {MOST_SCANNED} at most", dense=True
        )
    about = f"values of the source, in the order of these ids: {' '.join(map(str, values))}"
    expected = "the values of the source" if file is None else f"the values that {file} names"
    label_set = LabelSet.of("labels", [named.get(value, f"label_{value}") for value in values])
    return _Rule({value: i for i, value in enumerate(values)}.get, about, expected), label_set


def _unnamed(pixels: Mapping[int, int], rule: _Rule) -> LabelSet:
    ids = {index for index in map(rule.id_of, pixels) if index is not None}
    if set(pixels) - ids and ids <= {0, 1}:  # a mask that was no 0 and 1
        return LabelSet("labels", ("background", "foreground"))
    return LabelSet.numbered("labels", min(max(ids, default=0) + 1, NUM_VALUES))


def _expect_ids(
    src: Path, labels: str, pixels: Mapping[int, int], ignore_label: int | None
) -> None:
    """InputError with the flags that say what the values mean, if they are not ids in a row."""
    also = "" if ignore_label is None else f" --ignore-label {ignore_label}"

    def command(flags: str) -> str:
        return prepare_command("indices", src, labels, flags + also)

    found = judge(pixels, command) if pixels else None
    if found is not None and found.problem is not None:
        raise InputError(f"{src}: {found.problem}; {found.advice}")
    if found is not None and found.strange:
        raise InputError(
            f"{src}: label maps hold {values_text({v: pixels[v] for v in found.strange})} "
            f"beside labels 0 .. {found.count - 1}; {found.advice}"
        )
