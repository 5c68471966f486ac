# SPDX-License-Identifier: Apache-2.0
"""Flags from dataclasses of settings, and back: the fields say all there is to say."""

import argparse
import dataclasses
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from scam.commandline.command import Parser
from scam.settings.fields import Checked, Setting

Presets = Mapping[str, Mapping[str, Any]]
"""Values by setting, of every preset by its name."""


def add_flags(
    parser: Parser,
    settings: type[Checked],
    presets: Presets | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """A flag for every setting that has one, under its heading; None where it is not given.

    Text that is one of several choices is left to the dataclass to check. presets: what they say
    instead of the defaults is told with these. defaults: what is told instead of a field's own.
    """
    for name, what in settings.settings().items():
        if what.flag:
            what = dataclasses.replace(what, default=(defaults or {}).get(name, what.default))
            others = [(p, v[name]) for p, v in (presets or {}).items() if name in v]
            add_flag(parser, name, what, what.heading or settings.heading, others)


def add_flag(
    parser: Parser,
    name: str,
    what: Setting,
    heading: str,
    presets: Sequence[tuple[str, Any]] = (),
) -> None:
    """The flag of one setting; presets: names, and what they say instead of its default."""
    parser.group(heading).add_argument(
        f"--{name.replace('_', '-')}", default=None, help=_help(what, presets), **_reading(what)
    )


def given(values: Mapping[str, Any], settings: type[Checked]) -> dict[str, Any]:
    """Those of the parsed ``values`` that belong to ``settings`` and were given."""
    return {name: values[name] for name in settings.settings() if values.get(name) is not None}


def _reading(what: Setting) -> dict[str, Any]:
    """What argparse is told of the value."""
    kind = _first(what.kind)
    origin, parts = get_origin(kind), get_args(kind)
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction}
    if origin is Literal:
        return {"metavar": what.metavar or f"{{{','.join(parts)}}}"}
    if origin is not tuple:
        return {"type": kind, "metavar": what.metavar}
    if parts[-1] is not Ellipsis:
        return {"type": parts[0], "nargs": len(parts), "metavar": what.metavar}
    if str(what.metavar).endswith(",..."):
        return {"type": _listed, "metavar": what.metavar}
    return {"type": parts[0], "nargs": "+", "metavar": what.metavar}


def _first(kind: Any) -> Any:
    """What text becomes of a type that is one of several: ``str`` of ``str | Path | None``."""
    if get_origin(kind) not in (Union, types.UnionType):
        return kind
    return next(part for part in get_args(kind) if part is not type(None))


def _listed(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(","))


def _help(what: Setting, presets: Sequence[tuple[str, Any]]) -> str:
    """Its words, and its default in brackets."""
    default = what.default_help
    if default is None:
        default = f"default: {_word(what.default)}" if _word(what.default) else ""
        if presets:
            others = [] if what.default is dataclasses.MISSING else [("others", what.default)]
            default = ", ".join(f"{name}: {_word(value)}" for name, value in [*presets, *others])
    return f"{what.help} ({default})" if what.help and default else what.help or default


def _word(value: object) -> str:
    """A default as it would be typed; nothing where it goes without saying."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, bool):
        return "on" if value else ""
    if isinstance(value, tuple | list):
        return " ".join(map(_word, value))
    return str(value) if isinstance(value, int | str | Path) else ""
