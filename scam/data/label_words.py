# SPDX-License-Identifier: Apache-2.0
"""Which labels somebody means: by name, by number, or by the name of a group of them."""

from collections.abc import Iterable
from typing import Any

from scam.data.groups import groups_of, plain
from scam.errors import InputError, did_you_mean, quoted

LabelWords = str | int | Iterable[str | int]
"""One or several, each the name of a label, its number, or the name of a group of labels."""


def find_labels(words: LabelWords, names: tuple[str, ...]) -> tuple[int, ...]:
    """The numbers of the labels that ``words`` mean where labels have these names, each once.

    A label's name comes before a number, and both before a group. Case, and whether words are
    joined by ``_``, ``-`` or spaces, do not matter where that is clear. InputError lists what
    there is.
    """
    given: Any = words.tolist() if hasattr(words, "tolist") else words
    several = hasattr(given, "__iter__") and not isinstance(given, str)
    found = (_find(word, names) for word in (given if several else [given]))
    return tuple(dict.fromkeys(label for labels in found for label in labels))


def _find(word: Any, names: tuple[str, ...]) -> tuple[int, ...]:
    groups = groups_of(names)
    if isinstance(word, str):
        if word in names:
            return (names.index(word),)
        if word.isdecimal() and len(word) < 10 and int(word) < len(names):
            return (int(word),)
        alike = tuple(i for i, name in enumerate(names) if plain(name) == plain(word))
        if len(alike) == 1:
            return alike
        if (members := groups.find(word)) is not None:
            return members
    elif hasattr(word, "__index__") and not isinstance(word, bool) and 0 <= word < len(names):
        return (int(word),)
    near = did_you_mean(word, [*names, *groups.members]) if isinstance(word, str) else ""
    listed = ", ".join(groups.members)
    of_them = f", a group of them ({listed})" if listed else ""
    raise InputError(
        f"label {quoted(word)}: expected one of {', '.join(names)}{of_them}, "
        f"or 0 to {len(names) - 1}{near}"
    )
