# SPDX-License-Identifier: Apache-2.0
"""Text that people write: files of it, and names that fit into a line."""

import codecs
import re
import unicodedata
from pathlib import Path

from scam.errors import InputError
from scam.storage.reading import expect_file

# Categories of characters that a line of text cannot hold: control, surrogates, breaks.
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
# No text that people write is longer; what is, is something else by that name.
_MOST_BYTES = 1 << 26
_BREAKS = re.compile(r"\r\n|\r|\n")


def expect_name(where: str, name: str) -> str:
    """``name``; InputError if it is empty or a line of text cannot hold it."""
    if not name.strip():
        raise InputError(f"{where}: found an empty name, expected a word")
    for letter in name:
        if unicodedata.category(letter) in _UNPRINTABLE:
            raise InputError(
                f"{where}: the name {name!a:.60} holds the character {letter!a}, "
                "expected plain text"
            )
    return name


def read_lines(path: Path) -> list[str]:
    """The lines of :func:`read_text`, which end as editors end them."""
    return _BREAKS.split(read_text(path))


def read_text(path: Path) -> str:
    """A text file in UTF-8, or in UTF-16 with its byte order mark.

    InputError naming file, line and byte otherwise, or saying that it is not a file.
    """
    try:
        expect_file(path)
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    if len(data) > _MOST_BYTES:
        raise InputError(f"{path}: is longer than {_MOST_BYTES} bytes, expected a text file")
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"the byte 0x{data[error.start]:02x}" if error.start < len(data) else "its end"
        raise InputError(
            f"{path}, line {line}: {found} is not {'UTF-16' if wide else 'UTF-8'} text, expected "
            "a file saved as UTF-8"
        ) from None
