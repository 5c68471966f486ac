# SPDX-License-Identifier: Apache-2.0
"""Settings as frozen dataclasses: all there is to know of one stands in its field.

Its type, default and bounds are checked, whatever fills it: flags, a ``config.json``, Python. Its
words and its heading make ``--help`` (:mod:`scam.commandline.flags`).
"""

import dataclasses
import json
from collections.abc import Mapping
from contextlib import nullcontext
from functools import cache
from typing import Any, ClassVar, Self, get_type_hints

from scam.errors import InputError, did_you_mean, quoted, within
from scam.settings.values import Bounds, UnusableError, as_kind

_KEY = "setting"


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a field says of itself.

    Attributes:
        default: its value; ``dataclasses.MISSING`` where it has to be given.
        help: words for ``--help``.
        bounds: of its number, or of each number of a tuple.
        metavar: what stands for its value in ``--help``; one that ends in ",..." makes a tuple
            of text one word, separated by commas.
        default_help: what ``--help`` says of the default, where that is not its value.
        heading: of its group in ``--help``, where that is not its class's.
        flag: whether it has one; else it follows from the data.
        may_change: whether a run that is resumed may change it.
        told: whether a model card tells it where it is not the default.
        needs: other settings that give it an effect, each with the values that do; (): any but
            0. Its class checks them.
        kind: its type.
    """

    default: Any
    help: str = ""
    bounds: Bounds = dataclasses.field(default_factory=Bounds)
    metavar: str | tuple[str, ...] | None = None
    default_help: str | None = None
    heading: str | None = None
    flag: bool = True
    may_change: bool = False
    told: bool = False
    needs: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    kind: Any = None


def setting(default: Any = dataclasses.MISSING, help: str = "", **more: Any) -> Any:
    """A dataclass field; ``more``: of its :class:`Bounds` and its :class:`Setting`."""
    ends = {name: more.pop(name) for name in Bounds.__annotations__ if name in more}
    what = Setting(default, help, Bounds(**ends), **more)
    return dataclasses.field(default=default, metadata={_KEY: what})


def like(of: "type[Checked]", name: str, **changes: Any) -> Any:
    """A dataclass field as that of another class, but for ``changes``."""
    found = dataclasses.replace(of.settings()[name], **changes)
    return dataclasses.field(default=found.default, metadata={_KEY: found})


class Checked:
    """A base of frozen dataclasses that checks every field when one is made.

    An int is not a bool, a float is finite, a tuple may be given as a list; subclasses that define
    ``__post_init__`` call this one first. InputError says ``field=value: expected ...``.
    """

    title: ClassVar[str] = ""
    """What :meth:`from_dict` calls the whole in an error."""
    heading: ClassVar[str] = "options"
    """Of the group of its flags in ``--help``."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    def __post_init__(self) -> None:
        for name, value in self.checked({x: getattr(self, x) for x in self.settings()}).items():
            object.__setattr__(self, name, value)

    @classmethod
    def checked(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """``values`` of some of the fields, each as its type.

        InputError for an unusable one.
        """
        found = {}
        for name, value in values.items():
            what = cls.settings()[name]
            try:
                found[name] = as_kind(value, what.kind, what.bounds)
            except UnusableError as error:
                raise InputError(f"{{{name}}}: expected {error}", **{name: value}) from None
        return found

    @classmethod
    @cache
    def settings(cls) -> dict[str, Setting]:
        """Every field by its name, in their order."""
        kinds = get_type_hints(cls)
        own = {x.name: x.metadata.get(_KEY, Setting(x.default)) for x in dataclasses.fields(cls)}
        return {name: dataclasses.replace(what, kind=kinds[name]) for name, what in own.items()}

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        own = {name: getattr(self, name) for name in self.settings()}
        plain: dict[str, Any] = json.loads(json.dumps(own, default=str))
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`as_dict`.

        InputError for a key that is unknown or missing, and for an unusable value.
        """
        known = cls.settings()
        with within(cls.title) if cls.title else nullcontext():
            if not isinstance(values, Mapping):
                raise InputError(f"found {quoted(values)}, expected settings by name")
            for name in values:
                if name not in known:
                    near = did_you_mean(name, known)
                    raise InputError(f"{quoted(name)} is not one of {', '.join(known)}{near}")
            for name, what in known.items():
                if name not in values and what.default is dataclasses.MISSING:
                    raise InputError(f"{name} is missing")
            return cls(**values)
