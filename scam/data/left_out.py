# SPDX-License-Identifier: Apache-2.0
"""What folders of photographs hold that is not read."""

import os
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from scam.data.picture_folder import IMAGE_SUFFIXES, PICTURE_SUFFIXES
from scam.errors import counted, few

_UNREAD = {
    *PICTURE_SUFFIXES, ".heic", ".heif", ".avif", ".jfif", ".jp2", ".jxl", ".tga", ".ppm", ".psd",
    ".dng", ".raw", ".arw", ".cr2", ".cr3", ".nef", ".orf", ".raf", ".rw2",
} - {*IMAGE_SUFFIXES}  # fmt: skip
"""Of photographs, unlike those of notes beside them."""


def left_out(
    folders: Iterable[Path], known: Collection[Path] = (), maps: Iterable[Path] = ()
) -> str:
    """``left out: 3 .tiff files (images are .png, ...), 1 folder (images/sub)``; empty if nothing.

    known: folders that belong there. maps: folders of label maps; that the photograph of one of
    them is not read is for :func:`~scam.data.pairs.find_pairs` to say. Hidden entries, and files
    that are no photographs, go without saying.
    """
    suffixes, inside = Counter[str](), []
    told = {Path(name).stem for folder in maps for name in os.listdir(folder)}
    for folder in folders:
        for path in sorted(_entries(folder)):
            if os.path.isdir(path):
                inside += [] if path in known else [f"{folder.name}/{path.name}"]
            elif path.suffix.lower() in _UNREAD and path.stem not in told:
                suffixes[path.suffix.lower()] += 1
    parts = [counted(count, f"{suffix} file") for suffix, count in suffixes.most_common()]
    if parts:
        parts[-1] += f" (images are {', '.join(IMAGE_SUFFIXES)})"
    if inside:
        parts.append(f"{counted(len(inside), 'folder')} ({few(inside)})")
    return f"left out: {', '.join(parts)}" if parts else ""


def _entries(folder: Path) -> list[Path]:
    """What is in ``folder`` without an extension that is read; nothing if it cannot be listed."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    paths = (folder / name for name in names if not name.startswith("."))
    return [path for path in paths if path.suffix.lower() not in IMAGE_SUFFIXES]
