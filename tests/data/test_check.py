# SPDX-License-Identifier: Apache-2.0
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scam.data import FolderPairs
from scam.data.check import check_folder
from scam.data.folder_report import FolderReport
from scam.data.report import report_text
from scam.errors import InputError

SIZE = (6, 4)


def write_pair(root: Path, stem: str, values: object = None, size: tuple[int, int] = SIZE) -> None:
    """A photograph of a colour of its own and a map: 0 above and 1 below unless given."""
    image = np.full((*size, 3), sum(map(ord, str(root) + stem)) % 251, np.uint8)
    image[0, 0] = list(stem.encode()[-3:].rjust(3))
    labels = np.zeros(size, np.uint8)
    labels[size[0] // 2 :] = 1
    if values is not None:
        labels = np.broadcast_to(values, size).astype(np.asarray(values).dtype)
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(root / "images" / f"{stem}.png")
    Image.fromarray(labels).save(root / "labels" / f"{stem}.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twenty good pairs of two labels."""
    for i in range(20):
        write_pair(tmp_path / "set", f"p{i:02d}")
    return tmp_path / "set"


def bad(report: FolderReport) -> list[str]:
    return [f"{file}: {text}" for file, text in report.bad_lines()]


def test_a_good_folder(root: Path) -> None:
    write_pair(root, "p20", np.uint8(2), (8, 8))
    report = check_folder(root)
    assert report.bad == ()
    assert report.pairs == 21
    assert report.splits == {"train": 19, "val": 2}
    assert report.held_out
    assert not report.named
    assert [label.name for label in report.labels] == ["label_0", "label_1", "label_2"]
    assert [label.pictures for label in report.labels] == [20, 20, 1]
    assert [label.pixels for label in report.labels] == [240, 240, 64]
    assert report.pixels == 544
    assert report.sizes == {"smallest": (6, 4), "most_frequent": (6, 4), "largest": (8, 8)}
    assert report.num_sizes == 2


def test_splits_are_those_of_training(tmp_path: Path) -> None:
    for split, count in (("train", 12), ("test", 3)):
        for i in range(count):
            write_pair(tmp_path / split, f"{split}{i}")
    report = check_folder(tmp_path)
    for split, count in report.splits.items():
        assert len(FolderPairs(tmp_path, split=split)) == count
    assert report.splits == {"train": 10, "val": 2, "test": 3}


def test_labels_without_names(root: Path) -> None:
    mend = "write labels.txt or give label_set"
    lines = report_text(check_folder(root)).split("\n")
    assert lines[2] == f"2 labels without names (the label set body has 2 as well): {mend}"
    write_pair(root, "p20", np.uint8(3))
    assert f"\n4 labels without names: {mend}\n" in report_text(check_folder(root))


def test_a_hold_out_of_everything_is_no_bad_file(root: Path) -> None:
    with pytest.raises(InputError, match=r"nothing is left for 'train': of 20 images"):
        check_folder(root, holdout=99)


def test_photographs_that_are_not_read(root: Path) -> None:
    (root / "images" / "photo.tiff").touch()
    said = "left out: 1 .tiff file (images are .png, .jpg, .jpeg, .webp)"
    report = check_folder(root)
    assert report.bad == ()
    assert report.as_dict()["left_out"] == said
    assert report_text(report).split("\n")[1] == said


def test_names_and_ignored_pixels(root: Path) -> None:
    (root / "labels.txt").write_text("0 sky\n1 ground\n2 sea\n")
    ignored = np.zeros(SIZE, np.uint8)
    ignored[0] = 255
    write_pair(root, "p05", ignored)
    assert "255 (4 pixels)" in bad(check_folder(root))[0]
    report = check_folder(root, ignore_label=255)
    assert report.bad == ()
    assert report.named
    assert report.unlabelled == 4
    assert report.pixels == 20 * 24
    assert [(label.name, label.pictures) for label in report.labels][2] == ("sea", 0)
    text = report_text(report)
    assert "without a label: 0.83 % of the pixels" in text
    assert "labels that never occur: 2 sea" in text
    assert text.endswith("no bad file")


def _no_picture(path: Path) -> None:
    path.write_bytes(b"no")


def _turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 6)).save(path, exif=exif)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (
            lambda r: write_pair(r, "p05", np.array([[9, 9, 12, 1]], np.uint8)),
            ["labels/p05.png: holds 9 (12 pixels), 12 (6 pixels), expected labels 0 .. 1"],
        ),
        (
            lambda r: write_pair(r, "p05", np.arange(2, 26, dtype=np.uint8).reshape(SIZE)),
            [
                "labels/p05.png: holds 2 (1 pixel), 3 (1 pixel), 4 (1 pixel), 5 (1 pixel), "
                "6 (1 pixel) and 19 more values, expected labels 0 .. 1"
            ],
        ),
        (
            lambda r: Image.new("L", (5, 6)).save(r / "labels" / "p05.png"),
            [
                "labels/p05.png: is 6x5 but images/p05.png is 6x4 (height x width), expected "
                "equal sizes"
            ],
        ),
        (
            lambda r: _turned(r / "images" / "p05.png"),
            [
                "labels/p05.png: is 6x4 but images/p05.png is 4x6 (height x width) after its EXIF "
                "orientation 6, expected equal sizes"
            ],
        ),
        (
            lambda r: (r / "labels" / "p05.png").unlink(),
            ["images/p05.png: has no partner labels/p05.png"],
        ),
        (
            lambda r: (r / "images" / "p05.png").unlink(),
            ["labels/p05.png: has no partner images/p05.*"],
        ),
        (
            lambda r: Image.new("RGB", (4, 6)).save(r / "images" / "p05.jpg"),
            ["images/p05.png: has the same stem as p05.jpg, expected one file for each"],
        ),
        (
            lambda r: [_no_picture(r / folder / "p05.png") for folder in ("images", "labels")],
            [
                "images/p05.png: cannot be read (not an image)",
                "labels/p05.png: cannot be read (not an image)",
            ],
        ),
    ],
)
def test_every_bad_file_is_named_with_its_value(
    root: Path, spoil: Callable[[Path], object], expected: list[str]
) -> None:
    (root / "labels.txt").write_text("0 sky\n1 ground\n")
    _no_picture(root / "images" / "p09.png")
    spoil(root)
    report = check_folder(root)
    also = "images/p09.png: cannot be read (not an image)"
    assert sorted(bad(report)) == sorted([*expected, also])
    assert sum(report.splits.values()) < 20


def test_colour_maps_are_refused_with_the_command(root: Path) -> None:
    Image.new("RGB", (4, 6), "red").save(root / "labels" / "p05.png")
    report = check_folder(root)
    (line,) = bad(report)
    assert line.startswith("labels/p05.png: is an RGB colour image; convert it to an index map")
    text = report_text(report)
    assert f"python -m scam.data prepare palette {root} {root}_indexed (a png with" in text


def test_values_that_are_no_labels_where_nothing_names_them(root: Path) -> None:
    write_pair(root, "p05", np.uint8(255))
    write_pair(root, "p06", np.uint16(26001))
    report = check_folder(root)
    assert bad(report) == [
        "labels/p05.png: holds 255 (24 pixels), expected labels 0 .. 1",
        "labels/p06.png: holds 26001 (24 pixels), expected labels 0 .. 1",
    ]
    assert "ignore_label=255" in report.advice[0]
    # Among higher ids 255 is a label like others.
    for path in root.rglob("*.png"):
        path.unlink()
    for i in range(3):
        write_pair(root, f"p{i}", np.arange(301, dtype=np.uint16)[None], (2, 301))
    report = check_folder(root)
    assert report.bad == ()
    assert len(report.labels) == len(FolderPairs(root).label_set) == 301


def test_what_check_passes_trains_and_what_it_refuses_does_not(root: Path) -> None:
    write_pair(root, "p05", np.uint8(255))
    assert check_folder(root).bad
    with pytest.raises(InputError, match="p05"):
        FolderPairs(root)
    assert not check_folder(root, ignore_label=255).bad
    source = FolderPairs(root, ignore_label=255)
    for index in range(len(source)):
        source.load(index, SIZE)


def test_a_photograph_in_two_splits_is_a_leak(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for i in range(3):
            write_pair(tmp_path / split, f"{split}{i}")
    same = (tmp_path / "train" / "images" / "train1.png").read_bytes()
    (tmp_path / "test" / "images" / "test2.png").write_bytes(same)
    (line,) = bad(check_folder(tmp_path))
    assert line == (
        "test/images/test2.png: is in test and, as train/images/train1.png, in train, "
        "expected in one of them"
    )


def test_a_split_without_labels_is_a_bad_file(tmp_path: Path) -> None:
    write_pair(tmp_path / "train", "a")
    write_pair(tmp_path / "val", "b")
    (tmp_path / "val" / "labels" / "b.png").unlink()
    report = check_folder(tmp_path)
    (problem,) = bad(report)
    assert problem.startswith("val/labels: holds no .png files; a parser makes label maps: python")
    assert report.splits == {"train": 1, "val": 0}
    assert not report.held_out


def test_pictures_beside_split_folders_are_refused(root: Path) -> None:
    write_pair(root / "train", "a")
    with pytest.raises(InputError, match=r"set/images: is beside train/, expected it in train/"):
        check_folder(root)


def test_photographs_that_exif_turns_are_counted(root: Path) -> None:
    """Of a square picture sizes cannot tell that its label map lies on its side."""
    assert "EXIF" not in report_text(check_folder(root))
    write_pair(root, "p05", size=(6, 6))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 6)).save(root / "images" / "p05.png", exif=exif)
    report = check_folder(root)
    assert report.bad == ()
    assert report.turned == report.as_dict()["turned_by_exif"] == 1
    assert "turned upright by their EXIF orientation: 1 photograph;" in report_text(report)


def test_workers_change_nothing(root: Path) -> None:
    _no_picture(root / "images" / "p09.png")
    assert check_folder(root, workers=2) == check_folder(root)


def test_json_holds_everything(root: Path) -> None:
    _no_picture(root / "images" / "p09.png")
    values = json.loads(json.dumps(check_folder(root).as_dict()))
    assert values["splits"] == {"train": 17, "val": 2}
    assert values["pairs"] == 20
    assert values["labels"][1] == {"id": 1, "name": "label_1", "pictures": 19, "pixels": 228}
    assert values["bad"] == [
        {"file": "images/p09.png", "problem": "cannot be read (not an image)"}
    ]


def test_bars_and_shares(root: Path) -> None:
    values = np.zeros((10, 10), np.uint8)
    values[0, 0] = 1
    for path in root.rglob("*.png"):
        path.unlink()
    write_pair(root, "a", values, (10, 10))
    write_pair(root, "b", np.uint8(0), (10, 10))
    lines = report_text(check_folder(root)).splitlines()
    assert lines[0].endswith("set: 1 train and 1 val images (val held out of train)")
    assert lines[1] == "size: 10x10 (height x width)"
    assert lines[3] == "fewer than 10 val images: their numbers will be noisy"
    assert lines[4] == "scam.evaluate needs 2 val images: train with holdout 2"
    assert lines[7].split() == ["0", "label_0", "2", "(100", "%)", "99.50", "%", "#" * 30]
    assert lines[8].split() == ["1", "label_1", "1", "(50", "%)", "0.50", "%", "##"]


def test_long_lists_are_cut_unless_asked_for(root: Path) -> None:
    for i in range(30):
        _no_picture(root / "images" / f"q{i:02d}.png")
    report = check_folder(root)
    assert "... and 10 more (every_bad shows them)" in report_text(report)
    assert "q29" not in report_text(report)
    assert "q29" in report_text(report, every_bad=True)


def test_nothing_usable_is_said(root: Path) -> None:
    for path in (root / "labels").iterdir():
        _no_picture(path)
    report = check_folder(root)
    assert len(report.bad) == 20
    assert "no usable pair" in report_text(report)
    assert "0 train and 0 val images usable of 20 pairs" in report_text(report)


@pytest.mark.parametrize(
    ("spoil", "arguments", "message"),
    [
        (lambda r: r.rename(r.with_name("gone")), {}, r"set: no such folder"),
        (lambda r: None, {"labels": "parts"}, r"set/parts: no such folder"),
        (lambda r: None, {"label_set": "lip21"}, r"label_set='lip21': expected one of"),
        (lambda r: None, {"ignore_label": -1}, r"ignore_label=-1: expected 0 \.\. 65535"),
        (lambda r: (r / "labels.txt").write_text("sky"), {}, r"labels\.txt, line 1: found 'sky'"),
        (
            lambda r: [p.rename(p.with_name(f"m{p.name}")) for p in (r / "labels").glob("*")],
            {},
            r"set: no image and label map have equal stems, .*p00\.png: has no",
        ),
    ],
)
def test_nothing_to_check(root: Path, spoil, arguments: dict, message: str) -> None:
    spoil(root)
    with pytest.raises(InputError, match=message) as caught:
        check_folder(root, **arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spoil", "arguments"),
    [
        (lambda r: write_pair(r, "p05", np.uint8(255)), {}),
        (lambda r: write_pair(r, "p05", np.uint16(26001)), {}),
        (lambda r: write_pair(r, "p05", np.uint8(40)), {}),
        (lambda r: (r / "labels.txt").write_text("0 a\n2 b\n"), {}),
        (lambda r: (r / "labels.txt").write_bytes(b"0 \xfc"), {}),
        (lambda r: (r / "labels.txt").mkdir(), {}),
        (lambda r: None, {"label_set": "lip21"}),
        (lambda r: None, {"merge": "nobody"}),
        (lambda r: None, {"merge": "idesigner", "label_set": "mannequins"}),
        (lambda r: (r / "m.json").write_text('{"a": [0]}'), {"merge": "m.json"}),
        (lambda r: (r / "m.json").write_text("{"), {"merge": "m.json"}),
        (lambda r: None, {"holdout": 20}),
        (lambda r: None, {"holdout": 0}),
        (
            lambda r: [write_pair(r, f"p{i:02d}", np.uint8(255)) for i in range(20)],
            {"ignore_label": 255},
        ),
        (
            lambda r: [
                (r / "labels.txt").write_text("0 a\n1 b\n"),
                *(write_pair(r, f"p{i:02d}", np.uint8(255)) for i in range(20)),
            ],
            {"ignore_label": 255},
        ),
        (lambda r: [p.unlink() for p in r.rglob("*.png") if p.stem != "p00"], {}),
        (lambda r: (r / "labels" / "p05.png").write_bytes(b"no"), {}),
        (lambda r: Image.new("RGB", (4, 6), "red").save(r / "labels" / "p05.png"), {}),
        (lambda r: Image.new("RGB", (4, 6)).save(r / "labels" / "p05.png"), {}),
        (lambda r: None, {"merge": "body"}),
        (lambda r: None, {"ignore_label": 1}),
        (lambda r: None, {"label_set": "lip20", "merge": "idesigner"}),
        (lambda r: (r / "labels.txt").write_text("0 void\n1 b\n"), {"ignore_label": 0}),
    ],
)
def test_check_and_training_refuse_the_same_in_the_same_words(
    root: Path, spoil: Callable[[Path], object], arguments: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(root)
    monkeypatch.chdir(root)
    try:
        report = check_folder(root, **arguments)
        said = [str(problem) for problem in report.bad]
    except InputError as error:
        said = [str(error)]
    refused = None
    try:
        for split in ("train", "val"):
            source = FolderPairs(root, split=split, **arguments)
            for index in range(len(source)):
                source.load(index, SIZE)
    except InputError as error:
        refused = str(error)
    assert (refused is None) == (said == [])
    assert refused is None or any(refused.startswith(text) for text in said)


def test_merged_labels_are_counted_as_training_sees_them(root: Path) -> None:
    (root / "labels.txt").write_text("0 sky\n1 ground\n2 sea\n")
    (root / "m.json").write_text('{"solid": [1], "other": [2, 0]}')
    report = check_folder(root, merge=str(root / "m.json"))
    assert [(label.name, label.pixels) for label in report.labels] == [
        ("solid", 240),
        ("other", 240),
    ]


def test_sides_without_partner_are_said(root: Path) -> None:
    (root / "labels.txt").write_text("0 left_手\n1 right_脚\n")
    report = check_folder(root)
    assert report.unpaired == ("left_手", "right_脚")
    assert "not swapped in mirrored images" in report_text(report)
    (root / "labels.txt").write_text("0 left_手\n1 right_手\n")
    assert check_folder(root).unpaired == ()


def test_the_labels_of_test_pictures_decide_nothing(tmp_path: Path) -> None:
    """Training never reads them: check must count as it does."""
    for i in range(4):
        write_pair(tmp_path / "train", f"p{i}")
    write_pair(tmp_path / "test", "t", np.uint8(7))
    assert bad(check_folder(tmp_path)) == [
        "test/labels/t.png: holds 7 (24 pixels), expected labels 0 .. 1"
    ]
    with pytest.raises(
        InputError, match=r"t\.png: holds 7 \(24 pixels\), expected labels 0 \.\. 1"
    ):
        FolderPairs(tmp_path, split="test").load(0, SIZE)
