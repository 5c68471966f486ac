# SPDX-License-Identifier: Apache-2.0
"""A page of images, ``index.html``, that any browser opens from the disk.

It links to full-size images beside it by relative addresses and needs no server, no network and
no script. Whatever it shows may come from file names, so that everything is escaped.
"""

import html
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from PIL import Image
from torch import Tensor

from scam.data.legend import Legend
from scam.data.sheet import MIN_HEIGHT, as_pixels, automatic_scale
from scam.errors import printable
from scam.storage.files import write_aside

INDEX = "index.html"
PICTURES = "pictures"
"""The folder beside the page that :func:`save_columns` fills."""
_HIGHEST = 384
"""Pixels: taller images are shown smaller, so that those of one row do not wrap."""

_STYLE = """\
:root { color-scheme: light dark; }
body { margin: 0 auto; padding: 1rem; max-width: 90rem; background: Canvas; color: CanvasText;
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; line-height: 1.2; } h2 { font-size: 1.1rem; margin: 0 0 .5rem; }
section { border-top: 1px solid GrayText; padding: 1rem 0; }
.row { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
figure { margin: 0; max-width: 100%; } img { max-width: 100%; height: auto; display: block; }
.enlarged { image-rendering: pixelated; }
.wide { overflow-x: auto; } table { border-collapse: collapse; overflow-wrap: normal; }
th, td { padding: .2rem .6rem; text-align: left; border-bottom: 1px solid GrayText; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1rem; list-style: none; padding: 0; }
.legend span { display: inline-block; width: 1em; height: 1em; margin-right: .4em;
  vertical-align: -.1em; border: 1px solid GrayText; }"""


@dataclass(frozen=True)
class Figure:
    """An image beside the page.

    file: its path from there. size: (H, W), pixels. alt: what it shows, for who cannot see it.
    """

    file: str
    size: tuple[int, int]
    caption: str
    alt: str


@dataclass(frozen=True)
class Table:
    """A heading, and lines of cells; the first line names the columns."""

    heading: str
    lines: Sequence[Sequence[str]]


Row = tuple[str, Sequence[Figure]]
"""A heading, and the images under it."""


def save_gallery(
    folder: str | os.PathLike[str],
    title: str,
    rows: Iterable[Row],
    *,
    facts: Sequence[str] = (),
    tables: Sequence[Table] = (),
    legends: Sequence[Legend] = (),
    overwrite: bool = True,
) -> Path:
    """Write ``folder/index.html``, whole or not at all, and return its path.

    facts: lines below the title. InputError if it cannot be written, or is there and not to be
    replaced.
    """
    path = Path(folder) / INDEX
    parts = [
        f"<h1>{_text(title)}</h1>",
        *(f"<p>{_text(fact)}</p>" for fact in facts),
        *map(_table, tables),
        *(_legend(legend) for legend in legends if legend.entries),
        *(_section(*row) for row in rows),
    ]
    body = "\n".join(parts)
    page = f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(title)}</title>
<style>
{_STYLE}
</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
    with write_aside(path, overwrite=overwrite) as file:
        file.write(page.encode())
    return path


def save_columns(
    folder: str | os.PathLike[str],
    columns: Mapping[str, Tensor],
    names: Sequence[str],
    *,
    overwrite: bool = True,
) -> list[Row]:
    """Write each image of a sheet's ``columns`` to ``folder/pictures``; rows for the page.

    columns: see :func:`scam.data.sheet.draw_sheet`. names: what each row shows.
    """
    rows: list[tuple[str, list[Figure]]] = [(name, []) for name in names]
    for caption, column in columns.items():
        word = re.sub(r"[^a-z0-9]+", "-", caption.lower()).strip("-")
        pictures = zip(rows, as_pixels(caption, column), strict=True)
        for number, ((name, figures), picture) in enumerate(pictures):
            file = f"{PICTURES}/{number:02}-{len(figures):02}-{word[:60]}.png"
            with write_aside(Path(folder) / file, overwrite=overwrite) as opened:
                Image.fromarray(picture).save(opened, format="PNG")
            size = picture.shape[0], picture.shape[1]
            figures.append(Figure(file, size, caption, f"{name}: {caption}"))
    return [*rows]


def _section(heading: str, figures: Sequence[Figure]) -> str:
    shown = "\n".join(map(_figure, figures))
    return f'<section>\n<h2>{_text(heading)}</h2>\n<div class="row">\n{shown}\n</div>\n</section>'


def _figure(figure: Figure) -> str:
    # "./" so that a colon in a name does not make it a scheme.
    address = html.escape("./" + quote(os.fsencode(figure.file)))
    height, width = figure.size
    factor: float = automatic_scale(height, MIN_HEIGHT)
    enlarged = ' class="enlarged"' if factor > 1 else ""
    if height > _HIGHEST:
        factor = _HIGHEST / height
    return (
        f'<figure><a href="{address}"><img src="{address}" alt="{_text(figure.alt)}"'
        f' width="{round(width * factor)}" height="{round(height * factor)}"'
        f' loading="lazy"{enlarged}></a>'
        f"<figcaption>{_text(figure.caption)}</figcaption></figure>"
    )


def _table(table: Table) -> str:
    heading = _text(table.heading)
    head, *body = table.lines
    # Screen readers skip a header cell without words.
    names = (f'<th scope="col">{_text(cell)}</th>' if cell else "<td></td>" for cell in head)
    lines = ["".join(names)]
    lines += ["".join(f"<td>{_text(cell)}</td>" for cell in line) for line in body]
    rows = "\n".join(f"<tr>{line}</tr>" for line in lines)
    # What can be focused can be scrolled by keyboard.
    return (
        f"<section>\n<h2>{heading}</h2>\n"
        f'<div class="wide" role="region" aria-label="{heading}" tabindex="0">\n'
        f"<table>\n{rows}\n</table>\n</div>\n</section>"
    )


def _legend(legend: Legend) -> str:
    entries = "\n".join(
        f'<li><span style="background: #{red:02x}{green:02x}{blue:02x}"></span>{_text(name)}</li>'
        for (red, green, blue), name in legend.entries
    )
    heading = _text(legend.heading)
    return f'<section>\n<h2>{heading}</h2>\n<ul class="legend">\n{entries}\n</ul>\n</section>'


def _text(text: str) -> str:
    return html.escape(printable(text))
