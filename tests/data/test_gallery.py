# SPDX-License-Identifier: Apache-2.0
"""A page that any browser opens from the disk, whatever its pictures are called."""

import os
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
import torch
from PIL import Image

from scam.data.gallery import Figure, Table, save_columns, save_gallery
from scam.data.legend import Legend
from scam.errors import InputError

EMPTY = {"meta", "img"}
ODD = ['a<b&"c', "100%#?x", "a:b", "mu\udcf1oz", "two words", "\u202eright", "'"]


class Page(HTMLParser):
    """Text, attributes of all tags, and whether tags are closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_odd_names_are_shown_and_their_files_found(tmp_path: Path) -> None:
    rows = []
    for name in ODD:
        Image.new("RGB", (6, 4)).save(tmp_path / f"{name}.png")
        rows.append((name, [Figure(f"{name}.png", (4, 6), name, f"of {name}")]))
    lines = [["<td>", "b"], ["&amp;", "<script>alert(1)</script>"]]
    path = save_gallery(
        tmp_path,
        "</title><b>",
        rows,
        facts=["1 < 2"],
        tables=[Table('"><i>', lines)],
        legends=[Legend("labels", (((1, 2, 255), "<hair>"),))],
    )
    page = Page(path)
    assert path == tmp_path / "index.html"
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "b", "i", "link", "hair"})
    shown = "".join(page.text)
    for text in ('a<b&"c', "a:b", "</title><b>", "1 < 2", "<td>", "&amp;", "<hair>", '"><i>'):
        assert text in shown
    assert "\u202e" not in shown
    for name, image, link in zip(ODD, page.all("img"), page.all("a"), strict=True):
        assert image["src"] == link["href"]
        file = unquote_to_bytes(str(image["src"]))
        assert file.startswith(b"./")
        assert os.path.samefile(tmp_path / os.fsdecode(file), tmp_path / f"{name}.png")
        assert (image["width"], image["height"]) == ("288", "192")
    assert page.all("img")[0]["alt"] == 'of a<b&"c'
    assert "background: #0102ff" in str(page.all("span")[0]["style"])
    assert all("://" not in str(value) for _, found in page.tags for value in found.values())


def test_it_suits_phones_and_dark_rooms(tmp_path: Path) -> None:
    path = save_gallery(tmp_path, "x", [("y", [Figure("z.png", (300, 200), "c", "a")])])
    page, style = Page(path), path.read_text()
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in (
        page.all("meta")
    )
    assert page.all("html") == [{"lang": "en"}]
    assert "color-scheme: light dark" in style
    assert "max-width: 100%" in style
    image = page.all("img")[0]
    assert (image["width"], image["height"], image.get("class")) == ("200", "300", None)


def test_large_pictures_fit_beside_each_other(tmp_path: Path) -> None:
    figure = Figure("z.png", (768, 500), "c", "a")
    page = Page(save_gallery(tmp_path, "x", [("y", [figure])], tables=[Table("t", [["", "n"]])]))
    image = page.all("img")[0]
    assert (image["width"], image["height"]) == ("250", "384")
    assert page.all("a")[0]["href"] == "./z.png"  # which shows it as it is
    assert page.all("th") == [{"scope": "col"}]


def test_columns_become_files_of_their_own(tmp_path: Path) -> None:
    torch.manual_seed(0)
    images, labels = torch.rand(2, 3, 5, 4) * 2 - 1, torch.tensor([[[0, 1]] * 5] * 2)
    columns = {"Input / <1>": images, "labels": labels.repeat(1, 1, 2)}
    rows = save_columns(tmp_path, columns, ["p<1>", "p2"])
    assert [name for name, _ in rows] == ["p<1>", "p2"]
    first = rows[0][1][0]
    assert first == Figure(
        "pictures/00-00-input-1.png", (5, 4), "Input / <1>", "p<1>: Input / <1>"
    )
    stored = np.asarray(Image.open(tmp_path / first.file))
    expected = (images[0] * 127.5 + 127.5).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(stored, expected)
    assert len(list((tmp_path / "pictures").iterdir())) == 4


def test_a_page_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = save_gallery(tmp_path, "first", [])
    before = path.read_bytes()

    def rows() -> object:
        yield "x", []
        raise InputError("no picture")

    with pytest.raises(InputError, match="no picture"):
        save_gallery(tmp_path, "second", rows())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="exists by now"):
        save_gallery(tmp_path, "third", [], overwrite=False)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["index.html"]
