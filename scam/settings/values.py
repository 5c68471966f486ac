# SPDX-License-Identifier: Apache-2.0
"""What a value may be: of its type, and within bounds."""

import math
import numbers
import operator
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from scam.errors import did_you_mean

Number = int | float


@dataclass(frozen=True)
class Bounds:
    """What a number may be: from ``least`` or above ``above``, up to ``most`` or below ``below``,
    and a multiple of ``step``.
    """

    least: Number | None = None
    most: Number | None = None
    above: Number | None = None
    below: Number | None = None
    step: int | None = None

    def hold(self, value: Number) -> bool:
        """Whether ``value`` is within them."""
        inside = not any(breaks(value, end) for _, breaks, end in self._ends())
        return inside and not (self.step and value % self.step)

    def __str__(self) -> str:
        multiple = "" if self.step is None else f"a multiple of {self.step}, "
        return multiple + " and ".join(f"{word} {_readable(end)}" for word, _, end in self._ends())

    def _ends(self) -> list[tuple[str, Callable[[Number, Number], bool], Number]]:
        ends = (
            ("at least", operator.lt, self.least), ("above", operator.le, self.above),
            ("at most", operator.gt, self.most), ("below", operator.ge, self.below),
        )  # fmt: skip
        return [(word, breaks, end) for word, breaks, end in ends if end is not None]


def _readable(number: Number) -> str:
    """Large powers of two as such."""
    power = int(number).bit_length() - 1
    return f"2**{power}" if power >= 20 and number == 1 << power else str(number)


class UnusableError(Exception):
    """A value is not what the message says."""


def as_kind(value: Any, kind: Any, bounds: Bounds) -> Any:
    """``value`` as the type ``kind``; UnusableError says what was expected."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _one_of(value, parts, bounds)
    if origin is Literal:
        if isinstance(value, str) and value in parts:
            return value
        *others, last = parts
        known = f"{', '.join(others)} or {last}" if others else last
        raise UnusableError(known + did_you_mean(value, parts))
    if origin is tuple:
        return _tuple(value, parts, bounds)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise UnusableError("values by name")
        name, entry = parts
        return {as_kind(k, name, bounds): as_kind(v, entry, bounds) for k, v in value.items()}
    if kind in (int, float):
        return _number(value, kind, bounds)
    if not isinstance(value, kind):
        words = {bool: "true or false", str: "text", Path: "a path", type(None): "nothing"}
        raise UnusableError(words[kind])
    if isinstance(value, str | Path) and "\0" in str(value):
        raise UnusableError("no NUL character in it")
    return value


def _one_of(value: Any, kinds: tuple[Any, ...], bounds: Bounds) -> Any:
    expected = []
    for kind in kinds:
        try:
            return as_kind(value, kind, bounds)
        except UnusableError as error:
            expected += [] if kind is type(None) else [str(error)]
    raise UnusableError(" or ".join(dict.fromkeys(expected)))


def _tuple(value: Any, kinds: tuple[Any, ...], bounds: Bounds) -> tuple[Any, ...]:
    every, given = kinds[-1] is Ellipsis, isinstance(value, list | tuple)
    if not given or (not every and len(value) != len(kinds)):
        raise UnusableError("a list" if every else f"a list of {len(kinds)}")
    entries = (kinds[0],) * len(value) if every else kinds
    try:
        return tuple(as_kind(x, k, bounds) for x, k in zip(value, entries, strict=True))
    except UnusableError as error:
        raise UnusableError(f"each {error}") from None


def _number(value: Any, kind: type, bounds: Bounds) -> Number:
    plain = isinstance(value, numbers.Integral if kind is int else numbers.Real)
    if not plain or isinstance(value, bool):
        raise UnusableError("an integer" if kind is int else "a number")
    if not bounds.hold(value):
        raise UnusableError(str(bounds))
    try:
        number: Number = kind(value)
    except OverflowError:  # a large integer
        number = math.inf
    if kind is float and not math.isfinite(number):
        raise UnusableError(f"a finite number, {bounds}".removesuffix(", "))
    return number
