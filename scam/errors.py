# SPDX-License-Identifier: Apache-2.0
"""The exceptions that mean "your input" or "you said stop", never "our bug"."""

import difflib
import math
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

_LONGEST_WORD = 500
_LONGEST_LINE = 4000
# No {:d}, which file names have: no argument's name is one letter.
_MENTION = re.compile(r"\{(:?)([a-z_][a-z0-9_]+)\}")
_BRACE = "{\0"
"""A brace that begins no mention, whatever follows: paths cannot hold it."""


class _Named:
    """See :data:`NAMED`."""

    def __repr__(self) -> str:
        return "NAMED"


NAMED = _Named()
"""The value of a mention that is spelled by its name alone: ``out``, ``--out``."""

Spelling = Callable[[str, object], str]
"""From an argument's name and value to how the reader of a message writes them."""


class _Mentioning(BaseException):
    """An exception whose message mentions arguments: see :class:`InputError`."""

    def __init__(self, message: object, /, **mentions: object) -> None:
        self.message = shown(message)
        self.mentions = mentions
        self.spell(in_python)

    def spell(self, spelling: Spelling) -> None:
        """Let the message be written by ``spelling`` from now on."""
        self.args = (one_line(_spelled(self.message, self.mentions, spelling)),)


def _spelled(message: str, mentions: Mapping[str, object], spelling: Spelling) -> str:
    def words(found: re.Match[str]) -> str:
        alone, name = found.groups()
        if alone:
            return spelling(name, NAMED)
        return spelling(name, mentions[name]) if name in mentions else found[0]

    return _MENTION.sub(words, message).replace(_BRACE, "{")


class InputError(_Mentioning, ValueError):
    """Something the user gave cannot be used.

    The message names the argument or file, the value found and what was expected; it is
    :func:`one_line`, whatever these hold. Commands print it and leave with status 2; in Python it
    is an ordinary ValueError.

    Arguments are *mentioned*: ``InputError("{gan_from}: expected less than {steps}", gan_from=5,
    steps=4)`` reads ``gan_from=5: expected less than steps=4`` in Python and ``--gan-from 5:
    expected less than --steps 4`` from a command; ``{:steps}`` is the name alone. A message
    without mentions is taken as it is.

    Attributes:
        mentions: value by name, of every argument that the message speaks of.
        argument: the first of them, None where the message is about a file.
        value: of ``argument``.
        expected: what the message says was expected, None where it does not say.
    """

    @property
    def argument(self) -> str | None:
        """See the class."""
        return next(iter(self.mentions), None)

    @property
    def value(self) -> object:
        """See the class."""
        return next(iter(self.mentions.values()), None)

    @property
    def expected(self) -> str | None:
        """See the class."""
        _, found, what = str(self).partition("expected ")
        return what if found else None

    def led_by(self, name: str, value: object) -> "InputError":
        """The same about the value of the argument ``name``; itself if it mentions one."""
        if self.mentions:
            return self
        rest = self.message.removeprefix(shown(value))
        if rest == self.message or rest[:1] not in (" ", ":"):
            rest = f": {self.message}"
        rest = re.sub(r"\{(?=[a-z_])", lambda _: _BRACE, rest)  # which mentioned nothing so far
        return InputError(f"{{{name}}}{rest}", **{name: value})

    def within(self, place: str) -> "InputError":
        """The same, led by the place where it was met."""
        return InputError(f"{place.replace('{', _BRACE)}: {self.message}", **self.mentions)


@contextmanager
def leading(name: str, value: object = NAMED) -> Iterator[None]:
    """Let every InputError of the block that mentions no argument begin with this one."""
    try:
        yield
    except InputError as error:
        led = error.led_by(name, value)
        if led is error:
            raise
        raise led from error


@contextmanager
def within(place: object) -> Iterator[None]:
    """Let every InputError of the block begin with the place where it was met."""
    try:
        yield
    except InputError as error:
        raise error.within(shown(place)) from error


def in_python(name: str, value: object) -> str:
    """``lr=0``, ``flip=False``, ``out='runs/a'``."""
    if value is NAMED:
        return name
    return f"{name}={quoted(str(value) if isinstance(value, Path) else value)}"


def as_flag(flag: str, value: object) -> str:
    """``--lr 0``, ``--no-flip``, ``--out runs/a``, ``--size 0 0``; ``flag`` begins with dashes."""
    if value is NAMED or value is True:
        return flag
    if value is False:
        return f"--no-{flag.removeprefix('--')}"
    words = value if isinstance(value, list | tuple) else [value]
    return " ".join([flag, *(shlex.quote(shown(word)) for word in words)])


SPELLING: ContextVar[Spelling] = ContextVar("SPELLING", default=in_python)
"""How :func:`spelled` writes arguments: a command sets it while it runs."""


def spelled(message: str, /, **mentions: object) -> str:
    """``message``, which mentions arguments as an :class:`InputError` does, for people to read.

    In Python arguments have their names, in a command that runs they are its flags.
    """
    return _spelled(message, mentions, SPELLING.get())


class MissingError(Exception):
    """What something optional needs is not here; the message says what, and what would help."""

    lack = "missing"
    """The same for a cell of a table."""


class NotInstalledError(MissingError):
    """A package is not installed."""

    lack = "not installed"


class NoWeightsError(MissingError):
    """A published file is missing."""

    lack = "no weights"


class Stopped(_Mentioning, Exception):  # noqa: N818  # no error: it is what was asked for
    """A run was told to stop and has saved what it had; the message says where.

    Commands print it and leave with ``status``, as a process ended by SIGTERM does.
    """

    status = 143


class Interrupted(Stopped):
    """The same by Ctrl-C."""

    status = 130


class PeerExited(Exception):  # noqa: N818  # what went wrong did so in another process
    """This process of several ends because another one does, which says why.

    Commands leave with ``status``, and print nothing but the ``cause`` where there is one: what
    broke the connection, known to the main process alone.
    """

    def __init__(self, status: int, cause: str = "") -> None:
        super().__init__(
            f"another process of this run has ended (status {status}) {cause}".strip()
        )
        self.status = status
        self.cause = cause


def one_line(text: object) -> str:
    """``text`` :func:`printable` and of moderate length: long words and lines lose their middle.

    A second call changes nothing.
    """
    line = printable(text)
    line = re.sub(rf"\S{{{_LONGEST_WORD + 1},}}", lambda word: _cut(word[0], _LONGEST_WORD), line)
    return _cut(line, _LONGEST_LINE)


def printable(text: object) -> str:
    """``str(text)`` as one line that any terminal shows as it is.

    Line breaks, control characters, bidirectional overrides, halves of surrogate pairs and
    whatever else does not print become backslash escapes.
    """
    line = shown(text)
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def shown(value: object) -> str:
    """``str(value)``, or words for it where Python refuses: integers of over 4300 digits."""
    try:
        return str(value)
    except ValueError:
        if isinstance(value, int):
            return f"a number of {int(value.bit_length() * math.log10(2)) + 1} digits or so"
        return f"a {type(value).__name__} that cannot be written"


def first_line(error: BaseException) -> str:
    """The first line of what ``error`` says, or its ``repr`` where it says nothing."""
    return (str(error).strip() or repr(error)).splitlines()[0]


def quoted(value: object) -> str:
    """``repr(value)``, a tuple as JSON's list, cut short where that is long."""
    try:
        text = repr(list(value) if isinstance(value, tuple) else value)
    except (ValueError, RecursionError):
        return shown(value)
    return text if len(text) <= 200 else f"{text[:160]}...{text[-20:]}"


def type_of(value: object) -> str:
    """``a list``, ``a numpy ndarray``, ``None``: the type of a value, with its package."""
    if value is None:
        return "None"
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__.partition('.')[0]} "
    words = module + kind.__name__
    return f"{'an' if words[0] in 'aeio' else 'a'} {words}"


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    half = longest // 2 - 20
    return f"{text[:half]} ... ({len(text) - 2 * half} characters) ... {text[-half:]}"


def did_you_mean(given: object, known: Iterable[str]) -> str:
    """``; did you mean resume?``, for the end of a message: the :func:`nearest` name, empty if
    there is none.
    """
    near = nearest(given, known)
    return f"; did you mean {near}?" if near else ""


def nearest(given: object, known: Iterable[str]) -> str | None:
    """The name among ``known`` that looks most like ``given``, None if none looks like it."""
    names = {_plain(name): name for name in known}
    near = difflib.get_close_matches(_plain(shown(given)), names, 1)
    return names[near[0]] if near else None


def _plain(name: str) -> str:
    """Without what people mix up in names; dashes before flags would make all of them alike."""
    return name.lower().replace("-", "_").strip("_")


def counted(count: int, word: str) -> str:
    """``1 picture``, ``2 pictures``."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def percent(part: int, whole: int) -> str:
    """``0.31 %``, ``61 %`` of two counts: two digits, never an exponent."""
    share = 100 * part / whole
    if 0 < share < 0.001:
        return "under 0.001 %"
    return f"{share:.2g} %" if share < 10 else f"{share:.0f} %"


def few(names: Sequence[str], most: int = 3) -> str:
    """``a, b, c and 4 more``: the first names, and how many there are beside them."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def sized(size: Sequence[int], *, order: bool = True) -> str:
    """``96x64 (height x width)`` of a size (H, W) in pixels, in the order of ``--size``.

    Without ``order``: ``96x64``, where the line says the order elsewhere.
    """
    height, width = size
    return f"{height}x{width}{' (height x width)' if order else ''}"
