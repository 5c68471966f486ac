# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from scam.data import LABEL_SETS, FolderPairs, colorize, palette, read_label_png
from scam.data.prepare import write_plan
from scam.data.prepare.palette import Palette, plan, read_palette, voc_palette
from scam.errors import InputError

NIGHT, RED, WHITE = (12, 12, 40), (200, 30, 30), (250, 250, 250)


def paint(root: Path, stem: str, picture: Image.Image, suffix: str = "png", **save) -> None:
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", picture.size, (sum(map(ord, stem)) % 251, 1, 2)).save(
        root / "images" / f"{stem}.png"
    )
    picture.save(root / "labels" / f"{stem}.{suffix}", **save)


def scene(size: tuple[int, int] = (24, 32)) -> Image.Image:
    """Night, a red box over an eighth of it, a small white one."""
    values = np.empty((*size, 3), np.uint8)
    values[:] = NIGHT
    values[6:18, 8:16] = RED
    values[2:5, 24:27] = WHITE
    return Image.fromarray(values)


TRUE = np.zeros((24, 32), np.int32)
TRUE[6:18, 8:16] = 1
TRUE[2:5, 24:27] = 2


@pytest.fixture
def painted(tmp_path: Path) -> Path:
    root = tmp_path / "painted"
    paint(root, "a", scene())
    paint(root, "b", Image.new("RGB", (8, 8), RED))
    paint(root, "c", scene().convert("RGBA"))
    paint(root, "d", scene().quantize(8))
    return root


def labels(out: Path, stem: str) -> np.ndarray:
    return read_label_png(out / "labels" / f"{stem}.png")


def test_colours_are_numbered_as_they_sort(painted: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_plan(plan(painted), painted, out)
    assert (labels(out, "a") == TRUE).all()
    assert (labels(out, "b") == 1).all()
    assert (labels(out, "c") == TRUE).all()
    # A palette's own indices do not matter, only its colours.
    assert (labels(out, "d") == TRUE).all()
    assert (out / "palette.txt").read_text().splitlines() == [
        "0 #0c0c28 label_0",
        "1 #c81e1e label_1",
        "2 #fafafa label_2",
    ]
    assert FolderPairs(out).label_set.names == ("label_0", "label_1", "label_2")


def test_no_area_decides_what_a_label_is_called(tmp_path: Path) -> None:
    for name, ground, figure in (("small", "black", "red"), ("large", "red", "black")):
        picture = Image.new("RGB", (8, 8), ground)
        picture.paste(figure, (0, 0, 3, 3))
        paint(tmp_path / name, "a", picture)
        made = plan(tmp_path / name)
        assert made.texts["palette.txt"] == "0 #000000 label_0\n1 #ff0000 label_1\n"


@pytest.mark.parametrize("save", ["L", "RGB", "1", "LA"])
def test_greys_are_ids_and_no_colours(tmp_path: Path, save: str) -> None:
    picture = Image.new("L", (8, 8), 255)
    picture.paste(0, (0, 0, 3, 3))
    paint(tmp_path / "masks", "a", picture.convert(save))
    root = tmp_path / "masks"
    with pytest.raises(InputError, match=rf"greys .* prepare indices {root} {root}_indexed keeps"):
        plan(root)
    (tmp_path / "mine.txt").write_text("1 #ffffff person\n0 #000000 rest\n")
    assert plan(root, palette=str(tmp_path / "mine.txt")).label_set.names == ("rest", "person")


def test_a_found_palette_can_be_named_and_used_again(painted: Path, tmp_path: Path) -> None:
    write_plan(plan(painted), painted, tmp_path / "out")
    file = tmp_path / "mine.txt"
    file.write_text("1 #0c0c28 sky\n0 #C81E1E left box\n\n0 #fafafa\n")
    write_plan(plan(painted, palette=str(file)), painted, tmp_path / "named")
    assert (labels(tmp_path / "named", "a") == np.where(TRUE == 0, 1, 0)).all()
    assert FolderPairs(tmp_path / "named").label_set.names == ("left box", "sky")
    again = read_palette(tmp_path / "named" / "palette.txt")
    assert again.colours == read_palette(file).colours
    assert again.ids == (1, 0, 0)


def test_a_colour_may_mean_no_label(painted: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("0 #0c0c28 sky\n- #c81e1e\n1 #fafafa moon\n")
    done = write_plan(plan(painted, palette=str(file)), painted, tmp_path / "out")
    assert done.ignore_label == 255
    assert (labels(tmp_path / "out", "a") == np.choose(TRUE, [0, 255, 1])).all()
    assert len(FolderPairs(tmp_path / "out", ignore_label=255).label_set) == 2
    assert read_palette(tmp_path / "out" / "palette.txt") == Palette(
        read_palette(tmp_path / "out" / "palette.txt").label_set,
        (0x0C0C28, 0xC81E1E, 0xFAFAFA),
        (0, -1, 1),
    )


def test_a_strange_colour_is_an_error_with_its_share(painted: Path, tmp_path: Path) -> None:
    odd = scene()
    odd.putpixel((0, 0), (1, 2, 3))
    paint(painted, "e", odd)
    file = tmp_path / "mine.txt"
    file.write_text("0 #0c0c28 sky\n1 #c81e1e box\n2 #fafafa moon\n")
    message = (
        r"labels/e\.png: holds #010203 outside the palette \(0\.13 % of the pixels\), "
        r"expected the palette's 3 colours to within 0 per channel \(a larger tolerance"
    )
    with pytest.raises(InputError, match=message):
        write_plan(plan(painted, palette=str(file)), painted, tmp_path / "out")
    # All of it, in three colours: no share in powers of ten.
    odd.putdata([(i % 3, 5, 5) for i in range(odd.width * odd.height)])
    paint(painted, "e", odd)
    message = r"holds #000505 and 2 other colours outside the palette \(100 % of the pixels\)"
    with pytest.raises(InputError, match=message):
        write_plan(plan(painted, palette=str(file)), painted, tmp_path / "out")


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_smoothed_and_compressed_pictures(tmp_path: Path, suffix: str) -> None:
    root = tmp_path / "painted"
    big = np.kron(TRUE, np.ones((10, 10), np.int32))
    values = np.array([NIGHT, RED, WHITE], np.uint8)[big]
    smooth = Image.fromarray(values).filter(ImageFilter.GaussianBlur(0.7))
    paint(root, "a", smooth, suffix, quality=90)
    with pytest.raises(InputError, match=rf"a\.{suffix}: holds \d+ colours, expected 256 at most"):
        plan(root)
    file = tmp_path / "mine.txt"
    file.write_text("0 #0c0c28 sky\n1 #c81e1e box\n2 #fafafa moon\n")
    with pytest.raises(InputError, match="outside the palette"):
        write_plan(plan(root, palette=str(file)), root, tmp_path / "out")
    write_plan(plan(root, palette=str(file), tolerance=60), root, tmp_path / "out")
    found = labels(tmp_path / "out", "a")
    assert (found == big).mean() > 0.99
    # No rim of a third label between two areas.
    assert not (found[:, :170] == 2).any()


def test_a_palette_is_found_in_compressed_pictures(tmp_path: Path) -> None:
    big = np.kron(TRUE, np.ones((16, 16), np.int32))
    values = np.array([NIGHT, RED, WHITE], np.uint8)[big]
    paint(tmp_path / "p", "a", Image.fromarray(values), "jpg", quality=90)
    found = plan(tmp_path / "p", tolerance=60)
    # The true colours first; what smoothing left between them may follow.
    colours = read_palette_text(found.texts["palette.txt"])
    for colour, true in zip(colours, (NIGHT, RED, WHITE), strict=False):
        assert np.abs(np.array(colour) - true).max() < 5


def read_palette_text(text: str) -> list[tuple[int, ...]]:
    return [tuple(bytes.fromhex(line.split()[1][1:])) for line in text.splitlines()]


def test_voc_colours() -> None:
    found = voc_palette(LABEL_SETS["lip20"])
    # As the VOC devkit lists them.
    assert [f"{colour:06x}" for colour in found.colours[:10]] == [
        *("000000", "800000", "008000", "808000", "000080"),
        *("800080", "008080", "808080", "400000", "c00000"),
    ]
    assert f"{found.colours[-1]:06x}" == "e0e0c0"
    assert found.ids == (*range(20), -1)
    assert len(set(voc_palette(LABEL_SETS["ade20k"]).colours)) == 152


def test_maps_saved_in_voc_colours(tmp_path: Path) -> None:
    root, values = tmp_path / "parsed", np.arange(24).reshape(4, 6) % 20
    table = np.array(voc_palette(LABEL_SETS["lip20"]).colours)
    rgb = np.stack([table[values] >> shift & 255 for shift in (16, 8, 0)], -1).astype(np.uint8)
    paint(root, "a", Image.fromarray(rgb))
    write_plan(plan(root, palette="voc", label_set="lip20"), root, tmp_path / "out")
    assert (labels(tmp_path / "out", "a") == values).all()
    assert FolderPairs(tmp_path / "out").label_set.swaps == LABEL_SETS["lip20"].swaps


def test_colorized_maps_come_back(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 151, (30, 40))
    paint(tmp_path / "p", "a", Image.fromarray(colorize(values)))
    lines = [f"{i} #{bytes(c).hex()} name {i}\n" for i, c in enumerate(palette(151))]
    (tmp_path / "mine.txt").write_text("".join(lines))
    made = plan(tmp_path / "p", palette=str(tmp_path / "mine.txt"))
    write_plan(made, tmp_path / "p", tmp_path / "out")
    assert (labels(tmp_path / "out", "a") == values).all()


def test_splits_and_unreadable_pictures(painted: Path, tmp_path: Path) -> None:
    for split in ("train", "test"):
        paint(tmp_path / "split" / split, split, scene())
    made = plan(tmp_path / "split", workers=2)
    assert made.splits == {"train": 1, "test": 1}
    (painted / "labels" / "b.png").write_bytes(b"no")
    with pytest.raises(InputError, match=r"1 bad file, .*b\.png: cannot be read"):
        write_plan(plan(painted), painted, tmp_path / "out")
    assert len(write_plan(plan(painted), painted, tmp_path / "out", skip_bad=True).bad) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 red box", r"mine\.txt, line 1: found '0 red box', expected 'id #rrggbb name'"),
        ("0 #ff00 box", r"line 1: found"),
        ("0 #ff0000 box\n1 #FF0000 moon", r"line 2: #ff0000 is given twice"),
        ("0 #ff0000 box\n0 #00ff00 moon", r"line 2: label 0 is 'box' and 'moon'"),
        ("0 #ff0000 box\n2 #00ff00 moon", r"label 2: expected labels 0 to n without gaps$"),
        ("300 #262a36 a", r"txt: label 300: expected labels 0 to n without gaps$"),
        ("0 #ff0000 box\n1 #00ff00", r"label 1 has no name, expected lines"),
        ("0 #ff0000", r"label 0 has no name"),
        ("- #ff0000", r"txt: no labels in the file, expected lines 'id #rrggbb name'"),
        ("9" * 5000 + " #ff0000 a", r"line 1: label 9{40}, expected 0 \.\. 65535"),
        ("0 #ff0000 a\x07", r"line 1: the name 'a\\x07' holds the character"),
        ("", r"txt: no colours in the file, expected lines 'id #rrggbb name'"),
        ("0 #ff0000 box\n1 #00ff00 box", r"two labels have the same name"),
    ],
)
def test_bad_palettes(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.txt").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_palette(tmp_path / "mine.txt")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tolerance": 256}, r"^tolerance=256: expected 0 to 255$"),
        ({"palette": "voc"}, r"^palette='voc': expected a label_set with it$"),
        ({"label_set": "lip20"}, r"^label_set='lip20': expected palette='voc' with it$"),
        (
            {"label_set": "lip20", "palette": "a.txt"},
            r"^label_set='lip20': expected palette='voc' with it$",
        ),
        ({"palette": "none.txt"}, r"none\.txt: cannot be read \(No such file"),
        ({"palette": "voc", "label_set": "lip21"}, r"label_set='lip21': expected one of"),
        ({"labels": "maps"}, r"maps: no such folder"),
    ],
)
def test_bad_arguments(painted: Path, arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan(painted, **arguments)


@pytest.mark.parametrize(
    "text",
    [
        "0\t#000000\tsky\r\n1\t#00C800\tsea\r\n",
        "# mine\n0,#000000,sky\n1,#00c800,sea\n",
        "0: #000000 sky\n\n1: #00c800 sea\n",
        "\ufeff0 #000000 sky\n1 #00c800 sea",
    ],
)
def test_spellings_of_one_palette(tmp_path: Path, text: str) -> None:
    (tmp_path / "palette.txt").write_bytes(text.encode())
    found = read_palette(tmp_path / "palette.txt")
    assert (found.label_set.names, found.colours) == (("sky", "sea"), (0, 0x00C800))
