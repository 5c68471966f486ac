# SPDX-License-Identifier: Apache-2.0
"""No command replaces a file that it has read, or one that was there, unless it is told to."""

import json
import shutil
from pathlib import Path

import pytest

from scam import attention, evaluate, export, profile, styles, transfer
from scam.data.train_val_test import hold_out
from scam.errors import InputError

Trained = tuple[Path, Path]
INSIDE = "is in .*photos/"
READ = "is one of the files to read"
THERE = "already exists; choose another name or give --overwrite"


def contents(*folders: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for folder in folders for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> Trained:
    data = shutil.copytree(trained[0], tmp_path / "photos")
    run = shutil.copytree(trained[1], tmp_path / "run")
    config = (run / "config.json").read_text()
    (run / "config.json").write_text(config.replace(str(trained[0]), str(data)))
    return data, run


FILES = "--subject photos/images/p0.png --background photos/images/p1.png"
REFUSED = {
    "a picture": (transfer, f"{FILES} --out photos/images/p0.png", READ),
    "its map": (transfer, f"{FILES} --out o.png --sheet photos/labels/p0.png", READ),
    "a longer way": (transfer, f"{FILES} --out photos/../photos/images/p1.png", READ),
    "another image of the folder": (transfer, f"{FILES} --out photos/images/p5.png", INSIDE),
    "a new one of the folder": (transfer, f"{FILES} --out photos/labels/new.png", INSIDE),
    "named ones": (transfer, "--subject p0 --background p1 --out photos/images/p0.png", READ),
    "a hard link of named ones": (
        transfer, "--subject p0 --background p1 --out hard.png", READ,
    ),
    "named ones' maps": (
        transfer, "--subject p0 --background p1 --out o.png --sheet photos/labels/p0.png", READ,
    ),
    "a donor's map": (
        transfer,
        "--background p1 --donor hair=photos/images/p2.png,photos/labels/p2.png "
        "--out photos/labels/p2.png", READ,
    ),
    "a pose": (transfer, f"{FILES} --pose-labels pose.png --out pose.png", READ),
    "a symbolic link": (transfer, f"{FILES} --out soft.png", READ),
    "a hard link": (transfer, f"{FILES} --out hard.png", READ),
    "a linked folder": (transfer, f"{FILES} --out linked/p7.png", INSIDE),
    "each other": (transfer, f"{FILES} --out o.png --sheet ./O.png", "is also --out"),
    "a folder's results": (
        transfer, "--subject p0 --background photos --out photos/images/new", INSIDE,
    ),
    "a drawn picture": (attention, "--picture p0 --out photos/images/p0.png", READ),
    "a drawn file": (
        attention, "--picture pose.png,photos/labels/p0.png --out pose.png", READ,
    ),
    "a style's picture": (
        styles, "add --picture photos/images/p0.png --library photos/images --name p0", INSIDE,
    ),
    "the model": (
        styles, "add --picture p0 --library run/checkpoints/step_0000002 --name model", READ,
    ),
    "the model's settings": (export, "--out run/checkpoints/step_0000002", READ),
    "the run's settings": (export, "--out run", READ),
    "pairs": (evaluate, "--pairs eval/pairs.json --out eval", READ),
    "a data set": (evaluate, "--out photos/images", INSIDE),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_read_stays(
    case: str, copied: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, line, message = REFUSED[case]
    monkeypatch.chdir(tmp_path)
    shutil.copy("photos/labels/p3.png", "pose.png")
    Path("soft.png").symlink_to("photos/images/p0.png")
    Path("hard.png").hardlink_to("photos/labels/p1.png")
    Path("linked").symlink_to("photos/images")
    Path("eval").mkdir()
    held = sorted(hold_out([f"p{i}" for i in range(6)], 3))
    pairs = dict(zip(held, [*held[1:], held[0]], strict=True))
    Path("eval/pairs.json").write_text(json.dumps({"donors": pairs}))
    before = contents(tmp_path)
    words = line.split()
    words.insert(1 if command is styles else 0, "run")
    with pytest.raises(InputError, match=message) as caught:
        command.main([*words, "--overwrite"])
    assert "\n" not in str(caught.value)
    assert contents(tmp_path) == before


EXISTING = {
    "a result": (transfer, f"{FILES} --out there.png", THERE),
    "a sheet": (transfer, f"{FILES} --out o.png --sheet there.png", THERE),
    "a dangling link": (transfer, f"{FILES} --out dangling.png", THERE),
    "a drawing": (attention, "--picture p0 --out there.png", THERE),
    "numbers": (attention, "--picture p0 --out o.png --npz there.npz", THERE),
    "a style": (styles, "add --picture p0 --library there --name old", THERE),
    "an unrelated picture": (styles, "add --picture p0 --library there --name anna", THERE),
    "the mean's picture": (styles, "mean --data photos --library there --name anna", THERE),
    "programs": (export, "--out there", "expected a new or empty folder, or --overwrite"),
    "a sheet of an evaluation": (evaluate, "--out there", r"holds a sheet\.png already"),
    "a trace": (profile, "--out there", THERE),
}


@pytest.mark.parametrize("case", EXISTING)
def test_what_is_there_stays(
    case: str, copied: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, line, message = EXISTING[case]
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    Path("dangling.png").symlink_to("nowhere")
    for name in ("there.png", "there.npz", "there/old.safetensors", "there/anna.png",
                 "there/sheet.png", "there/trace_dense.json"):  # fmt: skip
        Path(name).write_text("precious")
    before = contents(tmp_path)
    words = line.split()
    if command is not profile:
        words.insert(1 if command is styles else 0, "run")
    with pytest.raises(InputError, match=message):
        command.main(words)
    assert contents(tmp_path) == before
    assert not Path("nowhere").exists()


def test_a_told_command_replaces_and_spares(
    copied: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    for name in ("o.png", "there/sheet.png", "there/other"):
        Path(name).write_text("old")
    transfer.main(["run", *FILES.split(), "--out", "o.png", "--overwrite"])
    evaluate.main(["run", "--out", "there", "--metrics", "psnr", "--workers", "0", "--overwrite"])
    assert Path("o.png").read_bytes()[:4] == b"\x89PNG"
    assert Path("there/sheet.png").read_bytes()[:4] == b"\x89PNG"
    assert Path("there/other").read_text() == "old"
    with pytest.raises(InputError, match="--overwrite: expected single images"):
        transfer.main(["run", "--overwrite", *FILES.split()[:-1], "photos", "--out", "d"])
