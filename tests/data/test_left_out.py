# SPDX-License-Identifier: Apache-2.0
"""Photographs that are not read are said to be left out."""

from pathlib import Path

from scam.data.left_out import left_out


def images(folder: Path, *names: str) -> Path:
    for name in ("a.png", "b.JPG", *names):
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder / "images"


def test_what_goes_without_saying(tmp_path: Path) -> None:
    folder = images(tmp_path, "labels.txt", "notes.json", ".hidden.tiff", ".git/a", "a", "c.webp")
    assert left_out([folder, tmp_path / "nowhere"]) == ""


def test_photographs_that_are_not_read(tmp_path: Path) -> None:
    folder = images(tmp_path, "1.tiff", "2.tiff", "3.TIFF", "4.heic")
    kinds = "(images are .png, .jpg, .jpeg, .webp)"
    assert left_out([folder]) == f"left out: 3 .tiff files, 1 .heic file {kinds}"
    (folder / "sub.tiff").mkdir()
    (folder / "loop.d").symlink_to("loop.d")
    said = f"left out: 3 .tiff files, 1 .heic file {kinds}, 1 folder (images/sub.tiff)"
    assert left_out([folder]) == said


def test_folders_among_photographs(tmp_path: Path) -> None:
    folder = images(tmp_path, "sub/a.png", "maps/a.png")
    assert left_out([folder]) == "left out: 2 folders (images/maps, images/sub)"
    assert left_out([folder], {folder / "maps"}) == "left out: 1 folder (images/sub)"
