# SPDX-License-Identifier: Apache-2.0
"""Settings as frozen dataclasses: annotations and bounds of their fields are checked, whoever
fills them: flags, a ``config.json``, Python.
"""

import dataclasses
import math
import numbers
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from scam.errors import InputError, quoted

Number = int | float
_BOUNDS = "bounds"


@dataclasses.dataclass(frozen=True)
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
        return not (
            (self.least is not None and value < self.least)
            or (self.most is not None and value > self.most)
            or (self.above is not None and value <= self.above)
            or (self.below is not None and value >= self.below)
            or (self.step is not None and value % self.step)
        )

    def __str__(self) -> str:
        multiple = "" if self.step is None else f"a multiple of {self.step}, "
        ends = (
            ("at least", self.least), ("above", self.above),
            ("at most", self.most), ("below", self.below),
        )  # fmt: skip
        return multiple + " and ".join(
            f"{words} {_readable(end)}" for words, end in ends if end is not None
        )


def bounded(
    default: Any = dataclasses.MISSING,
    *,
    least: Number | None = None,
    most: Number | None = None,
    above: Number | None = None,
    below: Number | None = None,
    step: int | None = None,
) -> Any:
    """A dataclass field whose numbers, be they in a tuple, keep within :class:`Bounds`."""
    bounds = Bounds(least, most, above, below, step)
    return dataclasses.field(default=default, metadata={_BOUNDS: bounds})


class Checked:
    """A base of frozen dataclasses that checks every field when one is made.

    An int is no bool, a float is finite, a tuple may be given as a list; subclasses that define
    ``__post_init__`` call this one first. InputError says ``field=value: expected ...``.
    """

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    def __post_init__(self) -> None:
        hints = _hints(type(self))
        for field in dataclasses.fields(self):
            bounds = field.metadata.get(_BOUNDS, Bounds())
            value = getattr(self, field.name)
            try:
                checked = _checked(value, hints[field.name], bounds)
            except _UnusableError as error:
                raise InputError(f"{field.name}={quoted(value)}: expected {error}") from None
            object.__setattr__(self, field.name, checked)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Any:
        """One of these from JSON's values; InputError for a key that is unknown or missing."""
        if not isinstance(values, Mapping):
            raise InputError(f"found {quoted(values)}, expected settings by name")
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for name in values:
            if name not in fields:
                raise InputError(f"{quoted(name)} is not one of {', '.join(fields)}")
        for name, field in fields.items():
            if name not in values and field.default is dataclasses.MISSING:
                raise InputError(f"{name} is missing")
        return cls(**values)


def _readable(number: Number) -> str:
    """Large powers of two as such."""
    power = int(number).bit_length() - 1
    return f"2**{power}" if power >= 20 and number == 1 << power else str(number)


class _UnusableError(Exception):
    """A value that is not what the message says."""


_HINTS: dict[str, dict[str, Any]] = {}


def _hints(cls: type) -> dict[str, Any]:
    name = f"{cls.__module__}.{cls.__qualname__}"
    if name not in _HINTS:
        _HINTS[name] = get_type_hints(cls)
    return _HINTS[name]


def _checked(value: Any, kind: Any, bounds: Bounds) -> Any:
    """``value`` as ``kind``, where it is one; _UnusableError says what was expected."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _one_of(value, get_args(kind), bounds)
    if origin is Literal:
        choices = get_args(kind)
        if isinstance(value, str) and value in choices:
            return value
        raise _UnusableError(" or ".join(filter(None, (", ".join(choices[:-1]), choices[-1]))))
    if origin is tuple:
        return _tuple(value, get_args(kind), bounds)
    if origin is dict:
        return _mapping(value, get_args(kind), bounds)
    if kind is type(None):
        if value is None:
            return None
        raise _UnusableError("nothing")
    if kind in (int, float):
        return _number(value, kind, bounds)
    if isinstance(value, kind):
        if isinstance(value, str | Path) and "\0" in str(value):
            raise _UnusableError("no NUL character in it")
        return value
    raise _UnusableError({bool: "true or false", str: "text", Path: "a path"}[kind])


def _one_of(value: Any, kinds: tuple[Any, ...], bounds: Bounds) -> Any:
    expected = []
    for kind in kinds:
        try:
            return _checked(value, kind, bounds)
        except _UnusableError as error:
            if kind is not type(None):
                expected.append(str(error))
    raise _UnusableError(" or ".join(dict.fromkeys(expected)))


def _tuple(value: Any, kinds: tuple[Any, ...], bounds: Bounds) -> tuple[Any, ...]:
    every = kinds[-1] is Ellipsis
    if not isinstance(value, list | tuple):
        raise _UnusableError("a list" if every else f"a list of {len(kinds)}")
    if not every and len(value) != len(kinds):
        raise _UnusableError(f"a list of {len(kinds)}")
    entries = (kinds[0],) * len(value) if every else kinds
    try:
        return tuple(_checked(x, k, bounds) for x, k in zip(value, entries, strict=True))
    except _UnusableError as error:
        raise _UnusableError(f"each {error}") from None


def _mapping(value: Any, kinds: tuple[Any, ...], bounds: Bounds) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise _UnusableError("values by name")
    return {
        _checked(name, kinds[0], bounds): _checked(entry, kinds[1], bounds)
        for name, entry in value.items()
    }


def _number(value: Any, kind: type, bounds: Bounds) -> Number:
    plain = isinstance(value, numbers.Integral if kind is int else numbers.Real)
    if not plain or isinstance(value, bool):
        raise _UnusableError("an integer" if kind is int else "a number")
    # Before float(), which refuses large integers.
    if not bounds.hold(value):
        raise _UnusableError(str(bounds))
    try:
        number: Number = kind(value)
        finite = kind is int or math.isfinite(number)
    except OverflowError:
        finite = False
    if not finite:
        raise _UnusableError(f"a finite number, {bounds}".removesuffix(", "))
    return number
