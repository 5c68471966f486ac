# SPDX-License-Identifier: Apache-2.0
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import scam
from scam import styles, transfer
from scam.data import LABEL_SETS, read_label_png
from scam.editing import load_style, save_style
from scam.editing.pictures import nearest
from scam.errors import InputError
from scam.models import Scam, ScamConfig
from scam.models.styles import Styles

Trained = tuple[Path, Path]


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return tmp_path / "library"


def run(trained: Trained, command: str, *words: object) -> None:
    styles.main([command, str(trained[1]), *map(str, words)])


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_a_style_gives_what_its_picture_gives(
    trained: Trained, library: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(trained, "add", "--picture", "p1", "--name", "anna", "--library", library)
    said = capsys.readouterr().out
    assert re.search(rf"anna.safetensors: \d+ of 11 labels, from {trained[0]}/images/p1.png", said)
    assert {path.name for path in library.iterdir()} == {"anna.safetensors", "anna.png"}
    assert pixels(library / "anna.png").shape == (32, 32, 3)
    out = tmp_path / "out.png"
    common = [str(trained[1]), "--background", "p2", "--overwrite", "--out", str(out)]
    results = []
    for donor in ("p1", "lib:anna", f"{library / 'anna.safetensors'}"):
        transfer.main([*common, "--library", str(library), "--donor", f"hair,face={donor}:0.5"])
        results.append(pixels(out))
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])
    whole = []
    for subject in ("p1", "lib:anna"):
        sheet = tmp_path / "sheet.png"
        transfer.main(
            [*common, "--library", str(library), "--subject", subject, "--sheet", str(sheet)]
        )
        whole.append((pixels(out), pixels(sheet)))
    assert np.array_equal(whole[0][0], whole[1][0])
    # The thumbnail stands where the subject's photograph would, which keeps its proportions.
    assert whole[0][1].shape == whole[1][1].shape


def test_the_mean_of_a_folder(trained: Trained, library: Path) -> None:
    data = trained[0]
    run(trained, "mean", "--data", data, "--library", library)
    model = scam.load(trained[1])
    style = load_style(library / "mean.safetensors", model)
    assert style.source == f"mean of 6 images of {data}"
    found = []
    for index in range(6):
        name = f"p{index}"
        run(trained, "add", "--picture", name, "--library", library)
        found.append(load_style(library / f"{name}.safetensors", model).latents)
    token = int((model.token_labels == 1).nonzero()[0])
    holding = [x.tokens[0, token] for x in found if x.present[0, 1]]
    expected = torch.stack(holding).mean(0)
    torch.testing.assert_close(style.latents.tokens[0, token], expected, rtol=1e-5, atol=1e-6)
    union = torch.stack([x.present[0] for x in found]).any(0)
    assert torch.equal(style.latents.present[0], union)
    run(trained, "mean", "--data", data, "--library", library, "--name", "two",
        "--max-pictures", "2")  # fmt: skip
    assert load_style(library / "two.safetensors", model).source.startswith("mean of 2 ")


def test_the_list_tells_which_styles_fit(
    trained: Trained, library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(trained, "add", "--picture", "p1", "--library", library)
    (library / "broken.safetensors").write_bytes(b"x" * 20)
    capsys.readouterr()
    run(trained, "list", "--library", library)
    lines = capsys.readouterr().out.splitlines()
    assert re.match(rf"{library}: 2 styles, model [0-9a-f]{{16}}", lines[0])
    assert "broken.safetensors: is damaged or no .safetensors file" in lines[1]
    labels = nearest(read_label_png(trained[0] / "labels" / "p1.png"), (32, 32))
    held = [LABEL_SETS["mannequins"].names[label] for label in np.unique(labels)]
    assert lines[2].endswith(f"p1.png; {', '.join(held)}")
    other = Scam(ScamConfig(11, (32, 32), width=16, levels=4, latents_per_label=2))
    whole = Styles(other.mean_tokens[None], torch.ones(1, 11))
    save_style(library / "z.safetensors", other, whole, "elsewhere")
    run(trained, "list", "--library", library)
    assert "z (of another model, " in capsys.readouterr().out.splitlines()[-1]


def test_the_library_is_in_the_run_folder(trained: Trained, tmp_path: Path) -> None:
    run(trained, "add", "--picture", "p1", "--name", "here", "--replace")
    assert (trained[1] / "styles" / "here.safetensors").is_file()
    transfer.main(
        [str(trained[1]), "--background", "p2", "--donor", "hair=lib:here", "--out",
         str(tmp_path / "o.png")]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["add", "--picture", "p9"], "--picture p9: no such image; expected a name like p"),
        (["add", "--picture", "p1", "--name", "a/b"], "--name a/b: expected a file name without"),
        (["add", "--picture", "p1", "--name", "old"], "--name old: .* already exists; choose"),
        (["add", "--picture", "lib:old"], "--picture lib:old: is a style, expected an image"),
        (["add", "--picture", "lib:new"], "--picture lib:new: not in .*; expected one of old"),
        (
            ["add", "--picture", "p1", "--name", "a:b"],
            "--name a:b: expected .* without folder, colon",
        ),
        (["add", "--picture", "p1", "--name", ""], "--name '': expected a value"),
        (
            ["add", "--picture", "p1", "--data", "nowhere"],
            "^--data nowhere: expected mannequins or",
        ),
        (["mean", "--data", "nowhere"], "--data nowhere: expected a data folder, or mannequins"),
        (["mean", "--data", "mannequins", "--max-pictures", "0"], "--max-pictures 0: expected 1"),
    ],
)
def test_refusals(words: list[str], message: str, trained: Trained, library: Path) -> None:
    run(trained, "add", "--picture", "p1", "--name", "old", "--library", library)
    with pytest.raises(InputError, match=message) as caught:
        run(trained, words[0], *words[1:], "--library", library)
    assert "\n" not in str(caught.value)
    assert {path.name for path in library.iterdir()} == {"old.safetensors", "old.png"}


def test_a_library_below_a_file(trained: Trained, library: Path) -> None:
    library.touch()
    with pytest.raises(InputError, match=rf"^--name mean: .*: {library} is a file, expected a fo"):
        run(trained, "mean", "--data", trained[0], "--library", library / "styles")


@pytest.mark.parametrize("found", ["no such folder", "is a file"])
def test_a_library_that_is_none(trained: Trained, library: Path, found: str) -> None:
    if found == "is a file":
        library.touch()
        with pytest.raises(InputError, match=f"^--library {library}: is a file, expected a fol"):
            run(trained, "add", "--picture", "p1", "--library", library)
    with pytest.raises(InputError, match=f"^--library {library}: {found}, expected a folder"):
        run(trained, "list", "--library", library)
    with pytest.raises(InputError, match=f"^--library {library}: {found}, expected a folder"):
        transfer.main(
            [str(trained[1]), "--background", "p2", "--donor", "hair=lib:a", "--library",
             str(library), "--out", str(library.with_name("o.png"))]
        )  # fmt: skip


def test_a_background_is_no_style(trained: Trained, library: Path, tmp_path: Path) -> None:
    run(trained, "add", "--picture", "p1", "--name", "old", "--library", library)
    path = library / "old.safetensors"
    with pytest.raises(InputError, match="is a style, expected an image"):
        transfer.main(
            [str(trained[1]), "--background", str(path), "--donor", "hair=p1", "--out",
             str(tmp_path / "o.png")]
        )  # fmt: skip
    with pytest.raises(InputError, match="--pose subject: expected an image as --subject"):
        transfer.main(
            [str(trained[1]), "--background", "p1", "--subject", str(path), "--pose", "subject",
             "--out", str(tmp_path / "o.png")]
        )  # fmt: skip
