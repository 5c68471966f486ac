# SPDX-License-Identifier: Apache-2.0
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scam import transfer
from scam.data import read_label_png, save_label_png
from scam.errors import InputError


def pair(data: Path, name: str) -> list[str]:
    return [str(data / "images" / f"{name}.png"), str(data / "labels" / f"{name}.png")]


def run(trained: tuple[Path, Path], *arguments: object) -> None:
    transfer.main([str(trained[1]), *map(str, arguments)])


def test_two_named_pictures(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, sheet = tmp_path / "out.png", tmp_path / "sheet.png"
    run(trained, "--subject", "p1", "--background", "p2", "--out", out, "--sheet", sheet)
    assert Image.open(out).size == (32, 32)
    assert sheet.is_file()
    assert "p1 in p2, in the pose of the background" in capsys.readouterr().out


def test_files_and_names_are_the_same_pictures(trained: tuple[Path, Path], tmp_path: Path) -> None:
    named, files = tmp_path / "named.png", tmp_path / "files.png"
    run(trained, "--subject", "p1", "--background", "p2", "--out", named)
    data = trained[0]
    run(trained, "--subject", *pair(data, "p1"), "--background", *pair(data, "p2"), "--out", files)
    assert np.array_equal(np.asarray(Image.open(named)), np.asarray(Image.open(files)))


def test_the_pose_is_a_choice(trained: tuple[Path, Path], tmp_path: Path) -> None:
    data = trained[0]
    pictures = {}
    for pose in (
        ["--pose", "background"],
        ["--pose", "subject"],
        ["--pose-labels", data / "labels" / "p1.png"],
    ):
        run(
            trained,
            "--subject",
            "p1",
            "--background",
            "p2",
            *pose,
            "--absent",
            "mean",
            "--overwrite",
            "--out",
            tmp_path / "o.png",
        )
        pictures[str(pose[1])] = np.asarray(Image.open(tmp_path / "o.png"))
    first, second, third = pictures.values()
    assert not np.array_equal(first, second)
    assert np.array_equal(second, third)


def test_paste_back_keeps_untouched_pixels(trained: tuple[Path, Path], tmp_path: Path) -> None:
    data, out = trained[0], tmp_path / "out.png"
    run(
        trained,
        "--subject",
        "p1",
        "--background",
        "p2",
        "--paste-back",
        "--feather",
        2,
        "--out",
        out,
    )
    result = np.asarray(Image.open(out)).astype(int)
    photo = np.asarray(Image.open(data / "images" / "p2.png")).astype(int)
    labels = read_label_png(data / "labels" / "p2.png")
    assert result.shape == photo.shape
    near = np.zeros_like(labels, dtype=bool)
    for y, x in zip(*np.nonzero(labels), strict=True):
        near[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = True
    assert np.array_equal(result[~near], photo[~near])
    assert (result != photo).any(-1)[labels > 0].mean() > 0.9


@pytest.mark.parametrize("steps", [None, 3])
def test_the_sheet_shows_what_was_pasted(
    steps: int | None, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    out, sheet = tmp_path / "out.png", tmp_path / "sheet.png"
    more = [] if steps is None else ["--interpolate", steps]
    run(trained, "--subject", "p1", "--background", "p2", "--paste-back", *more, "--out", out,
        "--sheet", sheet)  # fmt: skip
    last = Image.open(out).crop((0 if steps is None else 80, 0, 40 if steps is None else 120, 48))
    width = Image.open(sheet).width
    tile = Image.open(sheet).crop((width - 324, 26, width - 4, 410))  # 8 times 40x48
    assert np.array_equal(np.asarray(tile)[::8, ::8], np.asarray(last))


def test_the_sheet_has_the_size_of_the_result(trained: tuple[Path, Path], tmp_path: Path) -> None:
    """Sources of another shape are not distorted: they stand on white."""
    wide, labels = tmp_path / "wide.png", tmp_path / "wide_labels.png"
    Image.new("RGB", (200, 48), (9, 99, 199)).save(wide)
    save_label_png(labels, np.ones((48, 200), np.int32))
    out, sheet = tmp_path / "out.png", tmp_path / "sheet.png"
    run(trained, "--subject", wide, labels, "--background", "p2", "--paste-back", "--out", out,
        "--sheet", sheet, "--scale", "1")  # fmt: skip
    cells = np.asarray(Image.open(sheet))
    assert cells.shape[1] == 4 + 4 * (40 + 4)
    first = cells[26:74, 4:44]
    assert (first[19:29] == (9, 99, 199)).all()
    assert (first[:18] == 255).all()
    assert (first[30:] == 255).all()
    assert np.array_equal(cells[26:74, -44:-4], np.asarray(Image.open(out)))


def test_absent_labels(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The subject wears nothing but hair and background; the pose wants a whole person."""
    data, out = trained[0], tmp_path / "out.png"
    labels = read_label_png(data / "labels" / "p1.png")
    bald = tmp_path / "bald.png"
    save_label_png(bald, np.where(labels == 1, 1, 0))
    subject = ["--overwrite", "--subject", data / "images" / "p1.png", bald]
    results = {}
    for policy in ("background", "mean"):
        run(trained, *subject, "--background", "p2", "--absent", policy, "--out", out)
        results[policy] = out.read_bytes()
        then = "the mean" if policy == "mean" else "the background image"
        note = f"--subject {subject[2]}: head: face from {then}\n"
        assert note in capsys.readouterr().out
    assert results["background"] != results["mean"]
    with pytest.raises(InputError, match="the subject's image lacks label 2, 3") as caught:
        run(trained, *subject, "--background", "p2", "--absent", "error", "--out", out)
    assert str(caught.value).startswith(f"--subject {subject[2]}: ")
    assert "(face, " in str(caught.value)
    assert out.read_bytes() == results["mean"]


def test_a_step_folder_away_from_its_run(trained: tuple[Path, Path], tmp_path: Path) -> None:
    data, run_folder = trained
    step = shutil.copytree(run_folder / "checkpoints" / "step_0000002", tmp_path / "alone")
    out = ["--overwrite", "--out", str(tmp_path / "out.png")]
    files = ["--subject", *pair(data, "p1"), "--background", *pair(data, "p2")]
    transfer.main([str(step), *files, *out])
    with pytest.raises(InputError, match=r"run folder of .*alone is not here, so"):
        transfer.main([str(step), "--subject", "p1", "--background", "p2", *out])
    with pytest.raises(InputError, match=f"^--data {data}: unused"):
        transfer.main([str(step), *files, *out, "--data", str(data)])


def test_pasting_needs_a_pose_of_the_photograph_s_size(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    small = tmp_path / "small.png"
    save_label_png(small, np.zeros((30, 30), np.int32))
    with pytest.raises(InputError, match=r"small\.png: is 30x30, expected the background's 48x"):
        run(
            trained, "--subject", "p1", "--background", "p2", "--pose-labels", small,
            "--paste-back", "--out", tmp_path / "out.png",
        )  # fmt: skip


def test_background_labels_by_name(trained: tuple[Path, Path], tmp_path: Path) -> None:
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    common = ["--subject", "p1", "--background", "p2", "--absent", "mean"]
    run(trained, *common, "--out", one)
    run(trained, *common, "--background-labels", "background", "hair", "2", "--out", two)
    assert one.read_bytes() != two.read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"--subject": ["nobody"]}, "--subject nobody: no such image; expected a name like p"),
        ({"--subject": ["a", "b", "c"]}, "--subject a b c: expected an image and its label map"),
        ({"--subject": ["a.png", "b.png"]}, r"a\.png: cannot be read"),
        ({"--out": ["result"]}, r"--out result: expected a \.png, \.jpg"),
        ({"--out": ["result.jpg"], "--paste-back": []}, r"needs a \.png"),
        ({"--feather": ["-1"], "--paste-back": []}, "--feather -1: expected 0 to 256"),
        ({"--scale": ["2"]}, "--scale 2: expected --sheet with it"),
        ({"--scale": ["17"]}, "--scale 17: expected 1 to 16"),
        ({"--feather": ["3"]}, "--feather 3: expected 0 to 256, together with --paste-back"),
        ({"--sheet": ["sheet.jpg"]}, r"--sheet sheet\.jpg: expected a \.png"),
        ({"--sheet": ["out.png"]}, r"--sheet out\.png: is also --out"),
        ({"--subject": ["out.png", "b.png"]}, r"--out out\.png: is one of the files to read"),
        ({"--background-labels": ["tail"]}, "label 'tail': expected one of background, hair"),
        ({"--background-labels": ["11"]}, "label '11': expected one of background, hair"),
        ({"--data": ["nowhere"]}, "--data nowhere: expected mannequins"),
        ({"--data": ["nowhere"]}, "^--data nowhere: "),
        ({"--pose-labels": ["nothing.png"]}, r"nothing\.png: cannot be read"),
        ({"--pose-labels": ["nothing.png"]}, r"^--pose-labels nothing\.png: cannot be read"),
        ({"--background-labels": ["tail"]}, "^--background-labels: label 'tail': .*, or 0 to 10$"),
        ({"--subject": ["a.png", "b.png"]}, r"^--subject a\.png b\.png: a\.png: cannot be read"),
        ({"--sheet": ["/dev/null/s.png"]}, "^--sheet /dev/null/s.png: cannot be written"),
    ],
)
def test_bad_arguments(
    changes: dict[str, list[str]],
    message: str,
    trained: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = {"--subject": ["p1"], "--background": ["p2"], "--out": ["out.png"], **changes}
    with pytest.raises(InputError, match=message) as caught:
        run(trained, *(word for flag, words in arguments.items() for word in (flag, *words)))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_background_labels_need_a_subject(trained: tuple[Path, Path], tmp_path: Path) -> None:
    donors = "--donor", "hair=p1", "--background", "p2", "--out", tmp_path / "out.png"
    with pytest.raises(
        InputError, match=r"^--background-labels hair: expected --subject with it$"
    ):
        run(trained, *map(str, donors), "--background-labels", "hair")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["missing", "empty"])
def test_no_checkpoint(where: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="checkpoint"):
        transfer.main(
            [str(tmp_path / where), "--subject", "a", "--background", "b", "--out", "o.png"]
        )


def test_refined_latents_come_nearer(trained: tuple[Path, Path], tmp_path: Path) -> None:
    """Somebody put into their own picture is reconstructed."""
    data, out = trained[0], tmp_path / "out.png"
    photo = Image.open(data / "images" / "p1.png").resize((32, 32), Image.Resampling.BILINEAR)
    errors = []
    for steps in (0, 3, 10):
        run(
            trained,
            *("--subject", "p1", "--background", "p1", "--refine", steps),
            *("--out", out, "--overwrite"),
        )
        difference = np.asarray(Image.open(out)).astype(float) - np.asarray(photo)
        errors.append(np.square(difference).mean())
    assert errors[0] > errors[1] > errors[2]


def test_refining_by_no_number_of_steps(trained: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    with pytest.raises(InputError, match=r"^--refine -1: expected a number of steps, 0 or more$"):
        run(trained, "--subject", "p1", "--background", "p2", "--refine", -1, "--out", out)
    assert not out.exists()


def test_images_keep_the_words_that_were_typed(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pose, spaced = tmp_path / "pose.png", tmp_path / "a b.png"
    save_label_png(pose, np.zeros((48, 40), np.int32))
    image, labels = pair(trained[0], "p2")
    shutil.copy(image, spaced)
    shutil.copy(labels, tmp_path / "a b_labels.png")
    out = tmp_path / "out.png"
    where = ["--background", spaced, "--pose-labels", pose, "--out", out]
    run(trained, "--subject", "p1", *where)
    assert capsys.readouterr().out.splitlines() == [
        f"--subject p1 in --background '{spaced}': unused (only background labels in the "
        "label map to generate from)",
        f"{out}: p1 in '{spaced}', under the label map {pose}",
    ]
