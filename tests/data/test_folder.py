# SPDX-License-Identifier: Apache-2.0
import json
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scam.data import LABEL_SETS, FolderPairs, Mannequins, open_source
from scam.data.pairs import find_pairs
from scam.data.train_val_test import hold_out
from scam.errors import InputError

SIZE = (6, 4)


def write_pair(
    root: Path,
    stem: str,
    values: np.ndarray | None = None,
    *,
    suffix: str = "png",
    labels: str = "labels",
    size: tuple[int, int] = SIZE,
) -> None:
    """Write one pair below root; the map defaults to 0 above, 1 below."""
    if values is None:
        values = np.zeros(size, np.uint8)
        values[size[0] // 2 :] = 1
    for folder in ("images", labels):
        (root / folder).mkdir(parents=True, exist_ok=True)
    shade = sum(map(ord, stem)) % 200
    Image.new("RGB", size[::-1], (shade, 10, 20)).save(root / "images" / f"{stem}.{suffix}")
    Image.fromarray(values).save(root / labels / f"{stem}.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twenty good pairs of two labels."""
    for i in range(20):
        write_pair(tmp_path / "set", f"p{i:02d}")
    return tmp_path / "set"


def stems(source: FolderPairs) -> list[str]:
    return [source.stem(i) for i in range(len(source))]


def test_plain_layout(root: Path) -> None:
    source = FolderPairs(root)
    assert stems(source) == [f"p{i:02d}" for i in range(20)]
    assert source.label_set.names == ("label_0", "label_1")
    image, labels = source.load(3, SIZE)
    assert image.shape == (6, 4, 3)
    assert image.dtype == np.uint8
    assert (image == (sum(map(ord, "p03")) % 200, 10, 20)).all()
    assert labels.dtype == np.int32
    assert (labels[:3] == 0).all()
    assert (labels[3:] == 1).all()


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "webp", "JPG"])
def test_image_formats_and_dots_in_names(tmp_path: Path, suffix: str) -> None:
    write_pair(tmp_path, "photo.v2", suffix=suffix)
    (tmp_path / "images" / ".hidden.png").write_bytes(b"")
    (tmp_path / "images" / "notes.md").write_text("")
    source = FolderPairs(tmp_path)
    assert stems(source) == ["photo.v2"]
    assert source.load(0, SIZE)[0].shape == (6, 4, 3)


def test_split_layout(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("val", 2)):
        for i in range(count):
            write_pair(tmp_path / split, f"{split}{i}")
    # A label that only val has still counts.
    write_pair(tmp_path / "val", "odd", np.full(SIZE, 4, np.uint8))
    train, val = (FolderPairs(tmp_path, split=split) for split in ("train", "val"))
    assert stems(train) == ["train0", "train1", "train2"]
    assert stems(val) == ["odd", "val0", "val1"]
    assert len(train.label_set) == len(val.label_set) == 5
    assert len(FolderPairs(tmp_path)) == 6


def test_resize_distorts_the_aspect_and_keeps_labels_whole(tmp_path: Path) -> None:
    checks = (np.indices((64, 64)).sum(0) % 2 * 5).astype(np.uint8)
    write_pair(tmp_path, "a", checks, size=(64, 64))
    Image.fromarray(np.where(checks[..., None] > 0, 255, 0).repeat(3, 2).astype(np.uint8)).save(
        tmp_path / "images" / "a.png"
    )
    image, labels = FolderPairs(tmp_path).load(0, (16, 8))
    assert image.shape == (16, 8, 3)
    # Antialiased: a fine chess board becomes grey instead of a moire.
    assert np.abs(image.astype(int) - 127).max() < 8
    assert set(np.unique(labels)) <= {0, 5}
    image, labels = FolderPairs(tmp_path).load(0, (130, 200))
    assert labels.shape == (130, 200)
    assert set(np.unique(labels)) == {0, 5}


def test_sixteen_bit_and_palette_labels(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", np.full(SIZE, 700, np.uint16))
    write_pair(tmp_path, "b")
    palette = Image.new("P", SIZE[::-1], 3)
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 7, 8, 9])
    palette.save(tmp_path / "labels" / "b.png")
    source = FolderPairs(tmp_path, num_labels=701)
    assert (source.load(0, SIZE)[1] == 700).all()
    assert (source.load(1, SIZE)[1] == 3).all()


def test_ignored_values_become_minus_one(tmp_path: Path) -> None:
    values = np.zeros(SIZE, np.uint8)
    values[0] = 255
    values[1] = 2
    write_pair(tmp_path, "a", values)
    source = FolderPairs(tmp_path, ignore_label=255)
    assert len(source.label_set) == 3
    labels = source.load(0, SIZE)[1]
    assert (labels[0] == -1).all()
    assert (labels[1] == 2).all()
    # An ordinary label may be ignored too, before any merge.
    source = FolderPairs(tmp_path, ignore_label=2, num_labels=256, merge="body")
    labels = source.load(0, SIZE)[1]
    assert labels[:, 0].tolist() == [1, -1, 0, 0, 0, 0]


def test_label_names_give_swaps(root: Path) -> None:
    (root / "labels.txt").write_text("0 left arm\n1 right arm\n2 rest\n")
    source = FolderPairs(root)
    assert source.label_set.names == ("left arm", "right arm", "rest")
    assert source.label_set.swaps == ((0, 1),)


def test_names_of_a_second_label_folder(root: Path) -> None:
    for i in range(20):
        write_pair(root, f"p{i:02d}", np.full(SIZE, 2, np.uint8), labels="other")
    (root / "labels.txt").write_text("0 a\n1 b\n")
    # labels.txt belongs to labels/, so other/ is scanned.
    assert FolderPairs(root, labels="other").label_set.names == ("label_0", "label_1", "label_2")
    (root / "other.txt").write_text("0 x\n1 y\n2 z\n3 w\n")
    assert FolderPairs(root, labels="other").label_set.names == ("x", "y", "z", "w")
    assert FolderPairs(root).label_set.names == ("a", "b")


def test_labels_txt_names_the_only_label_folder(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", labels="parts")
    (tmp_path / "labels.txt").write_text("0 a\n1 b\n")
    assert FolderPairs(tmp_path, labels="parts").label_set.names == ("a", "b")


def test_merges(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.uint8).reshape(SIZE) % 20
    write_pair(tmp_path, "a", values)
    source = FolderPairs(tmp_path, merge="idesigner")
    assert source.label_set.names == ("background", "face", "body")
    expected = np.where(values == 0, 0, np.where(np.isin(values, [1, 2, 4, 13]), 1, 2))
    assert (source.load(0, SIZE)[1] == expected).all()
    assert (FolderPairs(tmp_path, merge="body").load(0, SIZE)[1] == (values > 0)).all()
    file = tmp_path / "merge.json"
    file.write_text(json.dumps({"odd": list(range(1, 20, 2)), "even": list(range(0, 20, 2))}))
    source = FolderPairs(tmp_path, merge=str(file))
    assert source.label_set.names == ("odd", "even")
    assert (source.load(0, SIZE)[1] == 1 - values % 2).all()


def test_hold_out_is_fixed_and_disjoint(root: Path) -> None:
    train, val = (stems(FolderPairs(root, split=split)) for split in ("train", "val"))
    # Written down: another process, another day, the same choice.
    assert val == ["p08", "p17"]
    assert len(train) == 18
    assert not set(train) & set(val)
    assert len(FolderPairs(root, split="val", holdout=7)) == 7
    named = {split: FolderPairs(root, split=split, held_out={"p03"}) for split in ("train", "val")}
    assert stems(named["val"]) == ["p03"]
    assert sorted([*stems(named["train"]), "p03"]) == sorted(train + val)


def test_hold_out_survives_new_files() -> None:
    names = [f"n{i}" for i in range(700)]
    held = hold_out(names, None)
    assert len(held) == 60
    more = hold_out([*names, "new"], None)
    assert len(held - more) <= 1
    assert hold_out(reversed(names), None) == held
    assert hold_out(names, 10) < held


@pytest.mark.parametrize(
    ("count", "held"), [(1, 1), (9, 1), (10, 2), (19, 2), (29, 2), (30, 3), (599, 59), (9999, 60)]
)
def test_two_of_ten_are_held_out_and_a_tenth_of_more(count: int, held: int) -> None:
    assert len(hold_out(map(str, range(count)), None)) == held


def test_val_is_held_out_of_train_and_never_of_test(tmp_path: Path) -> None:
    for i in range(20):
        write_pair(tmp_path / "train", f"p{i:02d}")
        write_pair(tmp_path / "test", f"t{i:02d}")
    train, val, test = (FolderPairs(tmp_path, split=split) for split in ("train", "val", "test"))
    assert stems(val) == ["p08", "p17"]
    assert sorted(stems(train) + stems(val)) == [f"p{i:02d}" for i in range(20)]
    assert stems(test) == [f"t{i:02d}" for i in range(20)]
    assert len(FolderPairs(tmp_path, split="val", holdout=5)) == 5
    assert len(FolderPairs(tmp_path)) == 40
    write_pair(tmp_path / "val", "v")
    assert stems(FolderPairs(tmp_path, split="val")) == ["v"]
    assert len(FolderPairs(tmp_path, split="train")) == 20


def test_a_test_folder_without_maps_stops_no_training(tmp_path: Path) -> None:
    for i in range(4):
        write_pair(tmp_path / "train", f"p{i}")
    write_pair(tmp_path / "test", "t", np.full(SIZE, 7, np.uint8))
    assert len(FolderPairs(tmp_path, split="test").label_set) == 2  # as many as training knows
    _remove(tmp_path / "test", "labels")
    train, val = (FolderPairs(tmp_path, split=split) for split in ("train", "val"))
    assert len(train) + len(val) == 4
    with pytest.raises(InputError, match=r"test/labels: no such folder"):
        FolderPairs(tmp_path, split="test")


def test_files_without_partner_are_left_out_aloud(root: Path) -> None:
    Image.new("RGB", (4, 6)).save(root / "images" / "alone.png")
    with pytest.warns(UserWarning, match=r"left out 1 file without a partner.*images/alone\.png"):
        assert len(FolderPairs(root)) == 20


def test_whole_folders_do_not_warn(root: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FolderPairs(root)


def _remove(root: Path, name: str) -> None:
    for path in sorted((root / name).iterdir()):
        path.unlink()
    (root / name).rmdir()


def _rename_labels(root: Path) -> None:
    for path in sorted((root / "labels").iterdir()):
        path.rename(path.with_name(f"mask_{path.name}"))


def _two_of_a_stem(root: Path) -> None:
    Image.new("RGB", (4, 6)).save(root / "images" / "p03.jpg")


def _only_test(root: Path) -> None:
    _remove(root, "images")
    write_pair(root / "test", "a")


def _all_splits(root: Path) -> None:
    _remove(root, "images")
    for split in ("train", "val", "test"):
        write_pair(root / split, "a")


@pytest.mark.parametrize(
    ("spoil", "arguments", "message"),
    [
        (lambda r: _remove(r, "images"), {}, r"set/images: no such folder"),
        (lambda r: _remove(r, "labels"), {}, r"set/labels: no such folder"),
        (lambda r: None, {"labels": "parts"}, r"set/parts: no such folder"),
        (lambda r: (r / "empty").mkdir(), {"labels": "empty"}, r"set/empty: holds no \.png"),
        (_rename_labels, {}, r"'images/p00\.png' and 'labels/mask_p00\.png'"),
        (_two_of_a_stem, {}, r"p03\.png: has the same stem as p03\.jpg"),
        (_only_test, {"split": "val"}, r"set/val: no such folder"),
        (lambda r: None, {"split": "test"}, r"set/test: no such folder"),
        (_all_splits, {"holdout": 3}, r"holdout=3: expected none, since .* its own val"),
        (lambda r: None, {"split": "all"}, r"split='all': expected train, val or test"),
        (
            lambda r: None,
            {"split": "train", "holdout": 20},
            r"nothing is left for 'train': of 20 images 20 held out",
        ),
        (lambda r: None, {"split": "val", "holdout": 0}, r"holdout=0: expected 1 or more"),
        (lambda r: None, {"split": "val", "holdout": -1}, r"holdout=-1"),
        (
            lambda r: write_pair(r / "train", "a"),
            {},
            r"set/images: is beside train/, expected it in train/ or no such folders",
        ),
        (lambda r: None, {"ignore_label": -1}, r"ignore_label=-1: expected 0 \.\. 65535"),
        (lambda r: None, {"num_labels": 0}, r"num_labels=0: expected 1 \.\. 65536"),
        (lambda r: None, {"merge": "face"}, r"merge='face': is not a file, expected one or ides"),
        (
            lambda r: (r / "labels.txt").write_text("0 a\n1 b\n2 c\n"),
            {"merge": "idesigner"},
            r"20 labels of LIP, found 3",
        ),
        (
            lambda r: (r / "labels.txt").write_text("0 a\n1 b\n"),
            {"num_labels": 3},
            r"num_labels=3: expected the 2 that 'labels' names",
        ),
        (
            lambda r: write_pair(r, "p05", np.full(SIZE, 255, np.uint8)),
            {},
            r"p05\.png: holds 255 \(24 pixels\), expected labels 0 \.\. 1; .*ignore_label=255",
        ),
        (
            lambda r: write_pair(r, "p05", np.full(SIZE, 26001, np.uint16)),
            {},
            r"p05\.png: holds 26001 \(24 pixels\)",
        ),
        (
            lambda r: (r / "labels" / "p05.png").write_bytes(b"no"),
            {},
            r"p05\.png: cannot be read \(not an image\)",
        ),
    ],
)
def test_bad_folders(root: Path, spoil, arguments: dict, message: str) -> None:
    spoil(root)
    with pytest.raises(InputError, match=message) as caught:
        FolderPairs(root, **arguments)
    assert "\n" not in str(caught.value)


def _turned(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", SIZE[::-1]).save(root / "images" / "p05.png", exif=exif)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda r: write_pair(r, "p05", np.full(SIZE, 9, np.uint8)),
            r"labels/p05\.png: holds 9 \(24 pixels\), expected labels 0 \.\. 1",
        ),
        (
            lambda r: Image.new("RGB", (4, 7)).save(r / "images" / "p05.png"),
            r"labels/p05\.png: is 6x4 but .*images/p05\.png is 7x4 \(height x width\), expected",
        ),
        (_turned, r"is 6x4 but .* is 4x6 \(height x width\) after its EXIF orientation 6"),
        (
            lambda r: Image.new("RGB", (4, 6), "red").save(r / "labels" / "p05.png"),
            r"labels/p05\.png: is an RGB colour image; convert it to an index map first",
        ),
        (
            lambda r: (r / "images" / "p05.png").write_bytes(
                (r / "images" / "p05.png").read_bytes()[:-30]
            ),
            r"images/p05\.png: cannot be read",
        ),
        (lambda r: (r / "images" / "p05.png").unlink(), r"images/p05\.png: cannot be read"),
    ],
)
def test_bad_pairs_are_named_when_loaded(root: Path, spoil, message: str) -> None:
    source = FolderPairs(root, num_labels=2)
    spoil(root)
    source.load(4, SIZE)
    with pytest.raises(InputError, match=message) as caught:
        source.load(5, SIZE)
    assert "\n" not in str(caught.value)


def test_ignore_label_is_named_among_the_expected(tmp_path: Path) -> None:
    write_pair(tmp_path, "a", np.full(SIZE, 9, np.uint8))
    with pytest.raises(
        InputError, match=r"holds 9 .*, expected labels 0 \.\. 1 or 255 \(ignored\)"
    ):
        FolderPairs(tmp_path, num_labels=2, ignore_label=255)


def test_exif_turned_image_with_upright_labels(tmp_path: Path) -> None:
    write_pair(tmp_path, "a")
    upright = np.zeros((*SIZE, 3), np.uint8)
    upright[:2] = 250
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90).save(
        tmp_path / "images" / "a.png", exif=exif
    )
    image, labels = FolderPairs(tmp_path).load(0, SIZE)
    assert (image == upright).all()
    assert (labels[3:] == 1).all()


def test_scan_sees_changed_files(root: Path) -> None:
    assert len(FolderPairs(root).label_set) == 2
    write_pair(root, "new", np.full(SIZE, 6, np.uint8))
    assert len(FolderPairs(root).label_set) == 7
    write_pair(root, "p03", np.full(SIZE, 8, np.uint8))
    assert len(FolderPairs(root).label_set) == 9


def test_open_source(root: Path) -> None:
    folder = open_source(str(root), "train", merge="body", holdout=4)
    assert isinstance(folder, FolderPairs)
    assert len(folder) == 16
    assert folder.label_set.names == ("background", "body")
    drawn = open_source("mannequins", "val")
    assert isinstance(drawn, Mannequins)
    assert len(drawn) == 64
    assert len(open_source("mannequins", "train")) == 2048


@pytest.mark.parametrize(
    ("data", "split", "arguments", "message"),
    [
        ("mannekins", "train", {}, "data='mannekins': expected mannequins or a folder"),
        ("mannequins", "test", {}, "split='test'"),
        ("mannequins", "val", {"labels": "parts"}, "labels='parts': mannequins have no"),
        ("mannequins", "val", {"ignore_label": 255}, "ignore_label=255"),
        ("mannequins", "val", {"holdout": 3}, "holdout=3"),
        ("mannequins", "val", {"merge": "idesigner"}, "20 labels of LIP, found 11"),
    ],
)
def test_open_source_refusals(data: str, split: str, arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_source(data, split, **arguments)


def test_a_named_label_set_names_what_is_on_disk(root: Path) -> None:
    (root / "labels.txt").write_text("0 a\n1 b\n")
    source = FolderPairs(root, label_set="lip20")
    assert source.label_set == LABEL_SETS["lip20"]
    assert (14, 15) in source.label_set.swaps
    with pytest.raises(InputError, match="label_set='lip21': expected one of lip20"):
        FolderPairs(root, label_set="lip21")


def test_relative_folders_are_counted_where_they_lie(tmp_path, monkeypatch) -> None:
    for name, top in (("here", 1), ("there", 4)):
        write_pair(tmp_path / name / "set", "p0", np.full((4, 4), top, np.uint8))
        write_pair(tmp_path / name / "set", "p1", np.zeros((4, 4), np.uint8))
        for file in (tmp_path / name).rglob("*.png"):
            os.utime(file, (0, 0))
        monkeypatch.chdir(tmp_path / name)
        assert len(FolderPairs("set").label_set) == top + 1


def test_who_reads_a_folder_twice_is_warned_once(root: Path) -> None:
    (root / "images" / "p00.png").unlink()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("default")
        find_pairs(root)
        find_pairs(root)
    assert [str(each.message).count("without a partner") for each in warned] == [1]


def test_what_is_no_index_or_size_is_named(root: Path) -> None:
    source = FolderPairs(root)
    with pytest.raises(InputError, match=r"^size=96: expected \(height, width\), two integers"):
        source.load(0, 96)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^index='p03': expected an integer, 0 to 19"):
        source.load("p03", (8, 8))  # type: ignore[arg-type]
