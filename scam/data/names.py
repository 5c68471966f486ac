# SPDX-License-Identifier: Apache-2.0
"""Names of labels as people write them into files."""

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from scam.data.advice import prepare_command
from scam.data.groups import plain
from scam.data.labels import NUM_VALUES, LabelSet, find_label_set
from scam.data.text import expect_name, read_lines
from scam.data.values import LabelValues
from scam.errors import InputError, few

# "3 left arm", "3<TAB>left arm", "3: left arm", "3,left arm", "3;left arm"
_LINE = re.compile(r"([0-9]+)(?:[ ]*([\t,;:=])\s*|\s+)(\S.*)", re.DOTALL)
_HEADER = re.compile(r"\W*(id|idx|index|label|value)\W+(name|label|class)\W*", re.IGNORECASE)
_SHAPE = "expected 'id name', such as '0 background'"


def named_labels(
    root: Path, labels: str, label_set: str | None, ignore_label: int | None
) -> LabelSet | None:
    """What the labels in ``root/<labels>`` are called, if a name or a file says so."""
    file = names_file(root, labels)
    if label_set is not None:
        found = find_label_set(label_set)
        if file is not None:
            _say_overridden(file, found, label_set, ignore_label)
        return found
    return None if file is None else read_label_names(file, ignore_label, labels)


def _say_overridden(file: Path, found: LabelSet, name: str, ignore_label: int | None) -> None:
    """One warning if the unused ``file`` has other names than the label set, which counts."""
    known = dict(enumerate(found.names))
    with suppress(InputError):
        names = {v: other for v, other in read_names(file).items() if v != ignore_label}
        differ = [value for value, other in names.items() if known.get(value) != other]
        if differ:
            there = known.get(differ[0], "no label")
            said = (
                f"{file} is not used, it names {differ[0]} {names[differ[0]]}: {there} in {name}"
            )
            if len(differ) > 1:
                said += f", and {len(differ)} of {len(names)} names differ"
            warnings.warn(said, stacklevel=2)


def names_file(root: Path, labels: str) -> Path | None:
    """The file that names the labels in ``root/<labels>``: anything of that name counts."""
    file = root / f"{labels}.txt"
    if not os.path.lexists(file) and not os.path.isdir(root / "labels"):
        file = root / "labels.txt"
    return file if os.path.lexists(file) else None


def expect_known_names(
    root: Path, labels: str, known: Sequence[str], values: LabelValues, *, merged: bool = False
) -> None:
    """InputError if the file that names the labels in ``root/<labels>`` gives a label of ``known``
    another value than ``values`` does, or names none of them; names beyond those may be others.

    merged: whether ``known`` are what the labels of files were merged to, with names of their own.
    """
    file = names_file(root, labels)
    names = {} if file is None else read_names(file)
    _expect_some_in_common(file, names, () if merged else known, values)
    for value, name in names.items():
        table = values.to_label
        if name in known and known.index(name) != (table[value] if value < len(table) else -1):
            wanted = [v for v, label in enumerate(table) if label == known.index(name)]
            numbers = " or ".join(map(str, wanted)) or "nothing"
            raise InputError(f"{file}: {name} is {value}, expected {numbers} as for this model")


def _expect_some_in_common(
    file: Path | None, names: Mapping[int, str], known: Sequence[str], values: LabelValues
) -> None:
    """InputError if there are names on both sides, and none is on both."""
    if list(known) == [f"label_{number}" for number in range(len(known))]:  # not named at all
        return
    found = [name for value, name in names.items() if value != values.ignore]
    if found and not {plain(name) for name in found} & {plain(name) for name in known}:
        raise InputError(
            f"{file}: names {few(found)}, and none of this model's labels ({few(known)}): give "
            "the same labels the same names, or other labels to a model trained on them"
        )


def read_label_names(
    path: Path, ignore_label: int | None = None, labels: str = "labels"
) -> LabelSet:
    """Read lines ``id name`` (:func:`read_names`): the ids 0 .. n - 1, each once, in any order.

    ``ignore_label`` may be named or not; above the other ids it is not a label. labels: the folder
    of the maps, for advice. InputError for gaps, and for what :func:`read_names` refuses.
    """
    found = read_names(path)
    top = max((index for index in found if index != ignore_label), default=None)
    if top is None:
        raise InputError(f"{path}: names {ignore_label} alone, which is ignored; {_SHAPE}")
    if ignore_label is not None:
        if ignore_label > top:
            found.pop(ignore_label, None)
        else:
            found.setdefault(ignore_label, f"label_{ignore_label}")
    for index in range(len(found)):
        if index not in found:
            raise InputError(
                f"{path}: id {index} is missing while {top} is there; expected 0, 1, 2, ...: "
                f"name the others too, or renumber the ids and keep their names: "
                f"{prepare_command('indices', path.parent, labels, '--dense')} "
                "({:ignore_label} N, here and there, if one of them means: no label)"
            )
    return LabelSet.of(path.stem, (found[index] for index in range(len(found))))


def read_names(path: Path) -> dict[int, str]:
    """Names by id from lines ``id name``; a tab, a comma, a colon may stand between.

    Blank lines, those that begin with ``#`` and a first line ``id,name`` are skipped. InputError
    naming file and line for anything else: ids outside 0 .. 65535, an id or a name given twice.
    """
    lines: dict[int, tuple[int, str]] = {}
    owner: dict[str, int] = {}
    begun = False
    for number, line in enumerate(read_lines(path), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        header, begun = not begun and _HEADER.fullmatch(text), True
        if header:
            continue
        where = f"{path}, line {number}"
        index, name = _parse(where, text)
        if index in lines:
            first, other = lines[index]
            raise InputError(
                f"{where}: id {index} is given twice, for {name!r:.60} and for {other!r:.60} in "
                f"line {first}; expected each id once"
            )
        if name in owner:
            raise InputError(
                f"{where}: names two labels {name!r:.60}, {index} and {owner[name]}; "
                "expected different names"
            )
        lines[index], owner[name] = (number, name), index
    if not lines:
        raise InputError(f"{path}: holds no labels, expected lines 'id name'")
    return {index: name for index, (_, name) in lines.items()}


def _parse(where: str, text: str) -> tuple[int, str]:
    match = _LINE.fullmatch(text)
    if match is None:
        raise InputError(f"{where}: found {text!r:.80}, {_SHAPE}")
    digits, mark, name = match.groups()
    if len(digits) > 6 or int(digits) >= NUM_VALUES:
        raise InputError(f"{where}: id {digits:.40}, expected 0 .. {NUM_VALUES - 1}")
    quoted = len(name) > 1 and name[0] == name[-1] and name[0] in "\"'"
    if quoted:
        name = name[1:-1].strip()
    elif mark in ("\t", ",", ";") and mark in name:
        raise InputError(f"{where}: found {text!r:.80}, {_SHAPE}, in two columns")
    return int(digits), expect_name(where, name)


def names_text(names: Mapping[int, str]) -> str:
    """The lines that :func:`read_names` reads."""
    return "".join(f"{index} {name}\n" for index, name in sorted(names.items()))
