# SPDX-License-Identifier: Apache-2.0
"""Folders as strangers have them: check and training say the same of each, file by file."""

import os
import sys
import unicodedata
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scam.data import FolderPairs, open_source
from scam.data.check import check_folder
from scam.data.pairs import find_pairs
from scam.data.picture_folder import find_label_map
from scam.data.report import report_text
from scam.errors import InputError

SIZE = (6, 4)
Spoil = Callable[[Path], object]


def write_pair(root: Path, stem: str, *, suffix: str = ".png", maps: str = ".png") -> None:
    """A photograph of its own colours and a map of two labels."""
    image = np.frombuffer(os.fsencode(stem).rjust(72, b"\7")[-72:], np.uint8).reshape(*SIZE, 3)
    labels = np.repeat(np.uint8([0, 1]), 12).reshape(SIZE)
    for folder, pixels, ending in (("images", image, suffix), ("labels", labels, maps)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / folder / f"{stem}{ending}")


@pytest.fixture(params=[False, True], ids=["unnamed", "named"])
def root(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Eight good pairs, with names of labels or without."""
    for i in range(8):
        write_pair(tmp_path / "set", f"p{i}")
    if request.param:
        (tmp_path / "set" / "labels.txt").write_text("0 rest\n1 body\n")
    return tmp_path / "set"


def _trained(root: Path) -> str:
    """What training says: "" if it reads everything, with or without warnings."""
    try:
        for split in ("train", "val"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                source = FolderPairs(root, split=split)
            for index in range(len(source)):
                source.load(index, SIZE)
    except InputError as error:
        return str(error)
    return ""


def _checked(root: Path) -> list[str]:
    try:
        return [str(problem) for problem in check_folder(root).bad]
    except InputError as error:
        return [str(error)]


def _link(path: Path, target: str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def _instead(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def _rename(root: Path, old: str, new: str) -> None:
    (root / old).rename(root / new)


BAD: dict[str, tuple[Spoil, str]] = {
    f"{kind} {name}": (lambda r, k=kind, m=make: m(r / k / "p3.png"), f"{kind}/p3.png: {text}")
    for kind in ("images", "labels")
    for name, make, text in (
        ("dangling link", lambda p: _link(p, "nowhere"), "cannot be read (a link to nowhere, "),
        ("link to itself", lambda p: _link(p, p.name), "cannot be read (Too many levels of"),
        ("pipe", lambda p: _instead(p, os.mkfifo), "is a pipe, expected a file"),
        ("folder", lambda p: _instead(p, Path.mkdir), "is a folder, expected a file"),
        ("device", lambda p: _link(p, "/dev/zero"), "is a device, expected a file"),
        ("empty", lambda p: p.write_bytes(b""), "cannot be read (the file is empty)"),
        ("text", lambda p: p.write_text("hello"), "cannot be read (not an image)"),
        ("cut short", lambda p: p.write_bytes(p.read_bytes()[:50]), "cannot be read ("),
    )
} | {
    "two partners": (
        lambda r: Image.new("RGB", (4, 6)).save(r / "images" / "p3.jpg"),
        "images/p3.png: has the same stem as p3.jpg, expected one file for each",
    ),
    "a map that is its photograph": (
        lambda r: _instead(r / "images/p3.png", lambda p: os.link(r / "labels/p3.png", p)),
        "labels/p3.png: is the same file as ",
    ),
    "a link to the photograph": (
        lambda r: _link(r / "labels" / "p3.png", "../images/p3.png"),
        "labels/p3.png: is the same file as ",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "expected"), BAD.values(), ids=BAD)
def test_bad_files_are_the_same_for_both(root: Path, spoil: Spoil, expected: str) -> None:
    spoil(root)
    found = _checked(root)
    assert len(found) == 1
    assert found[0].startswith(f"{root}/{expected}")
    assert _trained(root) == found[0]


def _photograph(name: str) -> Spoil:
    return lambda root: _rename(root, "images/p0.png", f"images/{name}")


ALONE: dict[str, tuple[Spoil, str]] = {
    "tif": (_photograph("p0.tif"), "but p0.tif is there; readable: .png, .jpg, .jpeg, .webp"),
    "HEIC": (_photograph("p0.HEIC"), "but p0.HEIC is there; readable:"),
    "jfif": (_photograph("p0.jfif"), "but p0.jfif is there; readable:"),
    "jpeg map": (lambda r: _rename(r, "labels/p0.png", "labels/p0.jpg"), "but p0.jpg is there"),
    "case": (_photograph("P0.png"), "but p0.png is there; expected equal names, also in case"),
    "spaces": (_photograph("p0 .png"), "but p0.png is there; expected equal names"),
    "space behind": (_photograph("p0.png "), "but p0.png  is there; readable:"),
    "hidden": (_photograph("._p0.png"), "images/p0.*"),
    "none": (lambda r: (r / "images" / "p0.png").unlink(), "has no partner"),
}


@pytest.mark.parametrize(("spoil", "expected"), ALONE.values(), ids=ALONE)
def test_files_alone_say_what_is_there_instead(root: Path, spoil: Spoil, expected: str) -> None:
    spoil(root)
    found = _checked(root)
    assert expected in found[0]
    assert _trained(root) == ""
    with pytest.warns(UserWarning, match="without a partner of equal stem") as warned:
        find_pairs(root)
    assert found[0] in str(warned[0].message)


def test_unicode_forms(root: Path) -> None:
    composed = "\N{LATIN SMALL LETTER E WITH ACUTE}"
    write_pair(root, composed)
    _rename(root, f"images/{composed}.png", f"images/{unicodedata.normalize('NFD', composed)}.png")
    if len(_checked(root)) == 0:
        pytest.skip("this disk knows one form only")
    assert all("also in case, spaces and Unicode form" in text for text in _checked(root))


WHOLE: dict[str, tuple[Spoil, str]] = {
    "no folder": (lambda r: _rename(r, "images", "photos"), "images: no such folder"),
    "a file": (
        lambda r: (_rename(r, "images", "i"), (r / "images").touch()),
        "images: is a file, expected a folder",
    ),
    "a loop": (
        lambda r: (_rename(r, "images", "i"), (r / "images").symlink_to("images")),
        "images: cannot be read (Too many levels of symbolic links)",
    ),
    "empty": (lambda r: [p.unlink() for p in (r / "images").iterdir()], "images: holds no .png/"),
    "tif alone": (
        lambda r: [p.rename(p.with_suffix(".tif")) for p in list((r / "images").iterdir())],
        "images: holds no .png/.jpg/.jpeg/.webp files, but .tif files",
    ),
    "one too deep": (
        lambda r: (
            _rename(r, "images", "sub"),
            (r / "images").mkdir(),
            _rename(r, "sub", "images/sub"),
        ),
        "images: holds no .png/.jpg/.jpeg/.webp files, but 1 folder (sub)",
    ),
    "one folder": (
        lambda r: (_rename(r, "labels", "l"), (r / "labels").symlink_to("images")),
        "labels: is the folder of photographs, expected one of label maps",
    ),
}


@pytest.mark.parametrize(("spoil", "expected"), WHOLE.values(), ids=WHOLE)
def test_folders_that_are_none(root: Path, spoil: Spoil, expected: str) -> None:
    spoil(root)
    found = _checked(root)
    assert found[0].startswith(f"{root}/{expected}")
    assert _trained(root) == found[0]


@pytest.mark.parametrize(
    ("missing", "now", "labels", "said"),
    [
        ("images", "photos", "labels", "holds labels/, photos/, 1 .txt file"),
        ("labels", "images/x", "labels", "holds images/, 1 .txt file; a parser makes label maps: "
         "python -m scam.data label {root} --parser MODULE:FUNCTION"),
        ("images", "x", "labels", "holds labels/, x/, 1 .jpg file, 1 .txt file; put the "
         "photographs into {root}/images"),
        (None, None, "lables", "holds images/, labels/, 1 .txt file; did you mean labels?"),
    ],
)  # fmt: skip
def test_what_is_there_in_place_of_a_folder(
    missing: str | None, now: str, labels: str, said: str, root: Path
) -> None:
    (root / "labels.txt").touch()
    if now == "x":
        (root / "a.jpg").touch()
    if missing:
        _rename(root, missing, now)
    with pytest.raises(InputError, match=r"no such folder, expected one with \.png") as refused:
        FolderPairs(root, labels=labels)
    assert str(refused.value).endswith(f"; {root} {said.format(root=root)}")


def test_a_folder_that_is_one_too_deep_or_mistyped(root: Path) -> None:
    with pytest.raises(InputError, match=rf"holds 8 \.png files; did you mean {root}\?$"):
        FolderPairs(root / "images")
    for call in (FolderPairs, check_folder, partial(open_source, split=None)):
        with pytest.raises(InputError, match=rf"; did you mean {root}\?$"):
            call(root.with_name(f"{root.name}s"))


NAMES = [
    b"mu\xf1oz", b"\xff\xfe", b"photo.v2 (1)", b"a'b\"c", b"%s {0} %", b"two\nlines",
    b"a\ttab", b"\x1b[31mred", "\u202eright".encode(), "\U0001f600".encode(), b"-rf", b"a,b=c:0.5",
]  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow fewer names")
def test_any_name(root: Path) -> None:
    for name in NAMES:
        write_pair(root, os.fsdecode(name))
    assert _checked(root) == []
    assert _trained(root) == ""
    assert len(FolderPairs(root, split="val", holdout=8)) == 8
    for name in NAMES:
        (root / "images" / f"{os.fsdecode(name)}.png").write_bytes(b"no")
    report = check_folder(root)
    text = report_text(report, every_bad=True)
    for name in NAMES:
        shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in os.fsdecode(name))
        assert f"  images/{shown}.png: cannot be read (not an image)" in text.splitlines()
    assert text.encode()


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".Png"])
def test_one_lookup_of_label_maps(tmp_path: Path, suffix: str) -> None:
    write_pair(tmp_path, "a", suffix=".PNG", maps=suffix)
    image = tmp_path / "images" / "a.PNG"
    assert find_label_map(image, tmp_path / "labels") == find_pairs(tmp_path)[0].labels
    write_pair(tmp_path, "b")
    with pytest.raises(InputError, match=r"c\.png: has no label map .*labels/c\.png"):
        find_label_map(tmp_path / "images" / "c.png", tmp_path / "labels")


def _denied(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("what", ["images", "labels", "p3.png"])
def test_what_may_not_be_read(root: Path, monkeypatch, what: str) -> None:
    if what == "p3.png":
        opened = Path.open
        monkeypatch.setattr(
            Path, "open", lambda p, *a, **k: (_denied if p.name == what else opened)(p, *a, **k)
        )
        paths = [f"{root}/images/{what}", f"{root}/labels/{what}"]
    else:
        listed = os.scandir
        monkeypatch.setattr(
            os, "scandir", lambda p=".": (_denied if Path(p).name == what else listed)(p)
        )
        paths = [f"{root}/{what}"]
    expected = [f"{path}: cannot be read (Permission denied)" for path in paths]
    assert _checked(root) == expected
    assert _trained(root) in expected


def test_a_folder_that_may_not_be_entered(root: Path, monkeypatch) -> None:
    known = os.stat
    monkeypatch.setattr(
        os, "stat", lambda p, **k: (_denied if root in Path(str(p)).parents else known)(p, **k)
    )
    expected = f"{root}/images: cannot be read (Permission denied)"
    assert (_checked(root), _trained(root)) == ([expected], expected)
