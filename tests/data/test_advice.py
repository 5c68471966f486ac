# SPDX-License-Identifier: Apache-2.0
"""Commands that messages advise: they work as printed, and check and training print the same."""

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scam.data.advice import path_word
from scam.data.check import check_folder
from scam.data.commands.prepare import main
from scam.data.folder import FolderPairs
from scam.data.picture import read_label_png
from scam.errors import InputError

LABELS = np.repeat(np.arange(3, dtype=np.uint8), 12).reshape(6, 6)
COLOURS = np.array([[0, 0, 0], [0, 200, 0], [200, 0, 0]], np.uint8)


def folder(root: Path, save: Callable[[Path], None]) -> Path:
    for kind in ("images", "labels"):
        (root / kind).mkdir(parents=True)
    for stem in ("p0", "p1", "p2"):
        noise = np.random.default_rng(ord(stem[1])).integers(256, size=(6, 6, 3), dtype=np.uint8)
        Image.fromarray(noise).save(root / "images" / f"{stem}.png")
        save(root / "labels" / stem)
    return root


def refusals(root: Path) -> tuple[str, str]:
    """What check and what training say of a folder that neither can use."""
    try:
        report = check_folder(root)
        checked = str(report.bad[0])
    except InputError as error:
        checked = str(error)
    with pytest.raises(InputError) as refused:
        FolderPairs(root, split="train")
    return checked, str(refused.value)


@pytest.mark.parametrize(
    "name", ["a b", "it's", "-x", "~x", "$HOME", "a\nb", "a\\\x1bb", "b\udcff"]
)
def test_a_shell_reads_the_path_that_is_meant(name: str) -> None:
    word = path_word(name)
    assert word.isprintable()
    read = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert os.path.normpath(os.fsdecode(read.stdout)) == name


@pytest.mark.parametrize(
    ("picture", "suffix"),
    [
        *((LABELS, suffix) for suffix in (".gif", ".bmp", ".tif", ".TIFF")),
        *((COLOURS[LABELS], suffix) for suffix in (".bmp", ".tif", ".webp")),
    ],
)
def test_label_pictures_of_other_kinds_become_index_maps(
    tmp_path: Path, picture: np.ndarray, suffix: str
) -> None:
    options = {"lossless": True} if suffix == ".webp" else {}
    root = folder(
        tmp_path / "set of maps",
        lambda path: Image.fromarray(picture).save(path.with_suffix(suffix), **options),
    )
    checked, trained = refusals(root)
    assert checked == trained
    assert f"holds no .png files, but {suffix} files; p0{suffix}: is a " in trained
    (command,) = re.findall(r"python -m scam\.data prepare (.*) \(a png", trained)
    command = command.replace("--tolerance 60", "")
    main([*shlex.split(command), "--workers", "1"])
    made = tmp_path / "set of maps_indexed"
    assert not check_folder(made).bad
    np.testing.assert_array_equal(read_label_png(made / "labels/p1.png"), LABELS)


def test_a_png_that_holds_tiff_becomes_an_index_map(tmp_path: Path) -> None:
    root = folder(
        tmp_path / "set",
        lambda path: Image.fromarray(LABELS).save(path.with_suffix(".png"), format="TIFF"),
    )
    checked, trained = refusals(root)
    assert checked == trained
    assert "is a TIFF file of greys" in trained
    assert f"prepare indices {root} {root}_indexed (" in trained


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_masks_in_the_alpha_channel_lead_to_no_command_that_refuses_them(
    tmp_path: Path, mode: str
) -> None:
    alpha = Image.fromarray((LABELS > 0).astype(np.uint8) * 255)
    picture = Image.new(mode, (6, 6), 0)
    picture.putalpha(alpha)
    root = folder(tmp_path / "set", lambda path: picture.save(path.with_suffix(".png")))
    checked, trained = refusals(root)
    assert checked == trained
    assert trained.endswith(
        f"an {mode} image, partly transparent; expected the labels in one channel of an opaque "
        "image"
    )


@pytest.mark.parametrize(("name", "split"), [("Train", "train"), ("validation", "val")])
def test_split_folders_by_other_names_are_not_passed_over(
    tmp_path: Path, name: str, split: str
) -> None:
    def save(path: Path) -> None:
        Image.fromarray(LABELS).save(path.with_suffix(".png"))

    if split != "train":
        folder(tmp_path / "train", save)
    folder(tmp_path / name, save)
    if (tmp_path / split).is_dir():
        pytest.skip("a disk that is blind to case")
    checked, trained = refusals(tmp_path)
    expected = f"{tmp_path / name}: is not read, expected it to be called {split}"
    assert (checked, trained) == (expected, expected)
