# SPDX-License-Identifier: Apache-2.0
"""scam.transfer with donors: several, weighted, single latents, and the way there."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import scam
from scam import transfer
from scam.data import LABEL_SETS, PairDataset, open_source, read_label_png, save_label_png
from scam.editing import blend, shares
from scam.editing.pictures import to_pixels
from scam.errors import InputError

Trained = tuple[Path, Path]


def run(trained: Trained, *arguments: object) -> None:
    transfer.main([str(trained[1]), *map(str, arguments)])


def generated(trained: Trained, folder: Path, *arguments: object) -> np.ndarray:
    out = folder / "out.png"
    run(trained, *arguments, "--overwrite", "--out", out)
    return np.asarray(Image.open(out))


def shared_labels(trained: Trained, *names: str) -> list[int]:
    """Labels other than the background that all these pictures hold, lowest first."""
    maps = [read_label_png(trained[0] / "labels" / f"{name}.png") for name in names]
    found = set.intersection(*({*np.unique(labels).tolist()} for labels in maps)) - {0}
    return sorted(found)


def test_several_donors_are_what_the_functions_make_of_them(
    trained: Trained, tmp_path: Path
) -> None:
    a, b = shared_labels(trained, "p1", "p2", "p3")[:2]
    result = generated(
        trained, tmp_path, "--background", "p2", "--donor", f"{a}=p1",
        "--donor", f"{b}.1=p3:0.25",
    )  # fmt: skip
    model = scam.load(trained[1])
    size = model.config.size
    pictures = [PairDataset(open_source(trained[0], s), size) for s in ("train", "val")]
    found = {d.source.stem(i): d.pair(i) for d in pictures for i in range(len(d))}
    with torch.no_grad():
        host, one, two = (model.encode(*found[name]) for name in ("p2", "p1", "p3"))
        mixed = blend(host, one, shares(model, a), model)
        mixed = blend(mixed, two, shares(model, b, 1, 0.25), model)
        expected = model.generate(found["p2"][1], mixed)[0]
    # The command reads photographs at their own size and averages them down as the loader does.
    assert np.abs(result.astype(int) - to_pixels(expected)).max() <= 1


def test_all_labels_as_donors_are_a_subject(trained: Trained, tmp_path: Path) -> None:
    labels = shared_labels(trained, "p1", "p2")
    subject = generated(trained, tmp_path, "--subject", "p1", "--background", "p2")
    donor = f"{','.join(map(str, labels))}=p1"
    donors = generated(trained, tmp_path, "--background", "p2", "--donor", donor)
    assert np.array_equal(subject, donors)
    own = generated(trained, tmp_path, "--background", "p2", "--donor", f"{donor}:0")
    assert not np.array_equal(own, donors)


def test_donors_come_after_the_subject(trained: Trained, tmp_path: Path) -> None:
    label = shared_labels(trained, "p1", "p2", "p3")[0]
    both = ["--subject", "p1", "--background", "p2"]
    subject = generated(trained, tmp_path, *both)
    more = generated(trained, tmp_path, *both, "--donor", f"{label}=p3")
    undone = generated(
        trained, tmp_path, *both, "--donor", f"{label}=p3", "--donor", f"{label}=p1"
    )
    assert not np.array_equal(subject, more)
    assert np.array_equal(subject, undone)


def test_a_donor_s_label_map_is_found_beside_it(trained: Trained, tmp_path: Path) -> None:
    data = trained[0]
    label = shared_labels(trained, "p1", "p2")[0]
    image, labels = data / "images" / "p1.png", data / "labels" / "p1.png"
    (tmp_path / "mine.png").write_bytes(image.read_bytes())
    (tmp_path / "mine_labels.png").write_bytes(labels.read_bytes())
    ways = [
        generated(trained, tmp_path, "--background", "p2", "--donor", f"{label}={given}")
        for given in ("p1", image, f"{image},{labels}", tmp_path / "mine.png")
    ]
    for way in ways[1:]:
        assert np.array_equal(ways[0], way)


def test_interpolation_leads_from_one_to_the_other(trained: Trained, tmp_path: Path) -> None:
    both = ["--subject", "p1", "--background", "p2"]
    label = shared_labels(trained, "p1", "p2")[0]
    last = generated(trained, tmp_path, *both)
    first = generated(trained, tmp_path, "--background", "p2", "--donor", f"{label}=p1:0")
    strip = generated(trained, tmp_path, *both, "--interpolate", 3)
    assert strip.shape == (32, 96, 3)
    assert np.array_equal(strip[:, :32], first)
    assert np.array_equal(strip[:, 64:], last)
    middle = strip[:, 32:64]
    assert not np.array_equal(middle, first)
    assert not np.array_equal(middle, last)


def test_pasting_back_touches_the_donor_s_labels_only(trained: Trained, tmp_path: Path) -> None:
    label = shared_labels(trained, "p1", "p2")[-1]
    result = generated(
        trained, tmp_path, "--background", "p2", "--donor", f"{label}=p1", "--paste-back",
        "--feather", 0,
    )  # fmt: skip
    photo = np.asarray(Image.open(trained[0] / "images" / "p2.png"))
    labels = read_label_png(trained[0] / "labels" / "p2.png")
    assert np.array_equal(result[labels != label], photo[labels != label])
    assert not np.array_equal(result[labels == label], photo[labels == label])


def test_what_a_donor_lacks(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = trained[0]
    label = shared_labels(trained, "p1", "p2")[0]
    labels = read_label_png(data / "labels" / "p1.png")
    name = LABEL_SETS["mannequins"].names[label]
    without = tmp_path / "without.png"
    save_label_png(without, np.where(labels == label, 0, labels))
    donor = ["--donor", f"{label}={data / 'images' / 'p1.png'},{without}"]
    own = generated(trained, tmp_path, "--background", "p2", "--donor", f"{label}=p2")
    capsys.readouterr()
    stays = generated(trained, tmp_path, "--background", "p2", *donor, "--absent", "background")
    assert np.array_equal(own, stays)
    assert f": {name} unchanged\n" in capsys.readouterr().out
    averaged = generated(trained, tmp_path, "--background", "p2", *donor, "--absent", "mean")
    assert not np.array_equal(own, averaged)
    assert f": {name} from the mean\n" in capsys.readouterr().out
    with pytest.raises(InputError, match=rf"{without}: its image lacks label {label} \({name}\)$"):
        run(
            trained, "--background", "p2", *donor, "--absent", "error", "--out", tmp_path / "o.png"
        )


def test_a_label_that_nobody_has_is_said(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pose = tmp_path / "pose.png"
    save_label_png(pose, np.zeros((48, 40), np.int32))
    generated(trained, tmp_path, "--background", "p2", "--donor", "hair=p1", "--pose-labels", pose)
    assert "--donor hair=p1: no hair in the label map to generate from" in capsys.readouterr().out


def test_the_sheet_shows_every_donor(trained: Trained, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    generated(
        trained, tmp_path, "--background", "p2", "--donor", "hair=p1:0.5", "--donor", "hair=p3",
        "--donor", "background=p1", "--sheet", sheet,
    )  # fmt: skip
    assert Image.open(sheet).width == 4 + 6 * (32 * 12 + 4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--subject, --donor: expected at least one of them"),
        (["--donor", "hair"], r"--donor hair: expected LABEL\[\.LATENT\]"),
        (["--donor", "=p1"], "--donor =p1: expected LABEL"),
        (["--donor", "hair=:0.5"], "--donor hair=:0.5: expected LABEL"),
        (["--donor", "tail=p1"], "--donor tail=p1: label 'tail': expected one of background"),
        (["--donor", "hair.2=p1"], r"--donor hair\.2=p1: latent 2 of label 1: expected 0 to 1"),
        (["--donor", "hair=p1:1.5"], "--donor hair=p1:1.5: weight 1.5: expected 0 to 1"),
        (["--donor", "hair=p1:nan"], "--donor hair=p1:nan: weight nan: expected 0 to 1"),
        (
            ["--donor", "hair=p1:abc"],
            "p1:abc: no such image; .*; as a weight 'abc' is not a number",
        ),
        (["--donor", "hair=a,b,c"], "^--donor hair=a,b,c: a,b,c: expected IMAGE,LABELS$"),
        (
            ["--donor", "hair=x.safetensors"],
            r"^--donor hair=(x\.safetensors): \1: cannot be r\S+ \(no",
        ),
        (["--donor", "hair=a.png,b.png"], r"^--donor hair=a\.png,b\.png: a\.png: cannot be read"),
        (["--donor", "hair=p9"], "--donor hair=p9: p9: no such image; expected a name like p"),
        (["--donor", "hair=out.png"], r"--out out\.png: is one of the files to read"),
        (["--donor", "hair=p1", "--interpolate", "1"], "--interpolate 1: expected 2 to 256"),
        (["--donor", "hair=p1", "--pose", "subject"], "--pose subject: expected an image as"),
        (["--donor", "hair=p1", "--pairs", "x.json"], r"--pairs x\.json: expected --background"),
    ],
)
def test_bad_donors(
    words: list[str],
    message: str,
    trained: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        run(trained, "--background", "p2", *words, "--out", "out.png")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_image_without_its_map(trained: Trained, tmp_path: Path) -> None:
    lone = tmp_path / "lone.png"
    lone.write_bytes((trained[0] / "images" / "p1.png").read_bytes())
    with pytest.raises(InputError, match=r"lone\.png: has no label map .*lone_labels\.png"):
        run(trained, "--background", "p2", "--donor", f"hair={lone}", "--out", tmp_path / "o.png")
