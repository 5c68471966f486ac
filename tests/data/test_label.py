# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.data label``: from photographs and a parser to label maps."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scam.data import FolderPairs, read_label_png
from scam.data.__main__ import main
from scam.errors import InputError

TOY = """\
import numpy as np

seen = []


def bright(photo):
    seen.append(photo.shape)
    return (photo[..., 0] > 127) * 2


def thin(photo):
    return photo[..., 0].T


def negative(photo):
    return np.full(photo.shape[:2], -1)


def unsure(photo):
    return np.where(photo[..., 0] > 127, 300, 1)


def second_fails(photo):
    if seen:
        raise RuntimeError("out of memory")
    return bright(photo)
"""
Label = Callable[..., None]


@pytest.fixture
def label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Label:
    """The command, with the functions of TOY, in an empty folder."""
    (tmp_path / "toy.py").write_text(TOY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != ""])
    monkeypatch.delitem(sys.modules, "toy", raising=False)

    def call(src: str, *words: str, function: str = "bright") -> None:
        main(["label", src, "--parser", f"toy:{function}", *words])

    yield call
    sys.modules.pop("toy", None)


def save(path: str, seed: int = 0, size: tuple[int, int] = (6, 8), **more: object) -> np.ndarray:
    """A noisy photograph of that height and width; its labels, 0 and 2."""
    noise = np.random.default_rng(seed).integers(256, size=(*size, 3), dtype=np.uint8)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise).save(path, **more)
    return (noise[..., 0] > 127) * 2


def read(path: str) -> np.ndarray:
    return read_label_png(Path(path))


def calls() -> int:
    return len(sys.modules["toy"].seen)


def test_a_folder_of_photographs_becomes_one_that_trains(
    label: Label, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = [save(f"photos/images/p{i}.png", i) for i in range(3)]
    label("photos")
    for i in range(3):
        np.testing.assert_array_equal(read(f"photos/labels/p{i}.png"), expected[i])
    assert len(FolderPairs("photos").label_set) == 3
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "photos/labels: 3 label maps"
    share = np.mean(np.stack(expected) == 2)
    assert f"2  label_2        3 (100 %)  {100 * share:5.2f} %" in said[4]
    assert said[-4] == "next: python -m scam.data check photos"
    assert said[-2].startswith("then: python -m scam.transfer RUN --data photos --subject NAME")
    assert said[-1].endswith("python -m scam.studio RUN --data photos")


def test_what_is_there_is_kept(label: Label, capsys: pytest.CaptureFixture[str]) -> None:
    expected = [save(f"photos/images/p{i}.png", i) for i in range(3)]
    Path("photos/labels").mkdir()
    mine = np.ones((6, 8), np.uint8)
    Image.fromarray(mine).save("photos/labels/p1.png")
    label("photos")
    assert calls() == 2
    np.testing.assert_array_equal(read("photos/labels/p1.png"), mine)
    assert "photos/labels: 3 label maps, 1 of which existed already" in capsys.readouterr().out
    label("photos", "--overwrite")
    assert calls() == 5
    np.testing.assert_array_equal(read("photos/labels/p1.png"), expected[1])


def test_an_interrupted_call_goes_on_where_it_was(label: Label) -> None:
    for i in range(3):
        save(f"photos/images/p{i}.png", i)
    with pytest.raises(InputError) as failed:
        label("photos", function="second_fails")
    assert str(failed.value) == (
        "photos/images/p1.png: toy:second_fails: RuntimeError: out of memory"
    )
    assert os.listdir("photos/labels") == ["p0.png"]
    Path("photos/labels/.p1.png.999999999.partial").touch()  # of a killed process
    before = calls()
    label("photos")
    assert calls() == before + 2
    assert sorted(os.listdir("photos/labels")) == ["p0.png", "p1.png", "p2.png"]


def test_photographs_that_are_not_read(label: Label, capsys: pytest.CaptureFixture[str]) -> None:
    save("photos/images/a.png")
    save("photos/images/sub/b.png")
    label("photos")
    said = ["photos/labels/a.png: 1 label map", "left out: 1 folder (images/sub)", ""]
    assert capsys.readouterr().out.splitlines()[:3] == said
    save("album/a.png")
    save("album/b.tiff")
    for _ in range(2):  # the album's own folder of maps is not left out
        label("album", "--out", "album/maps")
    assert capsys.readouterr().out.count("left out: 1 .tiff file (") == 2


def test_one_photograph(label: Label, tmp_path: Path) -> None:
    """Its map goes where other commands look for it."""
    expected = save("anna.png")
    label("anna.png")
    np.testing.assert_array_equal(read("anna_labels.png"), expected)
    save("photos/images/ben.jpg")
    label("photos/images/ben.jpg", "--labels", "maps")
    label("anna.png", "--out", "there")
    assert Path("photos/maps/ben.png").is_file()
    assert Path("there/anna.png").is_file()


def test_folders_of_other_kinds(label: Label, capsys: pytest.CaptureFixture[str]) -> None:
    save("album/a.png")
    label("album", "--out", "album/maps")
    assert Path("album/maps/a.png").is_file()
    assert "next:" not in capsys.readouterr().out
    for split in ("train", "val"):
        save(f"set/{split}/images/{split}.png")
    label("set", "--labels", "maps")
    assert Path("set/train/maps/train.png").is_file()
    assert Path("set/val/maps/val.png").is_file()
    assert "next: python -m scam.data check set --labels maps\n" in capsys.readouterr().out


def test_photographs_are_labelled_upright(label: Label) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    save("photos/images/a.png", exif=exif)
    label("photos")
    assert sys.modules["toy"].seen == [(8, 6, 3)]
    FolderPairs("photos", num_labels=3).load(0, (8, 6))


def test_values_that_mean_no_label(label: Label, capsys: pytest.CaptureFixture[str]) -> None:
    bright = save("photos/images/a.png") == 2
    words = ("--label-set", "idesigner", "--ignore-label", "300")
    label("photos", *words, function="unsure")
    np.testing.assert_array_equal(read("photos/labels/a.png"), np.where(bright, 300, 1))
    said = capsys.readouterr().out
    assert f"without a label: {100 * bright.mean():.2f} % of the pixels" in said
    assert "1  face " in said
    assert "check photos --label-set idesigner --ignore-label 300" in said


@pytest.mark.parametrize(
    ("src", "words", "function", "said"),
    [
        ("photos", [], "thin", r"a\.png: toy:thin: the function returned uint8 \(8, 6"),
        ("photos", [], "negative", r"a\.png: toy:negative: the function returned values -1"),
        ("photos", ["--label-set", "body"], "bright", r"toy:bright: holds 2 \(\d+ pixels\), exp"),
        ("photos", ["--label-set", "bod"], "bright", "did you mean body"),
        ("photos", [], "britght", "^--parser toy:britght: .*no attribute .* did you mean bright"),
        ("photos", ["--parser", "a.b:c"], "", r"^--parser a\.b:c: .*folder that holds a/b\.py$"),
        ("photos", ["--labels", "images"], "bright", "images: is the folder of photographs"),
        ("photos", ["--out", "maps"], "bright", "^--out maps: expected none, label maps of"),
        ("album", [], "bright", "^album: holds no folder images; put .* say with --out where"),
        ("album", ["--out", "album"], "bright", "album: is the folder of photographs"),
        ("nowhere", [], "bright", "nowhere: no such file or folder, expected photographs"),
        ("empty", [], "bright", "empty/images: holds no .png/"),
    ],
)  # fmt: skip
def test_what_cannot_be_labelled(
    src: str, words: list[str], function: str, said: str, label: Label
) -> None:
    save("photos/images/a.png")
    save("album/a.png")
    Path("empty/images").mkdir(parents=True)
    with pytest.raises(InputError, match=said) as refused:
        label(src, *words, function=function)
    assert "\n" not in str(refused.value)
    assert not Path("photos/labels/a.png").exists()


def test_what_docs_show(label: Label, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text()
    for i in range(40):
        save(f"people/images/p{i}.png", i, size=(96, 64))
    Path("box_parser.py").write_text(page.partition("```python\n")[2].partition("```")[0])
    main(["label", "people", "--parser", "box_parser:label_map"])
    shown = page.partition("```\n$ scam data label people")[2].partition("```")[0]
    told = capsys.readouterr().out.replace("python -m scam.", "scam ")  # as the script tells it
    assert told == shown.partition("\n")[2]


def test_the_console_script_finds_a_load_parser(label: Label, tmp_path: Path) -> None:
    """Where it is installed is on Python's path, this folder is not."""
    save("anna.png")
    script = "import sys; sys.path.pop(0); from scam.__main__ import script; script()"
    words = ["data", "label", "anna.png", "--parser", "toy:bright"]
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "anna_labels.png: 1 label map")
