# SPDX-License-Identifier: Apache-2.0
"""Aspect ratios of the images of a source."""

import struct
from collections.abc import Iterator
from pathlib import Path

from scam.data.source import PairSource

_HEADER = 24
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def shapes_of(source: PairSource) -> Iterator[tuple[int, int]]:
    """(height, width) of every image of ``source`` that is read from files.

    Read off the headers of label maps, 20 us each: they are as large as the upright photograph.
    Files that have none are passed over; who loads them says why.
    """
    for index in range(len(source)):
        files = source.files(index)
        shape = None if files is None else _png_shape(files.labels)
        if shape is not None:
            yield shape


def _png_shape(path: Path) -> tuple[int, int] | None:
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER)
    except OSError:
        return None
    if len(header) < _HEADER or not header.startswith(_SIGNATURE):
        return None
    width, height = struct.unpack(">II", header[16:])
    return (height, width) if height and width else None
