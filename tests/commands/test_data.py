# SPDX-License-Identifier: Apache-2.0
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scam import train
from scam.data import Mannequins, colorize, save_label_png
from scam.data.__main__ import EXAMPLES as DATA_EXAMPLES
from scam.data.__main__ import main
from scam.data.commands import check, prepare
from scam.data.prepare.palette import read_palette, voc_palette
from scam.errors import InputError

SIZE = (48, 32)


def photos(folder: Path, count: int, labels: str = "labels", top: int = 11) -> None:
    """Mannequins with their label maps; values below ``top``."""
    source = Mannequins("train", count)
    for name in ("images", labels):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        image, values = source.load(index, SIZE)
        Image.fromarray(image).save(folder / "images" / f"p{index}.png")
        save_label_png(folder / labels / f"p{index}.png", values % top)


def faces(folder: Path, count: int = 3) -> None:
    source = Mannequins("train", count)
    images, masks = folder / "CelebA-HQ-img", folder / "CelebAMask-HQ-mask-anno" / "0"
    for path in (images, masks):
        path.mkdir(parents=True)
    for index in range(count):
        image, values = source.load(index, (64, 64))
        Image.fromarray(image).save(images / f"{index}.jpg")
        for value, part in ((0, "skin"), (1, "hair"), (3, "cloth")):
            mask = (values[::2, ::2] >= value).astype(np.uint8) * 255
            Image.fromarray(mask).save(masks / f"{index:05d}_{part}.png")


def scenes(folder: Path) -> None:
    source = Mannequins("val", 5)
    for index in range(5):
        split = "training" if index < 3 else "validation"
        for name in ("images", "annotations"):
            (folder / name / split).mkdir(parents=True, exist_ok=True)
        image, values = source.load(index, SIZE)
        Image.fromarray(image).save(folder / "images" / split / f"ADE_{index}.jpg")
        save_label_png(folder / "annotations" / split / f"ADE_{index}.png", values + 140)


def coloured(src: Path, dst: Path, colour: Callable[[np.ndarray], np.ndarray]) -> None:
    """The pairs of ``src`` with label pictures in colours."""
    for name in ("images", "labels"):
        (dst / name).mkdir(parents=True)
    for path in (src / "images").iterdir():
        (dst / "images" / path.name).write_bytes(path.read_bytes())
    for path in (src / "labels").iterdir():
        Image.fromarray(colour(np.asarray(Image.open(path)))).save(dst / "labels" / path.name)


def in_voc_colours(values: np.ndarray) -> np.ndarray:
    table = np.array(voc_palette(Mannequins("val", 1).label_set).colours)[values]
    return np.stack([table >> shift & 255 for shift in (16, 8, 0)], -1).astype(np.uint8)


def commands(examples: str) -> list[list[str]]:
    return [
        shlex.split(line, comments=True)[3:]
        for line in examples.splitlines()
        if line.startswith("  python -m scam.data")
    ]


def test_every_example_of_the_help_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    photos(Path("photos"), 4)
    photos(Path("photos"), 4, "labels_lip20")
    photos(Path("people"), 4, "labels_lip20")
    faces(Path("CelebAMask-HQ"))
    scenes(Path("ADEChallengeData2016"))
    coloured(Path("photos"), Path("painted"), colorize)
    coloured(Path("photos"), Path("parsed"), in_voc_colours)
    ran = 0
    for examples in (prepare.EXAMPLES, check.EXAMPLES, DATA_EXAMPLES):
        for words in commands(examples):
            words = words[: words.index(">")] if ">" in words else words
            if words[:1] == ["prepare"] and Path(words[3]).exists():
                continue  # two helps may show the same one
            if "--help" in words:
                with pytest.raises(SystemExit, match="0"):
                    main(words)
            else:
                main([*words, "--workers", "1"])
            ran += 1
    assert ran >= 11
    assert "usage: python -m scam.data check" in capsys.readouterr().out
    for made in ("faces", "scenes", "people3", "indexed", "indexed2", "indexed3"):
        main(["check", made])
        assert "no bad file" in capsys.readouterr().out


def test_a_prepared_data_set_trains_as_it_says(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fast: Callable[..., list[str]],
) -> None:
    monkeypatch.chdir(tmp_path)
    faces(Path("CelebAMask-HQ"))
    main(["prepare", "celebamask-hq", "CelebAMask-HQ", "my faces", "--workers", "1"])
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "my faces: 3 pictures; training holds its val pictures out of them"
    assert said[1] == "next: python -m scam.data check 'my faces'"
    main(shlex.split(said[1])[4:])
    words = shlex.split(said[2])
    assert words[:3] == ["python", "-m", "scam.train"]
    assert "--preset celebamask-hq" in said[2]
    data = words[words.index("--data") + 1]
    train.main(fast("--data", data, "--out", "run", "--steps", "1"))
    assert json.loads(Path("run/config.json").read_text())["label_names"][13] == "hair"


def test_check_fails_for_bad_files_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos(tmp_path / "photos", 3)
    main(["check", str(tmp_path / "photos")])
    assert "2 train and 1 val pictures" in capsys.readouterr().out
    (tmp_path / "photos" / "labels" / "p1.png").write_bytes(b"no")
    with pytest.raises(SystemExit) as left:
        main(["check", str(tmp_path / "photos")])
    assert left.value.code == 1
    assert "labels/p1.png: cannot be read (not a picture)" in capsys.readouterr().out
    with pytest.raises(SystemExit) as left:
        main(["check", str(tmp_path / "photos"), "--json"])
    assert left.value.code == 1
    found = json.loads(capsys.readouterr().out)
    assert found["bad"] == [{"file": "labels/p1.png", "problem": "cannot be read (not a picture)"}]


def test_bad_files_are_listed_and_stop_prepare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos(tmp_path / "photos", 4)
    for stem in ("p1", "p2"):
        Image.new("L", SIZE[::-1], 33).save(tmp_path / "photos" / "labels" / f"{stem}.png")
    words = ["prepare", "idesigner", str(tmp_path / "photos"), str(tmp_path / "out")]
    with pytest.raises(InputError, match=r"photos: 2 bad files, .*p1\.png: holds the value 33"):
        main(words)
    assert "also bad: " in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ["photos"]
    main([*words, "--skip-bad"])
    said = capsys.readouterr()
    assert re.findall(r"left out: .*/(p\d)\.png: holds", said.err) == ["p1", "p2"]
    assert "out: 2 pictures" in said.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "nowhere"], "nowhere: no such folder"),
        (["check", ".", "--workers", "0"], "--workers is 0, expected 1 or more"),
        (["prepare", "ade20k", "nowhere", "out"], "nowhere: no such folder, expected the folder"),
        (
            ["prepare", "ade20k", "there/a.zip", "out"],
            r"a\.zip: is a file, expected the",
        ),
        (["prepare", "ade20k", ".", "there"], "there: is there already; expected a new folder"),
        (["prepare", "ade20k", ".", "out", "--size", "0", "8"], "--size is 0, expected 1"),
        (["prepare", "ade20k", ".", "out", "--labels", "l"], "--labels is for idesigner and pal"),
        (
            ["prepare", "palette", ".", "out", "--ignore-label", "3"],
            "--ignore-label is for idesigner, not for palette",
        ),
        (
            ["prepare", "celebamask-hq", ".", "out", "--tolerance", "3"],
            "--tolerance is for palette, not for celebamask-hq",
        ),
    ],
)
def test_bad_arguments(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    Path("there/a.zip").touch()
    with pytest.raises(InputError, match=message):
        main(words)
    assert os.listdir() == ["there"]


@pytest.mark.parametrize("words", [[], ["chek"], ["check"], ["prepare", "coco", "a", "b"]])
def test_usage_errors_are_one_line(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("python -m scam.data")
    assert said.count("\n") == 1


def test_as_a_command(tmp_path: Path) -> None:
    failed = subprocess.run(
        [sys.executable, "-m", "scam.data", "check", "nowhere"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert failed.returncode == 2
    assert failed.stderr == "python -m scam.data: error: nowhere: no such folder\n"


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_nothing(tmp_path: Path, number: int, status: int) -> None:
    photos(tmp_path / "photos", 40)
    for folder in ("images", "labels"):
        # The same files often: enough work to be in the middle of.
        for path in list((tmp_path / "photos" / folder).iterdir()):
            for i in range(60):
                os.link(path, path.with_name(f"{path.stem}_{i}.png"))
    command = [sys.executable, "-m", "scam.data", "prepare", "idesigner", "photos", "out"]
    process = subprocess.Popen(
        [*command, "--size", "256", "256", "--workers", "2"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # A background job's children inherit that SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while process.poll() is None and not list(tmp_path.glob(".out.partial/labels/*")):
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == status
    assert said.count("\n") == 1
    assert os.listdir(tmp_path) == ["photos"]


def test_docs_name_flags_and_palettes_that_exist(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text()
    known = ""
    for words in (["check"], ["prepare"]):
        with pytest.raises(SystemExit):
            main([*words, "--help"])
        known += capsys.readouterr().out
    with pytest.raises(SystemExit):
        train.main(["--help"])
    known += capsys.readouterr().out
    for flag in set(re.findall(r"--[a-z][a-z-]+", text)):
        assert re.search(rf"{flag}\b", known), flag
    shown = next(block for block in text.split("```") if "- #" in block)
    (tmp_path / "palette.txt").write_text(shown)
    assert read_palette(tmp_path / "palette.txt").ids == (0, 1, 1, -1)
