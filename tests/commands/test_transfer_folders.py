# SPDX-License-Identifier: Apache-2.0
"""scam.transfer over folders: pairs, going on after a stop, and refusals."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scam import transfer
from scam.data import save_label_png
from scam.errors import InputError, Interrupted

Trained = tuple[Path, Path]


def run(trained: Trained, *arguments: object) -> None:
    transfer.main([str(trained[1]), *map(str, arguments)])


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_one_subject_in_every_picture(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, single = tmp_path / "out", tmp_path / "single.png"
    common = ["--subject", "p1", "--absent", "mean"]
    run(trained, *common, "--background", trained[0], "--out", out)
    assert names(out) == [*(f"p{i}.png" for i in range(6)), "transfer.json"]
    assert f"{out}: 6 images" in capsys.readouterr().out
    run(trained, *common, "--background", "p4", "--out", single)
    assert np.array_equal(pixels(out / "p4.png"), pixels(single))


def test_a_subject_that_no_picture_has_a_place_for(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pose = tmp_path / "pose.png"
    save_label_png(pose, np.zeros((48, 40), np.int32))
    words = ["--subject", "p1", "--background", trained[0], "--pose-labels", pose]
    run(trained, *words, "--out", tmp_path / "out")
    unused = "unused (only background labels in the label map to generate from) in 6 images"
    assert f"summary of 6 images:\n  --subject: {unused}\n" in capsys.readouterr().out


def test_every_subject_in_one_picture(trained: Trained, tmp_path: Path) -> None:
    out, single = tmp_path / "out", tmp_path / "single.png"
    run(trained, "--subject", trained[0], "--background", "p4", "--out", out)
    assert len(names(out)) == 7
    run(trained, "--subject", "p2", "--background", "p4", "--out", single)
    assert np.array_equal(pixels(out / "p2.png"), pixels(single))


def test_folders_meet_by_name_or_by_a_file(trained: Trained, tmp_path: Path) -> None:
    data, single = trained[0], tmp_path / "single.png"
    common = ["--background", data, "--donor", f"face={data}"]
    run(trained, *common, "--out", tmp_path / "same")
    run(trained, "--background", "p3", "--donor", "face=p3", "--out", single)
    assert np.array_equal(pixels(tmp_path / "same" / "p3.png"), pixels(single))
    pairs = tmp_path / "pairs.json"
    pairs.write_text(json.dumps({"donors": {"p3": "p1", "p0": "p3"}}))
    run(trained, *common, "--pairs", pairs, "--out", tmp_path / "paired")
    assert names(tmp_path / "paired") == ["p0.png", "p3.png", "transfer.json"]
    run(trained, "--background", "p3", "--donor", "face=p1", "--out", single, "--overwrite")
    assert np.array_equal(pixels(tmp_path / "paired" / "p3.png"), pixels(single))


def test_it_goes_on_where_it_was_stopped(
    trained: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    command = ["--subject", "p1", "--background", trained[0], "--out", out]
    whole = Image.Image.save
    saved = []

    def save(image: Image.Image, file: object, **options: object) -> None:
        if len(saved) == 2:
            raise KeyboardInterrupt
        saved.append(file)
        whole(image, file, **options)

    monkeypatch.setattr(Image.Image, "save", save)
    said = (
        f"interrupted: 2 of 6 images in {re.escape(str(out))}, the same command makes the others"
    )
    with pytest.raises(Interrupted, match=said):
        run(trained, *command)
    monkeypatch.undo()
    assert len(names(out)) == 3  # two pictures and the record
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    (out / ".p5.png.99999999.partial").write_bytes(b"half")
    capsys.readouterr()
    run(trained, *command)
    assert "4 images, 2 existed already" in capsys.readouterr().out
    assert len(names(out)) == 7
    for name, changed in before.items():
        assert (out / name).stat().st_mtime_ns == changed
    with pytest.raises(InputError, match="holds transfers with --subject p1 there, p2 here; exp"):
        run(trained, "--subject", "p2", "--background", trained[0], "--out", out)


def test_files_that_change_are_other_settings(trained: Trained, tmp_path: Path) -> None:
    data, pairs, pose = trained[0], tmp_path / "pairs.json", tmp_path / "pose.png"
    image, labels = tmp_path / "a.png", tmp_path / "a_labels.png"
    for path, kind in ((pose, "labels"), (image, "images"), (labels, "labels")):
        path.write_bytes((data / kind / "p1.png").read_bytes())
    pairs.write_text(json.dumps({"donors": {"p3": "p1"}}))
    command = [
        "--background", data, "--subject", image, "--donor", f"face={data}", "--pairs", pairs,
        "--pose-labels", pose, "--absent", "mean", "--out", tmp_path / "out",
    ]  # fmt: skip
    run(trained, *command)
    run(trained, *command)
    for path, flag, kind in (
        (pose, "--pose-labels", "labels"),
        (image, "--subject", "images"),
        (pairs, "--pairs", ""),
    ):
        before = path.read_bytes()
        other = json.dumps({"donors": {"p3": "p2"}}).encode()
        path.write_bytes((data / kind / "p2.png").read_bytes() if kind else other)
        with pytest.raises(InputError, match=f"holds transfers with other content of {flag}; exp"):
            run(trained, *command)
        path.write_bytes(before)
    run(trained, *command)


def test_a_folder_pastes_back_at_each_photograph_s_size(trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(trained, "--subject", "p1", "--background", trained[0], "--paste-back", "--out", out)
    assert pixels(out / "p3.png").shape == (48, 40, 3)


def test_mannequins_are_a_folder(trained: Trained, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.json"
    one, two = "mannequin_val_00001", "mannequin_val_00002"
    pairs.write_text(json.dumps({"donors": {one: two}}))
    run(
        trained, "--background", "mannequins", "--subject", "mannequins", "--pairs", pairs,
        "--absent", "mean", "--out", tmp_path / "out",
    )  # fmt: skip
    assert names(tmp_path / "out") == [f"{one}.png", "transfer.json"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "o.png"], "--out o.png: expected a folder, since a folder of images is"),
        (["--out", "o", "--sheet", "s.png"], "--sheet s.png: expected single images, not a"),
        (["--out", "used"], "--out used: already exists; choose a new folder"),
        (["--out", "o", "--pairs", "none.json"], "cannot read none.json: No such file"),
        (["--out", "o", "--pairs", "none.json"], "--pairs none.json: cannot read"),
        (["--out", "o", "--pairs", "bad.json"], '--pairs bad.json: expected {"donors"'),
        (["--out", "o", "--pairs", "odd.json"], "--pairs odd.json: 'p9' is not an image of"),
        (["--out", "o", "--donor", "face=far"], "no image has the same name in every folder"),
        (["--out", "o", "--donor", "face=empty"], "--donor face=empty: empty/images: no such"),
        (["--out", "o", "--donor", "face=empty"], "empty/images: no such folder, expected one"),
    ],
)
def test_refusals(
    words: list[str],
    message: str,
    trained: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("used/other", "empty", "far/images", "far/labels"):
        (tmp_path / folder).mkdir(parents=True)
    for kind in ("images", "labels"):
        Path("far", kind, "z.png").write_bytes((trained[0] / kind / "p1.png").read_bytes())
    Path("bad.json").write_text("{}")
    Path("odd.json").write_text('{"donors": {"p1": "p9"}}')
    before = names(tmp_path)
    data = str(trained[0])
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        run(trained, "--subject", data, "--background", data, *words)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == before


def test_a_first_picture_that_fails_leaves_no_folder(trained: Trained, tmp_path: Path) -> None:
    words = ["--background", trained[0], "--donor", "hair=p1", "--out", tmp_path / "new" / "out"]
    wrong = tmp_path / "wrong.png"
    Image.new("L", (3, 3)).save(wrong)
    with pytest.raises(InputError, match="wrong"):
        run(trained, *words, "--paste-back", "--pose-labels", wrong)
    assert names(tmp_path) == ["wrong.png"]


def test_results_are_refined_alike_or_refused(trained: Trained, tmp_path: Path) -> None:
    """A folder begun before there was --refine has no entry of it and is resumed."""
    out = tmp_path / "out"
    common = ["--subject", "p1", "--background", trained[0], "--out", out]
    run(trained, *common)
    assert "refine" not in json.loads((out / "transfer.json").read_text())
    run(trained, *common, "--refine", 0)
    with pytest.raises(InputError, match="holds transfers with --refine 0 there, 2 here"):
        run(trained, *common, "--refine", 2)


def test_a_page_shows_all_results_beside_their_sources(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["--subject", "p1", "--background", trained[0], "--out", out]
    run(trained, *command)
    before = (out / "transfer.json").read_bytes()
    run(trained, *command, "--html")
    assert f"page: {out / 'index.html'}" in capsys.readouterr().out
    assert (out / "transfer.json").read_bytes() == before
    page = (out / "index.html").read_text()
    shown = re.findall(r'<img src="\./([^"]*)" alt="([^"]*)"', page)
    assert len(shown) == 6 * 3
    assert shown[3:6] == [
        ("inputs/0.png", "subject of p1"),
        ("inputs/1/p1.png", "background of p1"),
        ("p1.png", "result p1"),
    ]
    assert all((out / file).is_file() for file, _ in shown)
    subject = pixels(trained[0] / "images" / "p1.png")
    assert np.array_equal(pixels(out / "inputs" / "0.png"), subject)
    assert np.array_equal(pixels(out / "inputs" / "1" / "p1.png"), subject)
    # Names of files as they come.
    odd = tmp_path / "odd"
    for folder in ("images", "labels"):
        (odd / folder).mkdir(parents=True)
        picture = (trained[0] / folder / "p2.png").read_bytes()
        (odd / folder / 'a<b>&"%.png').write_bytes(picture)
    names = ["--background", odd, "--donor", f"face={odd}", "--donor", "hair=p1"]
    run(trained, *names, "--html", "--out", tmp_path / "named")
    page = (tmp_path / "named" / "index.html").read_text()
    assert "<h2>a&lt;b&gt;&amp;&quot;%</h2>" in page
    assert '<img src="./inputs/0/a%3Cb%3E%26%22%25.png"' in page
    assert "<figcaption>hair=p1</figcaption>" in page


def test_one_result_needs_no_page(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"--html: expected .* images; for a single image use --sheet"
    ):
        run(
            trained, "--subject", "p1", "--background", "p2", "--html", "--out", tmp_path / "o.png"
        )
    assert list(tmp_path.iterdir()) == []


def test_a_bad_file_of_a_folder_is_led_by_its_flag(
    trained: Trained, tmp_path: Path, make_pairs: Any
) -> None:
    bad = make_pairs(tmp_path / "bad", 2)
    Image.new("LA", (40, 48), (3, 255)).save(bad / "labels" / "p0.png")
    places = rf"prepare indices {bad} \S+"
    for words in (
        ["--subject", "p1", "--background", bad],
        ["--subject", bad, "--background", "p1"],
    ):
        flag = words[0 if words[1] == bad else 2]
        said = rf"^p0: {flag} {bad}: {bad}/labels/p0\.png: is a grey image .*{places}"
        with pytest.raises(InputError, match=said):
            run(trained, *words, "--out", tmp_path / "out")
    with pytest.raises(InputError, match=rf"^--background {bad}/images/p0\.png: .*{places}"):
        run(
            trained, "--subject", "p1", "--background", bad / "images" / "p0.png",
            "--out", tmp_path / "out.png",
        )  # fmt: skip
