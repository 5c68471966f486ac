# SPDX-License-Identifier: Apache-2.0
"""What every ``python -m scam.*`` command shares: the parser, and how errors are reported."""

import argparse
import itertools
import os
import re
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from os.path import expanduser
from typing import Any, NoReturn

from scam.commandline.console import degrading
from scam.commandline.start import as_typed
from scam.errors import (
    NAMED,
    SPELLING,
    InputError,
    PeerExited,
    Stopped,
    as_flag,
    did_you_mean,
    in_python,
    one_line,
    shown,
)
from scam.settings import environment

Main = Callable[[Sequence[str] | None], None]
_FLAGS: dict[str, str] = {}
"""How the command line that was parsed last spells its arguments: ``steps`` -> ``--steps``."""
_IN_USAGE = 12
"""Arguments at most that a usage line lists."""
_ELSEWHERE = {
    "--parser": "; python -m scam.data label PHOTOS --parser MODULE:FUNCTION makes label maps"
}
"""What to say of flags that only other commands have."""


class _Terminated(BaseException):
    """SIGTERM came: no ``except Exception`` of a library shall keep the command from ending."""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Above a long list of flags, a usage line with what is required."""

    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: Any = None) -> None:
        """``usage: prog --out OUT [flags] checkpoint``."""
        actions = list(actions)
        if len(actions) > _IN_USAGE:
            flags = argparse.Action([], "flags", nargs="?")
            actions = [flags, *(a for a in actions if a.required or not a.option_strings)]
            groups = ()
        super().add_usage(usage, actions, groups, prefix)


class Parser(argparse.ArgumentParser):
    """argparse with worked examples under ``--help`` and without a usage dump on errors."""

    def __init__(
        self, prog: str, description: str, examples: str, *, add_help: bool = True
    ) -> None:
        super().__init__(
            prog=as_typed(prog),
            description=as_typed(description),
            epilog=as_typed(f"examples:\n{examples}"),
            formatter_class=_Formatter,
            allow_abbrev=False,
            add_help=add_help,
        )
        self._groups = {"options": self._optionals}

    def group(self, heading: str) -> argparse._ArgumentGroup:
        """The arguments listed under ``heading``."""
        if heading not in self._groups:
            self._groups[heading] = self.add_argument_group(heading)
        return self._groups[heading]

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, with ``~`` expanded where shells do not (``--out=~/a``), and no
        empty argument: as a path it would mean the working folder, as a name nothing.
        """
        words = [expand_home(word) for word in (sys.argv[1:] if args is None else args)]
        for before, word in zip(["", *words], words, strict=False):
            flag, equals, value = word.partition("=")
            if not word or (equals and not value and flag.startswith("--")):
                name = flag or (before if before.startswith("--") else "")
                raise InputError(f"{name} '': expected a value".strip())
        found = super().parse_known_args(words, namespace)
        _FLAGS.clear()
        _FLAGS.update({action.dest: _flag(action) for action in self._actions})
        return found

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does; a mistyped flag is named first, with the one that was meant."""
        words, known = list(sys.argv[1:] if args is None else args), self._option_string_actions
        for word in itertools.takewhile(lambda word: word != "--", words):
            flag = word.partition("=")[0]
            if flag.startswith("--") and " " not in word and flag not in known:
                mend = _ELSEWHERE.get(flag) or did_you_mean(flag, known)
                self.error(f"unrecognized arguments: {flag}{as_typed(mend)}")
        found, rest = self.parse_known_args(words, namespace)
        if rest:
            folder = getattr(found, "data", "") is None and os.path.isdir(rest[0])
            meant = f"; did you mean --data {shlex.quote(rest[0])}?" if folder else ""
            self.error(f"unrecognized arguments: {' '.join(rest)}{meant}")
        return found

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        """What a number may be written as, in our words."""
        try:
            return super()._get_value(action, arg_string)
        except argparse.ArgumentError:
            if action.type not in (int, float):
                raise
            expected = "an integer" if action.type is int else "a number"
            name = f"{_flag(action)} {arg_string}".strip()
            raise argparse.ArgumentError(None, f"{name}: expected {expected}") from None

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """What a value may be, in our words: argparse's differ from Python to Python."""
        if action.choices is not None and value not in action.choices:
            name, known = f"{_flag(action)} {value}".strip(), list(action.choices)
            message = f"{name}: expected one of {', '.join(known)}{did_you_mean(value, known)}"
            raise argparse.ArgumentError(None, message)

    def add_checkpoint(self) -> None:
        """The argument that :func:`scam.models.checkpoint.load_checkpoint` opens."""
        self.add_argument(
            "checkpoint",
            help="a training run's folder, one of its step folders, what save_pretrained wrote, or"
            " demo: the model that comes with scam (a folder of that name is ./demo)",
        )

    def add_overwrite(self, *more: str) -> None:
        """The flag for ``storage.outputs.expect_outputs``, also called what ``more`` says."""
        self.add_argument(
            "--overwrite",
            *more,
            action="store_true",
            help="replace existing files, never an input",
        )

    def add_scale(self, height: int) -> None:
        """The flag for ``scam.data.sheet.save_sheet``; height: its ``min_height``."""
        self.add_argument(
            "--scale",
            type=int,
            metavar="N",
            help="enlarge the images of the sheet N times (default: until they are at least "
            f"{height} pixels high)",
        )

    def error(self, message: str) -> NoReturn:
        """Leave with status 2 after one line."""
        self.exit(2, f"{self.prog}: error: {one_line(message)} (see --help)\n")


def _flag(action: argparse.Action) -> str:
    """Empty of a positional argument; ``--no-flip`` alone counts as a way to write ``--flip``."""
    long = [word for word in action.option_strings if word.startswith("--")]
    return f"--{long[0].removeprefix('--').removeprefix('no-')}" if long else ""


def _spelling(name: str, value: object) -> str:
    """How the command line that was parsed last would have had an argument typed."""
    if name not in _FLAGS:
        return in_python(name, value)
    if _FLAGS[name]:
        return as_flag(_FLAGS[name], value)
    return name if value is NAMED else shown(value)


def in_flags(main: Main) -> Main:
    """Let what ``main`` raises and says name arguments as its command line does."""

    @wraps(main)
    def spelling(argv: Sequence[str] | None = None) -> None:
        before = SPELLING.set(_spelling)
        try:
            main(argv)
        except (InputError, Stopped) as error:
            error.spell(_spelling)
            raise
        finally:
            SPELLING.reset(before)

    return spelling


def expand_home(word: str) -> str:
    """``word`` with the home folder for a ``~`` that begins a path: ``hair=~/anna.jpg`` too."""
    return re.sub(r"(?:(?<=[=,])|^)~[^/=,:]*(?=/|$)", lambda tilde: expanduser(tilde[0]), word)


def run(main: Main, prog: str) -> None:
    """Call ``main`` and turn an :class:`InputError` into one line on stderr and status 2.

    It runs to its end whatever becomes of stdout and stderr; where something that it printed on
    stdout was lost, the status says so.
    """
    prog = as_typed(prog)
    warnings.formatwarning = lambda message, *_: f"{prog}: warning: {one_line(message)}\n"
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # which start.prepare set
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)
    status: int | str | None
    with degrading() as stdout:
        try:
            status = _call(main, prog)
        except SystemExit as end:
            status = end.code
        stdout.flush()
        if isinstance(stdout.lost, BrokenPipeError):  # `... | head` has read enough
            status = status or 141
        elif stdout.lost is not None:
            reason = getattr(stdout.lost, "strerror", None) or stdout.lost
            print(f"{prog}: error: stdout: cannot be written: {reason}", file=sys.stderr)
            status = status or 2
    sys.exit(status)


def _terminate(*_: object) -> NoReturn:
    raise _Terminated


def _call(main: Main, prog: str) -> int:
    """The status to leave with, after a line that says why where that is not 0."""
    try:
        environment.expect_valid()
        main(None)
        return 0
    except InputError as error:
        status, why = 2, f"error: {error}"
    except OSError as error:
        if error.filename is None:
            raise
        path = os.fsdecode(error.filename)
        names = [f" (from ${name})" for name, value in os.environ.items() if value == path]
        why = f"error: {one_line(f'{path}: {error.strerror}' + ''.join(names[:1]))}"
        status = 2
    except Stopped as stopped:
        status, why = stopped.status, str(stopped)
    except _Terminated:
        status, why = 143, "stopped; no partly written files are left"
    except PeerExited as peer:
        status, why = peer.status, f"error: {one_line(peer.cause)}" if peer.cause else ""
    except KeyboardInterrupt:
        status, why = 130, "interrupted"
    if why:
        print(f"{prog}: {as_typed(why)}", file=sys.stderr)
    return status
