# SPDX-License-Identifier: Apache-2.0
import errno
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scam import attention
from scam.data import read_label_png, save_label_png
from scam.data.latent_colours import latent_colours
from scam.errors import InputError

Trained = tuple[Path, Path]
CELL = 32 * 6 + 4  # pixels of a sheet's cell, gap included


def run(trained: Trained, *words: object) -> None:
    attention.main([str(trained[1]), *map(str, words)])


def test_a_row_for_each_layer_and_a_column_for_each_latent(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.png"
    run(trained, "--picture", "p1", "--out", out)
    said = capsys.readouterr().out
    assert "encoder.0: the largest weight is" in said
    assert "generator.3.2: the largest weight is" in said
    picture = Image.open(out)
    legends = picture.height - 26 - 2 * CELL
    assert 2 * 20 < legends < 10 * 40
    assert picture.width > 5 * CELL  # picture, labels, strongest, two latents, and a margin


def test_labels_that_are_not_asked_for_stay_dark(trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    run(trained, "--picture", "p1", "--only", "hair", "--layers", "generator.3.2", "--out", out)
    sheet = np.asarray(Image.open(out)).astype(int)
    heat = sheet[26 : 26 + CELL - 4, -CELL:-4]
    strongest = sheet[26 : 26 + CELL - 4, -3 * CELL : -2 * CELL - 4]
    labels = read_label_png(trained[0] / "labels" / "p1.png")
    hair = np.asarray(Image.fromarray(labels).resize((32, 32), Image.Resampling.NEAREST)) == 1
    hair = hair.repeat(6, 0).repeat(6, 1)
    coloured = np.ptp(heat, axis=-1) > 5
    assert coloured[hair].all()
    assert not coloured[~hair].any()
    colours = {tuple(colour) for colour in strongest[hair].tolist()}
    assert colours <= set(latent_colours(2))
    assert not strongest[~hair].any()


def test_a_scale_is_the_size_of_a_pixel(trained: Trained, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    run(trained, "--picture", "p1", "--layers", "generator.3.2", "--scale", 2, "--out", out)
    sheet = np.asarray(Image.open(out))
    heat = sheet[26:90, -68:-4]
    assert np.array_equal(heat, heat[::2, ::2].repeat(2, 0).repeat(2, 1))
    assert (sheet[26:90, -4:] == 255).all()


def test_the_numbers(trained: Trained, tmp_path: Path) -> None:
    out, npz = tmp_path / "out.png", tmp_path / "out.npz"
    run(trained, "--picture", "p1", "--layers", "all", "--out", out, "--npz", npz)
    with np.load(npz) as found:
        assert list(found["label_names"])[:2] == ["background", "hair"]
        assert found["generator.0.1.weights"].shape == (2, 2, 2)
        weights, labels = found["generator.3.2.weights"], found["generator.3.2.labels"]
        assert weights.shape == (32, 32, 2)
        np.testing.assert_allclose(weights.sum(-1), labels >= 0, atol=1e-5)
        looked, labels = found["encoder.1.weights"], found["encoder.1.labels"]
        for label in np.unique(labels):
            np.testing.assert_allclose(looked[labels == label].sum(0), 1, atol=1e-4)


def test_layers_are_listed(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    run(trained, "--list-layers")
    assert capsys.readouterr().out.split()[:2] == ["encoder.0", "encoder.1"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "o.png"], "--picture, --out: expected both"),
        (["--picture", "p1"], "--picture, --out: expected both"),
        (["--picture", "p1", "--out", "o.png", "--scale", "0"], "--scale 0: expected 1 to 16"),
        (["--picture", "p1", "--out", "o.jpg"], r"--out o\.jpg: expected a \.png file"),
        (["--picture", "p1", "--out", "o.png", "--npz", "n.txt"], r"--npz n\.txt: expected a \.n"),
        (["--picture", "p9", "--out", "o.png"], "--picture p9: no such image"),
        (["--picture", "p1", "--out", "o.png", "--only", "tail"], "label 'tail': expected one of"),
        (["--picture", "p1", "--out", "o.png", "--layers", "x"], "--layers x: expected some of"),
        (["--picture", "s.safetensors", "--out", "o.png"], r"s\.safetensors: cannot be read"),
        (
            ["--picture", "p1", "--out", "o.png", "--layers", "x"],
            "^--layers x: .*, or all$",
        ),
        (["--picture", "p1", "--out", "o.png", "--only", "11"], "^--only: .*, or 0 to 10$"),
        (
            ["--picture", "p1", "--out", "o.png", "--npz", "/dev/null/n.npz"],
            "^--npz /dev/null/n.npz: cannot be w",
        ),
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
    with pytest.raises(InputError, match=message) as caught:
        run(trained, *words)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_label_that_the_picture_lacks(trained: Trained, tmp_path: Path) -> None:
    labels = tmp_path / "labels.png"
    save_label_png(labels, np.zeros((48, 40), np.int32))
    image = trained[0] / "images" / "p1.png"
    with pytest.raises(InputError, match="--only hair: not in the label map of"):
        run(trained, "--picture", image, labels, "--only", "hair", "--out", tmp_path / "o.png")


@pytest.mark.parametrize("full", ["savez_compressed", "save"])
def test_without_room_for_both_neither_is_written(
    full: str, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np if full == "savez_compressed" else Image.Image, full, refuse)
    files = ["--out", tmp_path / "a.png", "--npz", tmp_path / "b.npz"]
    with pytest.raises(InputError, match="No space left"):
        run(trained, "--picture", "p1", *files)
    assert not list(tmp_path.iterdir())
