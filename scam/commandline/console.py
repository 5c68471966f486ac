# SPDX-License-Identifier: Apache-2.0
"""Output that ends no command: what stdout or stderr cannot take is lost, the work is not."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from scam.commandline.start import as_typed
from scam.errors import printable

_PLAIN = {"\N{UPWARDS ARROW}": "^", "\N{DOWNWARDS ARROW}": "v"}


def say(*lines: object, file: TextIO | None = None) -> None:
    """Print each of ``lines`` as one, whatever names it holds; to stdout, unless ``file`` is."""
    for line in lines:
        print(as_typed(printable(line)), file=file)


class Degrading:
    """A text stream whose ``write`` and ``flush`` never raise.

    Characters that its encoding lacks become escapes, and so do control characters unless it is
    ``raw``, as progress bars need it. Once it is closed or full, all that follows is dropped.

    lost: why something was dropped, None if nothing was.
    """

    def __init__(self, stream: TextIO | None, *, raw: bool = False) -> None:
        self._stream, self._raw = stream, raw
        self.lost: Exception | None = None

    def write(self, text: str) -> int:
        """Write what the stream takes of ``text``; returns its length, as if that were all."""
        if self._stream is None:
            self.lost = OSError("is closed")
        shown = text if self._raw else "\n".join(map(printable, text.split("\n")))
        self._try(lambda stream: stream.write(_encodable(shown, stream.encoding)))
        return len(text)

    def flush(self) -> None:
        """Write what waits, as far as it can be."""
        self._try(lambda stream: stream.flush())

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        try:
            return self._stream is not None and self._stream.isatty()
        except ValueError:  # closed
            return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, act: Callable[[TextIO], object]) -> None:
        if self._stream is None or self.lost is not None:
            return
        try:
            act(self._stream)
        except (OSError, ValueError) as error:
            self.lost = error
            # What waits in buffers goes nowhere too: Python would complain while it exits.
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)


@contextlib.contextmanager
def degrading() -> Iterator[Degrading]:
    """Make stdout and stderr :class:`Degrading` within the block; gives stdout."""
    before = sys.stdout, sys.stderr
    found = Degrading(sys.stdout)
    sys.stdout, sys.stderr = found, Degrading(sys.stderr, raw=True)
    try:
        yield found
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def _encodable(text: str, encoding: str | None) -> str:
    """``text``, with something plainer for every character that ``encoding`` lacks."""
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        if len(text) > 1:
            return "".join(_encodable(character, encoding) for character in text)
        return _PLAIN.get(text) or text.encode("ascii", "backslashreplace").decode()
    return text
