# SPDX-License-Identifier: Apache-2.0
"""Commands that make label maps readable and keep what their values mean."""

import shlex
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

_PREPARE = "python -m scam.data prepare"
_CONVERT = "; convert it to an index map first: "
_INDEX_MAP = (
    " (a png with one channel, grey of 8 or 16 bits or palette, whose value is the label's id)"
)


def prepare_command(kind: str, root: Path | None, labels: str = "labels", flags: str = "") -> str:
    """The command that makes index maps of ``root/<labels>``, ready for a shell.

    Without ``root`` it says SRC and DST.
    """
    words = [_PREPARE, kind, _places(root, labels), flags]
    return " ".join(word for word in words if word)


def _places(root: Path | None, labels: str) -> str:
    if root is None:
        return "SRC DST"
    root = root if root.name else root.resolve()
    places = f"{shlex.quote(str(root))} {shlex.quote(f'{root}_indexed')}"
    return places if labels == "labels" else f"{places} --labels {shlex.quote(labels)}"


def no_index_map(picture: Image.Image, kind: str) -> str:
    """What a label picture is that is no index map, and the command that makes one of it.

    kind: that of its file, such as PNG.
    """
    colours = picture.convert("RGBA" if "A" in picture.mode else "RGB")
    red, green, blue = (np.asarray(colours.getchannel(index)) for index in range(3))
    grey = bool((red == green).all() and (green == blue).all())
    lossy = kind in ("JPEG", "WEBP")
    if kind != "PNG":
        found = f"a {kind} file {'of greys' if grey else 'in colours'}, expected an index map"
    elif picture.mode == "LA":
        found = "a grey picture with alpha"
    else:
        found = f"an {picture.mode} {'picture of greys' if grey else 'colour picture'}"
    if grey:
        ends = np.mean((red < 17) | (red > 238)) > 0.9 and red.max(initial=0) > 238
        command = prepare_command(
            "indices", None, flags="--threshold 128" if lossy and ends else ""
        )
    else:
        command = prepare_command("palette", None, flags="--tolerance 60" if lossy else "")
    return f"is {found}{_CONVERT}{command}{_INDEX_MAP}"


def advise_once(
    texts: Iterable[str], root: Path | None = None, labels: str = "labels"
) -> tuple[list[str], list[str]]:
    """Texts without what :func:`no_index_map` advises, and its commands, each in one line.

    root, labels: the folders that the commands name.
    """
    short: list[str] = []
    commands: list[str] = []
    for text in texts:
        before, found, command = text.partition(_CONVERT)
        short.append(before)
        if found and command not in commands:
            commands.append(command)
    places = _places(root, labels)
    return short, [
        f"convert such label pictures to index maps first: {command.replace('SRC DST', places)}"
        for command in commands
    ]
