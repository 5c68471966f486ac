# SPDX-License-Identifier: Apache-2.0
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scam import evaluate, train, transfer
from scam.data import Mannequins, colorize, save_label_png
from scam.data.__main__ import EXAMPLES as DATA_EXAMPLES
from scam.data.__main__ import main
from scam.data.commands import check, label, prepare
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
    coloured(Path("photos"), Path("colours"), colorize)
    coloured(Path("photos"), Path("parsed"), in_voc_colours)
    coloured(Path("photos"), Path("grey"), lambda values: np.stack([values] * 3, -1))
    coloured(Path("photos"), Path("masks"), lambda values: (values > 0).astype(np.uint8) * 255)
    coloured(Path("photos"), Path("sparse"), lambda values: values * 13 % 240)
    ran = 0
    Path("person_parser.py").write_text("def label_map(photo):\n    return photo[..., 0] // 32\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    shutil.copytree("photos/images", "album")
    shutil.copy("album/p0.png", "anna.jpg")
    for examples in (label.EXAMPLES, prepare.EXAMPLES, check.EXAMPLES, DATA_EXAMPLES):
        for words in commands(examples):
            words = words[: words.index(">")] if ">" in words else words
            if "--help" not in words and words[0] == "prepare" and Path(words[3]).exists():
                continue  # two helps may show the same one
            if "--help" in words:
                with pytest.raises(SystemExit, match="0"):
                    main(words)
            else:
                main(words if words[0] == "label" else [*words, "--workers", "1"])
            ran += 1
    assert ran >= 18
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
    assert said[0] == "my faces: 3 images; training holds its val images out of them"
    assert said[1] == "next: python -m scam.data check 'my faces'"
    main(shlex.split(said[1])[4:])
    words = shlex.split(said[2])
    assert words[:3] == ["python", "-m", "scam.train"]
    assert "--preset celebamask-hq" in said[2]
    data = words[words.index("--data") + 1]
    train.main(fast("--data", data, "--out", "run", "--steps", "1"))
    assert json.loads(Path("run/config.json").read_text())["label_names"][13] == "hair"


def test_the_advised_training_has_the_prepared_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faces(tmp_path / "CelebAMask-HQ", 2)
    src, dst = str(tmp_path / "CelebAMask-HQ"), str(tmp_path / "faces")
    main(["prepare", "celebamask-hq", src, dst, "--size", "64", "32", "--workers", "1"])
    assert capsys.readouterr().out.endswith(" --preset celebamask-hq --size 64 32\n")


def test_check_fails_for_bad_files_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos(tmp_path / "photos", 3)
    main(["check", str(tmp_path / "photos")])
    assert "2 train and 1 val images" in capsys.readouterr().out
    (tmp_path / "photos" / "labels" / "p1.png").write_bytes(b"no")
    with pytest.raises(SystemExit) as left:
        main(["check", str(tmp_path / "photos")])
    assert left.value.code == 1
    assert "labels/p1.png: cannot be read (not an image)" in capsys.readouterr().out
    with pytest.raises(SystemExit) as left:
        main(["check", str(tmp_path / "photos"), "--json"])
    assert left.value.code == 1
    found = json.loads(capsys.readouterr().out)
    assert found["bad"] == [{"file": "labels/p1.png", "problem": "cannot be read (not an image)"}]


def test_bad_files_are_listed_and_stop_prepare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos(tmp_path / "photos", 4)
    for stem in ("p1", "p2"):
        Image.new("L", SIZE[::-1], 33).save(tmp_path / "photos" / "labels" / f"{stem}.png")
    words = ["prepare", "idesigner", str(tmp_path / "photos"), str(tmp_path / "out")]
    with pytest.raises(InputError, match=r"photos: 2 bad files, .*p1\.png: holds 33 .*"):
        main(words)
    listed = capsys.readouterr().err.splitlines()
    assert listed[0] == "bad files:"
    assert [re.findall(r"^  .*/(p\d)\.png: holds", line) for line in listed[1:]] == [
        ["p1"],
        ["p2"],
    ]
    assert sorted(os.listdir(tmp_path)) == ["photos"]
    main([*words, "--skip-bad"])
    said = capsys.readouterr()
    assert re.findall(r"left out: .*/(p\d)\.png: holds", said.err) == ["p1", "p2"]
    assert "out: 2 images" in said.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check", "nowhere"], "nowhere: no such folder"),
        (["check", ".", "--workers", "0"], "--workers 0: expected 1 or more"),
        (["prepare", "ade20k", "nowhere", "out"], "nowhere: no such folder, expected the folder"),
        (
            ["prepare", "ade20k", "there/a.zip", "out"],
            r"a\.zip: is a file, expected the",
        ),
        (["prepare", "ade20k", ".", "there"], "there: already exists; choose a new folder"),
        (
            ["prepare", "ade20k", ".", "out", "--size", "0", "64"],
            "^--size 0 64: expected sides of 1 or more$",
        ),
        (
            ["check", ".", "--ignore-label", "-1"],
            "^--ignore-label -1: expected 0 to 65535$",
        ),
        (
            ["prepare", "idesigner", ".", "../out", "--ignore-label", "65536"],
            "^--ignore-label 65536: expected 0 to 65535$",
        ),
        (
            ["prepare", "palette", ".", "../out", "--tolerance", "300"],
            "^--tolerance 300: expected 0 to 255$",
        ),
        (
            ["prepare", "palette", ".", "../out", "--palette", "voc"],
            "^--palette voc: expected a --label-set with it$",
        ),
        (
            ["prepare", "ade20k", ".", "there/out"],
            r"^there/out: is in \., which is never changed; expected a folder elsewhere$",
        ),
        (
            ["prepare", "ade20k", "there/src", "there/a.zip/out"],
            "a.zip/out: cannot be written: there/a.zip is a file, expected a folder",
        ),
    ],
)
def test_bad_arguments(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there/src").mkdir(parents=True)
    Path("there/a.zip").touch()
    with pytest.raises(InputError, match=message):
        main(words)
    assert os.listdir() == ["there"]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["chek"],
        ["check"],
        ["prepare"],
        ["prepare", "coco", "a", "b"],
        ["prepare", "ade20k", ".", "out", "--labels", "l"],
        ["prepare", "palette", ".", "out", "--ignore-label", "3"],
        ["prepare", "celebamask-hq", ".", "out", "--tolerance", "3"],
    ],
)
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


def in_the_middle(tmp_path: Path) -> "subprocess.Popen[str]":
    """``prepare idesigner photos out`` with two workers, which has begun and has much to do."""
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
    while process.poll() is None and not list(tmp_path.glob(".out.*.partial/labels/*")):
        time.sleep(0.01)
    return process


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_leaves_nothing(tmp_path: Path, number: int, status: int) -> None:
    process = in_the_middle(tmp_path)
    process.send_signal(number)
    _, said = process.communicate(timeout=600)
    assert process.returncode == status
    assert said.count("\n") == 1
    assert os.listdir(tmp_path) == ["photos"]


@pytest.mark.skipif(os.name != "posix", reason="signals and locks of POSIX")
def test_one_run_at_a_time_and_its_workers_die_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    photos(Path("few"), 3)
    again = ["prepare", "idesigner", "few", "out", "--workers", "1"]
    process = in_the_middle(tmp_path)
    message = rf"^out: process {process.pid} on \S+ is preparing it; wait for its end$"
    with pytest.raises(InputError, match=message):
        main(again)
    assert process.poll() is None
    process.kill()
    # Ends when the last worker closes what it inherited.
    process.communicate(timeout=600)
    main(again)
    assert "out: 3 images" in capsys.readouterr().out
    assert sorted(os.listdir()) == ["few", "out", "photos"]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_an_interrupt_while_torch_loads_is_silent(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    ended = subprocess.run(
        [sys.executable, "-m", "scam.data", "check", "photos"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


def test_advice_is_given_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos(tmp_path / "photos", 4)
    for stem in ("p1", "p2"):
        Image.new("RGB", SIZE[::-1], "red").save(tmp_path / "photos" / "labels" / f"{stem}.png")
    words = ["prepare", "idesigner", str(tmp_path / "photos"), str(tmp_path / "out")]
    with pytest.raises(InputError, match=r"p1\.png: is an RGB colour image; conv") as caught:
        main(words)
    assert str(caught.value).count("prepare palette") == 1
    main([*words, "--skip-bad"])
    with pytest.raises(SystemExit, match="1"):
        main(["check", str(tmp_path / "photos")])
    said = capsys.readouterr()
    assert said.err.count("is an RGB colour image\n") == 4
    assert said.err.count("prepare palette") == 1
    assert said.out.count("is an RGB colour image\n") == 2
    assert said.out.count("convert such label images to index maps first: python -m") == 1
    monkeypatch.setattr("scam.commandline.start._script", True)
    with pytest.raises(SystemExit, match="1"):
        main(["check", str(tmp_path / "photos")])
    assert "to index maps first: scam data prepare palette" in capsys.readouterr().out


def test_each_kind_shows_its_flags_only(capsys: pytest.CaptureFixture[str]) -> None:
    shown = {}
    for kind in prepare.KINDS:
        with pytest.raises(SystemExit, match="0"):
            main(["prepare", kind, "--help"])
        said = capsys.readouterr().out
        shown[kind] = set(re.findall(r"^  (--[a-z-]+)", said, re.MULTILINE))
        assert {words[1] for words in commands(said.partition("examples:\n")[2])} == {kind}
    common = {"--size", "--copy", "--skip-bad", "--workers"}
    assert shown == {
        "celebamask-hq": common,
        "ade20k": common,
        "idesigner": common | {"--labels", "--ignore-label"},
        "indices": common
        | {"--labels", "--divide", "--dense", "--threshold", "--ignore-label", "--label-set"},
        "palette": common | {"--labels", "--palette", "--label-set", "--tolerance"},
    }


def test_docs_name_flags_and_palettes_that_exist(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text()
    known = ""
    for words in (
        ["label"],
        ["check"],
        ["prepare"],
        *(["prepare", kind] for kind in prepare.KINDS),
    ):
        with pytest.raises(SystemExit):
            main([*words, "--help"])
        known += capsys.readouterr().out
    for command in (evaluate, train, transfer):
        with pytest.raises(SystemExit):
            command.main(["--help"])
        known += capsys.readouterr().out
    for flag in set(re.findall(r"--[a-z][a-z-]+", text)):
        assert re.search(rf"{flag}\b", known), flag
    shown = next(block for block in text.split("```") if "- #" in block)
    (tmp_path / "palette.txt").write_text(shown)
    assert read_palette(tmp_path / "palette.txt").ids == (0, 1, 1, -1)
