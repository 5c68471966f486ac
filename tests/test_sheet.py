# SPDX-License-Identifier: Apache-2.0
import os

import numpy as np
import pytest
import torch
from PIL import Image

from scam.data import palette
from scam.data.latent_colours import latent_colours, latent_legend
from scam.data.legend import label_legend
from scam.data.sheet import _font, draw_sheet, save_sheet
from scam.errors import InputError

GAP, CAPTION = 4, 26


def pixels(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def cell(sheet, row, column, height, width):
    top, left = CAPTION + row * (height + GAP), GAP + column * (width + GAP)
    return sheet[top : top + height, left : left + width]


def test_every_picture_is_in_its_cell_enlarged(tmp_path):
    from scam.data import colorize

    torch.manual_seed(0)
    images = torch.rand(2, 3, 96, 64) * 2.2 - 1.1
    labels = torch.randint(-1, 5, (2, 96, 64))
    path = tmp_path / "samples" / "sheet.png"
    save_sheet(path, {"image": images, "labels": labels, "half": images.bfloat16()})
    sheet = pixels(path)
    assert sheet.shape == (CAPTION + 2 * (192 + GAP), GAP + 3 * (128 + GAP), 3)
    expected = (images.clamp(-1, 1) * 127.5 + 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    for row in range(2):
        shown = cell(sheet, row, 0, 192, 128)
        assert np.array_equal(shown, expected[row].repeat(2, 0).repeat(2, 1))
        shown = cell(sheet, row, 1, 192, 128)
        assert np.array_equal(shown, colorize(labels[row].numpy()).repeat(2, 0).repeat(2, 1))
        shown = cell(sheet, row, 2, 192, 128).astype(int)
        assert np.abs(shown[::2, ::2] - expected[row]).max() <= 1


def test_large_pictures_keep_their_size(tmp_path):
    save_sheet(tmp_path / "a.png", {"x": torch.zeros(1, 3, 200, 10)})
    assert pixels(tmp_path / "a.png").shape == (CAPTION + 200 + GAP, GAP + 10 + GAP, 3)
    save_sheet(tmp_path / "b.png", {"x": torch.zeros(1, 3, 20, 10)}, min_height=1)
    assert pixels(tmp_path / "b.png").shape == (CAPTION + 20 + GAP, GAP + 10 + GAP, 3)


@pytest.mark.parametrize("caption", ["image", "a much longer caption than the cell is wide", ""])
def test_captions_stay_above_their_column(tmp_path, caption):
    picture = torch.zeros(1, 3, 192, 128)
    save_sheet(tmp_path / "a.png", {"": picture, caption or " ": picture, "-": picture})
    header = pixels(tmp_path / "a.png")[:CAPTION]
    inked = np.flatnonzero((header < 128).any(axis=(0, 2)))
    left, right = GAP + 128 + GAP, GAP + 2 * (128 + GAP)
    middle = inked[(inked >= left) & (inked < right)]
    assert (len(middle) > 0) == bool(caption)
    assert not (inked < left).any()
    outside = inked[inked >= right]
    assert 0 < len(outside) < 20
    assert (header[0] == 255).all()


def test_not_a_number_is_no_picture(tmp_path):
    with pytest.raises(InputError, match="holds values that are not finite"):
        save_sheet(tmp_path / "a.png", {"x": torch.full((1, 3, 192, 8), float("nan"))})
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "at least one image"),
        ({"a": torch.zeros(0, 3, 4, 4)}, "at least one image"),
        ({"a": torch.zeros(0, 4, 4, dtype=torch.long)}, "at least one image"),
        ({"a": torch.zeros(1, 3, 4, 4), "b": torch.zeros(2, 3, 4, 4)}, "one N, H and W"),
        ({"a": torch.zeros(1, 3, 4, 4), "b": torch.zeros(1, 4, 5).long()}, "one N, H and W"),
        ({"a": torch.zeros(1, 1, 4, 4)}, "column 'a' must be"),
        ({"a": torch.zeros(1, 4, 4)}, "column 'a' must be"),
        ({"a": torch.zeros(1, 3, 4, 4, dtype=torch.uint8)}, "column 'a' must be"),
    ],
)
def test_columns_that_make_no_sheet(tmp_path, columns, message):
    with pytest.raises(ValueError, match=message):
        save_sheet(tmp_path / "a.png", columns)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_old_sheet(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    save_sheet(path, {"x": torch.zeros(1, 3, 8, 8)})
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=rf"cannot write {path}: No space left on device"):
        save_sheet(path, {"x": torch.ones(1, 3, 8, 8)})
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_words_before_the_rows(tmp_path):
    pictures = {"x": torch.zeros(2, 3, 8, 8)}
    save_sheet(tmp_path / "plain.png", pictures)
    save_sheet(tmp_path / "named.png", pictures, rows=["first", "second"])
    plain, named = (Image.open(tmp_path / f"{name}.png") for name in ("plain", "named"))
    assert named.height == plain.height
    assert named.width > plain.width
    cells = named.crop((named.width - plain.width, 0, *named.size))
    assert cells.tobytes() == plain.tobytes()
    with pytest.raises(ValueError, match="rows has 1 words, expected one for each of 2 rows"):
        save_sheet(tmp_path / "bad.png", pictures, rows=["first"])


@pytest.mark.parametrize("name", ["mu\udcf1oz", "two\nlines", "a\ttab", "\u202eright", "\0", ""])
def test_any_name_can_be_a_caption(tmp_path, name):
    columns = {name: torch.zeros(1, 3, 64, 64), f"{name}2": torch.zeros(1, 64, 64).long()}
    save_sheet(tmp_path / "sheet.png", columns, rows=[name])
    assert pixels(tmp_path / "sheet.png").shape[1] >= 2 * (64 + GAP)


def test_a_scale_is_a_choice(tmp_path):
    picture = {"x": torch.rand(1, 3, 20, 10)}
    sizes = {}
    for scale in (1, 3, None):
        save_sheet(tmp_path / "a.png", picture, scale=scale)
        sizes[scale] = pixels(tmp_path / "a.png").shape[:2]
    assert sizes == {n: (CAPTION + 20 * f + GAP, GAP + 10 * f + GAP) for n, f in
                     ((1, 1), (3, 3), (None, 10))}  # fmt: skip
    with pytest.raises(ValueError, match="scale is 0, expected 1 or more"):
        save_sheet(tmp_path / "b.png", picture, scale=0)


def test_a_sheet_that_no_memory_holds_is_refused():
    large = {"x": torch.zeros(1, 3, 1, 1).expand(1, 3, 1200, 4000)}
    with pytest.raises(InputError, match=r"scale=16: makes a sheet of \d+ pixels, 19\d+x64008 "):
        draw_sheet(large, scale=16)


def test_letters_grow_with_the_pictures():
    font, top = _font(["x"], 192, 128)
    assert (font.size, top) == (18, CAPTION)
    font, top = _font(["x"], 3000, 2000)
    assert (font.size, top) == (120, 128)


NAMES = ["sky", "hair", "a coat", "never seen"]


def test_a_legend_names_the_labels_that_are_there(tmp_path):
    labels = torch.tensor([[[0, 2], [2, -1]]])
    columns = {"a": torch.zeros(1, 3, 2, 2), "b": labels}
    assert label_legend(NAMES, [labels]).entries == (
        (tuple(palette(4)[0].tolist()), "sky"),
        (tuple(palette(4)[2].tolist()), "a coat"),
        ((0, 0, 0), "no label"),
    )
    plain, named = (draw_sheet(columns, label_names=names) for names in ((), NAMES))
    assert named.width == plain.width
    assert named.crop((0, 0, *plain.size)).tobytes() == plain.tobytes()
    below = np.asarray(named)[plain.height :].reshape(-1, 3)
    for colour in (palette(4)[0], palette(4)[2], (0, 0, 0)):
        assert (below == colour).all(1).sum() > 50
    assert not (below == palette(4)[1]).all(1).any()
    # Pictures alone need none.
    assert draw_sheet({"a": columns["a"]}, label_names=NAMES).height == plain.height


def test_long_legends_are_wrapped_and_any_name_fits():
    names = [f"label {n}" for n in range(60)]
    names[3:6] = ["x" * 400, "mu\udcf1oz\n", ""]
    labels = torch.arange(60).reshape(1, 6, 10)
    drawn = draw_sheet({"b": labels}, label_names=names, scale=30)
    cells = CAPTION + 6 * 30 + GAP
    assert drawn.size[0] == 2 * GAP + 300
    assert drawn.size[1] > cells + 10 * 20
    right = np.asarray(drawn)[cells:, -1]
    assert (right == 255).all()


def test_latents_have_colours_that_everybody_can_tell_apart():
    colours = np.array(latent_colours(24))
    apart = np.abs(colours[:, None] - colours).sum(-1) + 999 * np.eye(24)
    assert apart.min() > 20
    assert apart[:8, :8].min() > 80
    labels = palette(20).astype(int)
    assert np.abs(colours[:8, None] - labels).sum(-1).min() > 50
    assert [name for _, name in latent_legend(2).entries] == ["latent 0", "latent 1"]
