# SPDX-License-Identifier: Apache-2.0
"""Commands that make label maps readable and keep what their values mean."""

import os
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from scam.data.evenness import count_colours, looks_like_labels
from scam.errors import InputError

_PREPARE = "python -m scam.data prepare"
_UNKNOWN = "SRC DST"
_CONVERT = "; convert it to an index map first: "
_INDEX_MAP = (
    " (a png with one channel, grey of 8 or 16 bits or palette, whose value is the label's id)"
)
_ALONE = ", where SRC/images holds the photograph and SRC/labels the label map, with equal names"
"""What follows where two files were given, and no folder."""
_SAME_COLOURS = (
    "; for a trained model add --palette with the palette.txt of the folder it was trained on"
)


def prepare_command(kind: str, root: Path | None, labels: str = "labels", flags: str = "") -> str:
    """The command that makes index maps of ``root/<labels>``, ready for a shell.

    Without ``root`` it says SRC and DST.
    """
    words = [_PREPARE, kind, _places(root, labels), flags]
    return " ".join(word for word in words if word)


def _places(root: Path | None, labels: str) -> str:
    if root is None:
        return _UNKNOWN
    root = root if root.name else root.resolve()
    places = f"{path_word(root)} {path_word(f'{root}_indexed')}"
    return places if labels == "labels" else f"{places} --labels {path_word(labels)}"


def label_command(src: Path, labels: str = "labels") -> str:
    """The command that makes label maps of the photographs in ``src/images``, or of one."""
    named = "" if labels == "labels" else f" --labels {path_word(labels)}"
    return f"python -m scam.data label {path_word(src)} --parser MODULE:FUNCTION{named}"


def path_word(path: str | Path) -> str:
    """A path as a shell takes it: no flag, no home folder, and printable."""
    text = str(path)
    if text[:1] in ("-", "~"):
        text = f"./{text}"
    if text.isprintable():
        return shlex.quote(text)
    plain = (
        chr(b) if 32 <= b < 127 and b not in b"'\\" else f"\\x{b:02x}" for b in os.fsencode(text)
    )
    return f"$'{''.join(plain)}'"


@contextmanager
def advising(root: Path, labels: str) -> Iterator[None]:
    """Name ``root/<labels>`` in the command with which an error of the block may end."""
    try:
        yield
    except InputError as error:
        raise InputError(placed(error.message, root, labels), **error.mentions) from error


def placed(text: str, root: Path, labels: str) -> str:
    """``text`` with ``root/<labels>`` in what :func:`no_index_map` advises at its end."""
    before, found, command = text.partition(_ALONE)[0].partition(_CONVERT)
    return before + found + command.replace(_UNKNOWN, _places(root, labels), 1)


@contextmanager
def briefly() -> Iterator[None]:
    """Leave the command alone of what :func:`no_index_map` advises in an error of the block."""
    try:
        yield
    except InputError as error:
        before, found, advice = error.message.partition(_CONVERT)
        command = advice.partition(_INDEX_MAP)[0]
        if advice.endswith(_SAME_COLOURS):
            command += " --palette palette.txt"
        raise InputError(before + found + command, **error.mentions) from error


def no_index_map(picture: Image.Image, kind: str) -> str:
    """What a label image is that is not an index map, and the command that makes one of it.

    kind: that of its file, such as PNG.
    """
    alpha = "RGBA" if picture.mode in ("LA", "PA", "RGBA") else "RGB"
    colours = picture.convert(alpha)
    rgb = np.asarray(colours.convert("RGB"))
    everywhere = np.ones(rgb.shape[:2], np.bool_)
    if not looks_like_labels(rgb, everywhere):
        return (
            f"looks like a photograph ({count_colours(rgb, everywhere)} colours, hardly an even "
            "area), expected a label map (python -m scam.data label makes them of photographs)"
        )
    red, green, blue = np.moveaxis(rgb, -1, 0)
    grey = bool((red == green).all() and (green == blue).all())
    if grey and alpha == "RGBA" and len(set(colours.getchannel("A").getextrema())) > 1:
        return (
            f"is an {picture.mode} image, partly transparent; expected the labels in one "
            "channel of an opaque image"
        )
    lossy = kind in ("JPEG", "WEBP")
    if kind != "PNG":
        found = f"a {kind} file {'of greys' if grey else 'in colours'}, expected an index map"
    elif picture.mode == "LA":
        found = "a grey image with alpha"
    else:
        found = f"an {picture.mode} {'image of greys' if grey else 'colour image'}"
    if grey:
        ends = np.mean((red < 17) | (red > 238)) > 0.9 and red.max(initial=0) > 238
        command = prepare_command(
            "indices", None, flags="--threshold 128" if lossy and ends else ""
        )
    else:
        command = prepare_command("palette", None, flags="--tolerance 60" if lossy else "")
    return f"is {found}{_CONVERT}{command}{_INDEX_MAP}{_ALONE}{'' if grey else _SAME_COLOURS}"


def advise_once(texts: Iterable[str]) -> tuple[list[str], list[str]]:
    """Texts without what :func:`no_index_map` advises, and its commands, each in one line."""
    short: list[str] = []
    commands: list[str] = []
    for text in texts:
        before, found, command = text.partition(_CONVERT)
        short.append(before)
        if found and command not in commands:
            commands.append(command)
    return short, [f"convert such label images to index maps first: {c}" for c in commands]
