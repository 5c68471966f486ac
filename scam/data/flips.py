# SPDX-License-Identifier: Apache-2.0
"""Which labels a mirrored image exchanges, read off their names."""

import re
import unicodedata
from collections.abc import Sequence

_SIDES = {"left": "right", "right": "left", "l": "r", "r": "l"}
# What may stand between words in one spelling and not in another; all else is part of the name.
_BETWEEN = re.compile(r"[\s_\-./:,()\[\]]+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_GLUED = re.compile(r"(left|right)(.+)", re.DOTALL)

Words = tuple[str, ...]


def left_right_pairs(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Ids (left, right) whose names differ in ``left`` / ``right`` alone: ``left_arm``.

    Case, separators and compatibility forms do not matter (NFKC), every other character does. A
    first or last ``l`` / ``r`` is a side only where the other one is there: CelebAMask-HQ's
    ``l_lip`` is the lower lip. A name with both sides, or one that two labels share, is unpaired.
    """
    places = _places(names)
    pairs = []
    for words, found in places.items():
        for side in ("left", "l"):
            mirrored = places.get(_mirrored(words, side), []) if _has(words, side) else []
            if len(found) == len(mirrored) == 1:
                pairs.append((found[0], mirrored[0]))
    return tuple(sorted(pairs))


def unpaired(names: Sequence[str]) -> tuple[int, ...]:
    """Ids whose names say ``left`` or ``right`` but which :func:`left_right_pairs` leaves alone.

    Of words written together, such as ``leftover``, that is unknown.
    """
    paired = {index for pair in left_right_pairs(names) for index in pair}
    return tuple(
        index
        for index, name in enumerate(names)
        if index not in paired and {"left", "right"} & set(_split(name))
    )


def _places(names: Sequence[str]) -> dict[Words, list[int]]:
    """Ids by the words of their names; ``leftarm`` is two words where ``rightarm`` is there."""
    words = [_split(name) for name in names]
    first = {split[0] for split in words if split}
    places: dict[Words, list[int]] = {}
    for index, split in enumerate(words):
        glued = _GLUED.fullmatch(split[0]) if split else None
        if glued and _SIDES[glued[1]] + glued[2] in first:
            split = (glued[1], glued[2], *split[1:])
        places.setdefault(split, []).append(index)
    return places


def _split(name: str) -> Words:
    humps = _HUMP.sub(" ", unicodedata.normalize("NFKC", name))
    folded = unicodedata.normalize("NFKC", humps.casefold())
    return tuple(word for word in _BETWEEN.split(folded) if word)


def _has(words: Words, side: str) -> bool:
    """Whether ``side``, and not its opposite, is one of the words; l and r at either end only."""
    if side == "left":
        return "left" in words and "right" not in words
    return len(words) > 1 and (words[0] == "l") != (words[-1] == "l") and not _ends(words, "r")


def _ends(words: Words, word: str) -> bool:
    return word in (words[0], words[-1])


def _mirrored(words: Words, side: str) -> Words:
    other = _SIDES[side]
    if side == "left":
        return tuple(other if word == side else word for word in words)
    if words[0] == side:
        return (other, *words[1:])
    return (*words[:-1], other)
