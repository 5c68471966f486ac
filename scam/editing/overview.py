# SPDX-License-Identifier: Apache-2.0
"""The page of a folder of results: each beside the images that it was made of."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from scam.data.gallery import Figure, Row, save_gallery
from scam.editing.batch import Plan, Source
from scam.editing.paste import Pixels
from scam.editing.pictures import Picture
from scam.editing.sources import Folder
from scam.editing.styles import Style
from scam.storage.files import sweep, write_aside

INPUTS = "inputs"
"""Folder of copies of the images that results were made of."""


def write_overview(
    out: Path,
    title: str,
    plan: Plan,
    background: Picture | Folder,
    others: Sequence[tuple[str, Source]],
    size: tuple[int, int],
) -> Path:
    """Write ``out/index.html`` and copies of all inputs that are not there yet; the page's path.

    others: subject and donors, by what the page calls them. size: (H, W) of styles' thumbnails,
    without which a style is left out. One image at a time is in memory.
    """
    for folder in (out / INPUTS, *(out / INPUTS).glob("*/")):
        sweep(folder)

    inputs: list[tuple[str, Source, Callable[[str], Picture | Style]]] = [
        *((caption, source, partial(plan.other, source)) for caption, source in others),
        ("background", background, partial(plan.background, background)),
    ]

    def figures(name: str) -> Iterator[Figure]:
        for number, (caption, source, load) in enumerate(inputs):
            one_each = isinstance(source, Folder)
            file = f"{INPUTS}/{number}/{name}.png" if one_each else f"{INPUTS}/{number}.png"
            if not (out / file).is_file():
                if (pixels := _pixels(load(name), size)) is None:
                    continue
                with write_aside(out / file) as opened:
                    Image.fromarray(pixels).save(opened, format="PNG")
            yield _figure(out, file, caption, f"{caption} of {name}")
        yield _figure(out, f"{name}.png", "result", f"result {name}")

    rows: Iterator[Row] = ((name, [*figures(name)]) for name in plan.names)
    return save_gallery(out, title, rows)


def _pixels(given: Picture | Style, size: tuple[int, int]) -> Pixels | None:
    return given.photo if isinstance(given, Picture) else given.thumbnail(size)


def _figure(out: Path, file: str, caption: str, alt: str) -> Figure:
    with Image.open(out / file) as picture:
        return Figure(file, (picture.height, picture.width), caption, alt)
