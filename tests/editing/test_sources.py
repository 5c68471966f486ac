# SPDX-License-Identifier: Apache-2.0
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scam.data import LABEL_SETS, Mannequins, open_source, save_label_png
from scam.editing.pictures import Picture
from scam.editing.sources import Finder
from scam.errors import InputError
from scam.models import Scam, ScamConfig
from scam.models.checkpoint import Checkpoint
from scam.storage.files import write_json


def checkpoint(names: tuple[str, ...], run: Path = Path("nowhere")) -> Checkpoint:
    config = ScamConfig(len(names), (32, 32), width=16, levels=4, token_dim=8, attention_dim=8)
    model = Scam(config).eval()
    model.about = {"label_names": list(names)}
    return Checkpoint(run / "checkpoints" / "step_0000001", model)


def write(folder: Path, stem: str, label_folder: str = "labels") -> Path:
    image, labels = Mannequins("val").load(0, (40, 30))
    for name in ("images", label_folder):
        (folder / name).mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(folder / "images" / f"{stem}.png")
    save_label_png(folder / label_folder / f"{stem}.png", labels)
    return folder / "images" / f"{stem}.png"


def test_drawn_people_need_a_model_of_their_labels() -> None:
    names = LABEL_SETS["mannequins"].names
    folder = Finder(checkpoint(names)).folder(["mannequins"])
    assert folder is not None
    assert len(folder.stems) == 64
    assert folder.load(folder.stems[3]).photo.shape == (32, 32, 3)
    other = Finder(checkpoint(("background", "body"))).folder(["mannequins"])
    assert other is not None
    message = (
        r"^mannequin_val_00000: has 11 labels \(background, hair, face and 8 more\), this model "
    )
    message += r"has 2 \(background, body\); give label maps .* or a model trained on those labels"
    with pytest.raises(InputError, match=message):
        other.load(other.stems[0])


def test_label_maps_of_other_labels(tmp_path: Path) -> None:
    image = write(tmp_path, "a")
    message = r"expected labels 0 \.\. 1; this model has 2 labels \(background, body\): give "
    for words in ([str(image)], [str(image), str(tmp_path / "labels" / "a.png")]):
        with pytest.raises(InputError, match=message):
            Finder(checkpoint(("background", "body"))).open(words)


def test_the_label_folder_may_have_another_name(tmp_path: Path) -> None:
    image = write(tmp_path, "a", "parsed")
    known = checkpoint(LABEL_SETS["mannequins"].names)
    found = Finder(known, labels="parsed").open([str(image)])
    assert isinstance(found, Picture)
    assert found.labels.shape == (40, 30)
    with pytest.raises(InputError, match=r"a\.png: has no label map .*labels/a\.png"):
        Finder(known).open([str(image)])
    finder = Finder(known, labels="parsed")
    folder = finder.folder([str(tmp_path)])
    assert folder is not None
    assert np.array_equal(folder.load("a").labels, found.labels)
    finder.expect_used()


def test_label_folders_are_called_as_in_the_data_trained_on(tmp_path: Path) -> None:
    image = write(tmp_path / "photos", "a", "parsed")
    write_json(tmp_path / "run" / "config.json", {"data": {"data": "x", "labels": "parsed"}})
    finder = Finder(checkpoint(LABEL_SETS["mannequins"].names, tmp_path / "run"))
    picture = finder.open([str(image)])
    folder = finder.folder([str(tmp_path / "photos")])
    assert isinstance(picture, Picture)
    assert folder is not None
    assert np.array_equal(folder.load("a").labels, picture.labels)


def test_flags_that_name_nothing_are_refused(tmp_path: Path) -> None:
    image = write(tmp_path, "a")
    known = checkpoint(LABEL_SETS["mannequins"].names)
    finder = Finder(known, data="mannequins")
    finder.open([str(image), str(tmp_path / "labels" / "a.png")])
    with pytest.raises(InputError, match=r"^data='mannequins': unused"):
        finder.expect_used()


def test_names_of_drawn_images_are_a_range() -> None:
    finder = Finder(checkpoint(LABEL_SETS["mannequins"].names), data="mannequins")
    known = "mannequin_val_00000 to mannequin_val_00063 or mannequin_train_00000 to .*_02047"
    with pytest.raises(
        InputError, match=f"^mannequin_val_99: no such image; expected {known}, or"
    ):
        finder.open(["mannequin_val_99"])


def test_without_a_run_there_is_no_library() -> None:
    finder = Finder(checkpoint(("background", "body")))
    with pytest.raises(InputError, match=r"is in no run folder, .*: expected library DIR"):
        finder.open(["lib:anna"])


def test_label_maps_are_found_as_in_data_folders(tmp_path: Path) -> None:
    image = write(tmp_path, "a")
    (tmp_path / "labels" / "a.png").rename(tmp_path / "labels" / "a.PNG")
    known = checkpoint(LABEL_SETS["mannequins"].names)
    assert isinstance(Finder(known).open([str(image)]), Picture)
    (tmp_path / "labels" / "a.PNG").rename(tmp_path / "labels" / "a.jpg")
    write(tmp_path, "b")
    with pytest.raises(InputError, match=r"no label map .*but a\.jpg is there; readable: \.png"):
        Finder(known).open([str(image)])
    (tmp_path / "labels" / "b.png").unlink()
    (tmp_path / "labels" / "a.jpg").unlink()
    message = (
        rf"holds no \.png files; expected IMAGE,LABELS, or .* scam\.data label {image} --parser"
    )
    with pytest.raises(InputError, match=message):
        Finder(known).open([str(image)])


def test_a_folder_that_numbers_the_labels_otherwise(tmp_path: Path) -> None:
    """Its maps would be read as other labels of the model, in silence."""
    image, names = write(tmp_path, "a"), LABEL_SETS["mannequins"].names
    known = checkpoint(names)
    file = tmp_path / "labels.txt"
    file.write_text("".join(f"{i} {name}\n" for i, name in enumerate(names)))
    assert isinstance(Finder(known).open([str(image)]), Picture)
    file.write_text("".join(f"{i} {name}\n" for i, name in enumerate(reversed(names))))
    message = rf"labels\.txt: {names[-1]} is 0, expected {len(names) - 1} as for this model"
    for find in (
        lambda: Finder(known).open([str(image)]),
        lambda: Finder(known).folder([str(tmp_path)]),
        lambda: Finder(known, data=str(tmp_path)).open(["a"]),
    ):
        with pytest.raises(InputError, match=message):
            find()


def test_a_folder_that_names_none_of_the_labels(tmp_path: Path) -> None:
    image, names = write(tmp_path, "a"), LABEL_SETS["mannequins"].names
    (tmp_path / "labels.txt").write_text("".join(f"{i} tree_{i}\n" for i in range(len(names))))
    with pytest.raises(
        InputError, match=r"labels\.txt: names tree_0, .*, and none of this model's"
    ):
        Finder(checkpoint(names)).open([str(image)])
    merged = checkpoint(names)
    merged.model.about["trained"] = {"labels merged by": "a file, to trees"}
    unnamed = checkpoint(tuple(f"label_{i}" for i in range(len(names))))
    for other in (merged, unnamed):
        assert isinstance(Finder(other).open([str(image)]), Picture)
    (tmp_path / "labels.txt").write_text(
        "".join(f"{i} {n.upper()}\n" for i, n in enumerate(names))
    )
    assert isinstance(Finder(checkpoint(names)).open([str(image)]), Picture)


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    image = write(tmp_path, "a")
    known = checkpoint(LABEL_SETS["mannequins"].names)
    other = image.rename(image.with_suffix(".tif"))
    with pytest.raises(InputError, match=r"a\.tif: is not an image that is read, expected \.p"):
        Finder(known, data="mannequins").open([str(other)])
    os.mkfifo(image)
    with pytest.raises(InputError, match=r"a\.png: is a pipe, expected a file"):
        Finder(known).open([str(image)])


def test_data_that_moved_are_asked_for(tmp_path: Path) -> None:
    run, gone = tmp_path / "run", tmp_path / "gone"
    known = checkpoint(LABEL_SETS["mannequins"].names, run)
    write_json(run / "config.json", {"data": {"data": str(gone)}})
    words = f"^the images of {run} were in {gone}, where no folder is now: give data, the"
    with pytest.raises(InputError, match=words):
        Finder(known).open(["a"])


def test_a_named_picture_s_files_are_inputs(tmp_path: Path) -> None:
    image = write(tmp_path, "a")
    write(tmp_path, "b")
    finder = Finder(checkpoint(LABEL_SETS["mannequins"].names, tmp_path), str(tmp_path))
    try:
        finder.open(["a"])
    finally:
        assert image in finder._read_from


def test_examples_are_held_out_pictures_first(tmp_path: Path) -> None:
    for number in range(12):
        write(tmp_path / "photos", f"p{number}")
    known = checkpoint(LABEL_SETS["mannequins"].names)
    finder = Finder(known, data=str(tmp_path / "photos"))
    every = finder.examples(100)
    finder.expect_used()
    held = open_source(str(tmp_path / "photos"), "val")
    assert len(every.stems) == 12
    assert every.stems[:2] == tuple(held.stem(index) for index in range(len(held)))
    assert finder.examples(3).stems == every.stems[:3]
    assert every.load("p5").photo.shape == (40, 30, 3)
