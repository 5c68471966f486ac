# SPDX-License-Identifier: Apache-2.0
"""A model trained with a label set, and folders whose ``labels.txt`` contradicts that."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scam import attention, evaluate, transfer
from scam.errors import InputError
from scam.styles import main as styles

NUMBERS = r"labels\.txt: face is 1, expected 2 as for this model"


def exchange_names(folder: Path) -> None:
    """Give hair the number of face, and face that of hair."""
    file = folder / "labels.txt"
    text = file.read_text().replace("1 hair", "1 FACE").replace("2 face", "2 hair")
    file.write_text(text.replace("FACE", "face"))


@pytest.fixture
def run(trained: tuple[Path, Path], tmp_path: Path) -> Path:
    """A run told ``--label-set mannequins``, as the data that it has need by now."""
    data = shutil.copytree(trained[0], tmp_path / "own")
    exchange_names(data)
    out = shutil.copytree(trained[1], tmp_path / "run")
    config = json.loads((out / "config.json").read_text())
    config["data"].update(data=str(data), label_set="mannequins")
    (out / "config.json").write_text(json.dumps(config))
    return out


@pytest.fixture
def other(run: Path, make_pairs: Any, tmp_path: Path) -> Path:
    data: Path = make_pairs(tmp_path / "other", 4, (64, 56))
    exchange_names(data)
    return data


PICTURE = ("--picture", "p1")
TWO = ("--subject", "p1", "--background", "p2")


@pytest.mark.parametrize(
    ("main", "words"),
    [
        (evaluate.main, ["--metrics", "psnr", "--workers", "0", "--data", "{other}"]),
        (attention.main, ["--data", "{other}", *PICTURE]),
        (transfer.main, ["--data", "{other}", *TWO]),
        (transfer.main, ["--background", "{other}", "--subject", "p1"]),
        (transfer.main, ["--pose-labels", "{other}/labels/p1.png", *TWO]),
        (transfer.main, ["--background", "{own}/images/p1.png,{other}/labels/p1.png", *TWO[:2]]),
        (transfer.main, ["--background", "{other}/images/p1.png", *TWO[:2]]),
    ],
)
def test_are_refused(
    main: Callable[..., None],
    words: list[str],
    run: Path,
    other: Path,
    tmp_path: Path,
    recwarn: Any,
) -> None:
    words = [word.format(own=tmp_path / "own", other=other) for word in words]
    with pytest.raises(InputError, match=NUMBERS):
        main([str(run), *words, "--out", str(tmp_path / "out.png")])
    assert not (tmp_path / "out.png").exists()
    assert not any(str(other) in str(warning.message) for warning in recwarn)


@pytest.mark.parametrize(
    ("main", "words"),
    [
        (evaluate.main, ["--metrics", "psnr", "--workers", "0", "--data", "{other}"]),
        (transfer.main, ["--data", "{other}", *TWO]),
        (transfer.main, ["--background", "{other}/images/p1.png", *TWO[:2]]),
    ],
)
def test_no_name_in_common_is_refused(
    main: Callable[..., None], words: list[str], run: Path, other: Path, tmp_path: Path
) -> None:
    names = [f"{number} tree_{number}" for number in range(11)]
    (other / "labels.txt").write_text("\n".join(names))
    words = [word.format(other=other) for word in words]
    expected = (
        r"labels\.txt: names tree_0, tree_1, tree_2 and 8 more, and none of this model's labels"
    )
    with pytest.raises(InputError, match=expected):
        main([str(run), *words, "--out", str(tmp_path / "out.png")])


def test_some_names_in_common_are_warned_of(run: Path, other: Path, tmp_path: Path) -> None:
    names = ["background", *(f"tree_{number}" for number in range(1, 11))]
    (other / "labels.txt").write_text("".join(f"{i} {name}\n" for i, name in enumerate(names)))
    words = ["--metrics", "psnr", "--workers", "0", "--data", str(other), "--holdout", "2"]
    with pytest.warns(UserWarning, match="is not used, it names 1 tree_1: hair .* 10 of 11 names"):
        evaluate.main([str(run), *words, "--out", str(tmp_path / "out")])


def test_a_split_has_the_names_of_its_data(run: Path, other: Path, tmp_path: Path) -> None:
    (other / "test").mkdir()
    for kind in ("images", "labels"):
        (other / kind).rename(other / "test" / kind)
    with pytest.raises(InputError, match=NUMBERS):
        styles(["mean", str(run), "--data", str(other / "test")])


@pytest.mark.parametrize(
    "words",
    [
        ["--background", "."],
        ["--background", "images/p1.png"],
        ["--background", "images/p1.png", "--pose-labels", "labels/p1.png"],
    ],
)
def test_a_split_one_stands_in(
    words: list[str], run: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (other / "val").mkdir()
    for kind in ("images", "labels"):
        (other / kind).rename(other / "val" / kind)
    monkeypatch.chdir(other / "val")
    with pytest.raises(InputError, match=NUMBERS):
        transfer.main([str(run), *words, "--subject", "p1", "--out", str(tmp_path / "out.png")])


def test_only_the_label_set_of_the_command_counts_more(
    run: Path, other: Path, tmp_path: Path
) -> None:
    words = ["--metrics", "psnr", "--workers", "0", "--data", str(other), "--holdout", "2"]
    out = str(tmp_path / "out")
    with pytest.raises(InputError, match=f"{NUMBERS}; give --label-set NAME if the file is wrong"):
        evaluate.main([str(run), *words, "--out", out])
    with pytest.warns(UserWarning, match=r"labels\.txt is not used, it names 1 face: hair in man"):
        evaluate.main([str(run), *words, "--out", out, "--label-set", "mannequins"])


def test_the_images_trained_on_keep_their_label_set(run: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    for number, words in enumerate(
        [
            TWO,
            (*TWO, "--data", own),
            ("--subject", own, "--background", own),
            (*TWO, "--pose-labels", own / "labels" / "p1.png"),
        ]
    ):
        out = tmp_path / f"out{number}{'' if number == 2 else '.png'}"
        transfer.main([str(run), *map(str, words), "--out", str(out)])
        assert out.exists()
