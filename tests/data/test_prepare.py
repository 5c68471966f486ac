# SPDX-License-Identifier: Apache-2.0
"""Small trees in the layouts in which the data sets are distributed."""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scam.data import LABEL_SETS, FolderPairs, read_label_png
from scam.data.check import check_folder
from scam.data.prepare import Plan, ade20k, celebamask_hq, idesigner, write_plan
from scam.errors import InputError

CELEBA = "CelebA-HQ-to-CelebA-mapping.txt"


def photo(path: Path, size: tuple[int, int], seed: int = 0) -> None:
    """A smooth photograph unlike others, so that resizing it matters."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), np.uint8)
    Image.fromarray(coarse).resize(size[::-1]).save(path)


def mask(path: Path, rows: slice, size: tuple[int, int], mode: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.zeros(size, np.uint8)
    values[rows] = 255
    Image.fromarray(values).convert(mode).save(path)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Pictures 0, 1, 2, 3 and 2000 of 16 px with masks of 8 px, in grey, palette and RGB files."""
    root = tmp_path / "CelebAMask-HQ"
    parts: dict[int, dict[str, slice]] = {
        0: {"skin": slice(1, 8), "nose": slice(4, 5), "hair": slice(0, 3), "hat": slice(0, 1)},
        1: {"skin": slice(0, 8), "l_eye": slice(2, 3), "r_eye": slice(3, 4)},
        2: {"skin": slice(0, 8), "cloth": slice(7, 8), "neck": slice(6, 8)},
        3: {"hair": slice(0, 8)},
        2000: {"skin": slice(0, 8), "ear_r": slice(4, 5), "neck_l": slice(5, 6)},
    }
    for number, named in parts.items():
        photo(root / "CelebA-HQ-img" / f"{number}.jpg", (16, 16), number)
        for i, (part, rows) in enumerate(named.items()):
            folder = root / "CelebAMask-HQ-mask-anno" / str(number // 2000)
            name = f"{number:05d}_{part}.png"
            mask(folder / name, rows, (8, 8), ("L", "RGB", "P")[i % 3])
    return root


def write_mapping(root: Path, originals: dict[int, int]) -> None:
    lines = ["idx         orig_idx    orig_file   proc_md5    final_md5"]
    lines += [f"{i}  {n - 1}  {n:06d}.jpg  0be7  d76e" for i, n in originals.items()]
    (root / CELEBA).write_text("\n".join(lines) + "\n")


BORDERS = {0: 1, 1: 162770, 2: 162771, 3: 182637, 2000: 182638}


def names_of(plan: Plan) -> dict[str, str | None]:
    return {item.stem: item.split for item in plan.items}


def test_face_parts_are_drawn_in_the_order_of_their_labels(faces: Path, tmp_path: Path) -> None:
    write_plan(celebamask_hq.plan(faces), faces, tmp_path / "out")
    values = read_label_png(tmp_path / "out" / "labels" / "00000.png")
    assert values.shape == (16, 16)
    # hat 14 over hair 13 over skin 1, nose 2 over skin, two rows for each of the mask's.
    assert values[::2, 0].tolist() == [14, 13, 13, 1, 2, 1, 1, 1]
    assert (values[::2] == values[1::2]).all()
    assert (values == values[:, :1]).all()
    values = read_label_png(tmp_path / "out" / "labels" / "00001.png")
    assert values[::2, 0].tolist() == [1, 1, 4, 5, 1, 1, 1, 1]
    values = read_label_png(tmp_path / "out" / "labels" / "00002.png")
    assert values[::2, 0].tolist() == [1] * 6 + [17, 18]
    values = read_label_png(tmp_path / "out" / "labels" / "02000.png")
    assert values[::2, 0].tolist() == [1, 1, 1, 1, 15, 16, 1, 1]


def test_a_transparent_mask_is_refused(faces: Path, tmp_path: Path) -> None:
    """Laid on white it would cover the whole picture."""
    path = faces / "CelebAMask-HQ-mask-anno" / "0" / "00003_hair.png"
    shape = Image.open(path).convert("L")
    opaque = shape.convert("RGBA")
    opaque.save(path)
    plan = celebamask_hq.plan(faces)
    item = next(item for item in plan.items if item.stem == "00003")
    assert (celebamask_hq.draw(item) == 13).all()
    opaque.putalpha(Image.new("L", shape.size, 0))
    opaque.save(path)
    with pytest.raises(InputError, match=r"hair\.png: is partly transparent, expected a mask in"):
        celebamask_hq.draw(item)


def test_faces_train_with_their_names(faces: Path, tmp_path: Path) -> None:
    write_plan(celebamask_hq.plan(faces), faces, tmp_path / "out", workers=2)
    source = FolderPairs(tmp_path / "out")
    assert source.label_set.names == LABEL_SETS["celebamask19"].names
    assert source.label_set.swaps == LABEL_SETS["celebamask19"].swaps
    assert [source.stem(i) for i in range(len(source))] == [
        "00000",
        "00001",
        "00002",
        "00003",
        "02000",
    ]
    report = check_folder(tmp_path / "out")
    assert report.bad == ()
    assert report.splits == {"train": 4, "val": 1}


def test_faces_follow_the_partition_of_celeba(faces: Path, tmp_path: Path) -> None:
    write_mapping(faces, BORDERS)
    plan = celebamask_hq.plan(faces)
    assert names_of(plan) == {
        "00000": "train",
        "00001": "train",
        "00002": "val",
        "00003": "val",
        "02000": "test",
    }
    assert write_plan(plan, faces, tmp_path / "out").splits == {"train": 2, "val": 2, "test": 1}
    assert len(FolderPairs(tmp_path / "out", split="test")) == 1
    assert (tmp_path / "out" / "labels.txt").read_text().splitlines()[3] == "3 eye_g"


def test_a_partition_file_of_celeba_counts_more_than_its_known_limits(faces: Path) -> None:
    write_mapping(faces, BORDERS)
    lines = [f"{number:06d}.jpg {number % 3}\n" for number in BORDERS.values()]
    (faces / "list_eval_partition.txt").write_text("".join(lines))
    splits = names_of(celebamask_hq.plan(faces))
    expected = [("train", "val", "test")[number % 3] for number in BORDERS.values()]
    assert list(splits.values()) == expected
    (faces / "list_eval_partition.txt").write_text("".join(lines[:2]))
    with pytest.raises(InputError, match=r"mapping\.txt, line 4: .* expected an image that"):
        celebamask_hq.plan(faces)


def test_the_folder_above_is_found(faces: Path) -> None:
    assert len(celebamask_hq.plan(faces.parent).items) == 5


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda r: (r / "CelebA-HQ-img" / "3.jpg").unlink(),
            r"0/00003_hair\.png: has no image .*CelebA-HQ-img/3\.jpg",
        ),
        (
            lambda r: (r / "CelebAMask-HQ-mask-anno" / "0" / "00003_hair.png").unlink(),
            r"3\.jpg: has no masks in .*mask-anno",
        ),
        (
            lambda r: mask(r / "CelebAMask-HQ-mask-anno/0/00003_beard.png", slice(2), (8, 8), "L"),
            r"00003_beard\.png: is not a mask of skin, nose",
        ),
        (
            lambda r: mask(r / "CelebAMask-HQ-mask-anno/1/00003_hair.png", slice(2), (8, 8), "L"),
            r"1/00003_hair\.png: is there twice: .*0/00003_hair\.png",
        ),
        (
            lambda r: mask(r / "CelebAMask-HQ-mask-anno/0/00003_skin.png", slice(2), (9, 8), "L"),
            r"00003_hair\.png: is 8x8 but 00003_skin\.png is 9x8 \(height x width\), expected",
        ),
        (
            lambda r: mask(r / "CelebAMask-HQ-mask-anno/0/00003_hair.png", slice(2), (8, 7), "L"),
            r"00003_hair\.png: is 8x7 but .*3\.jpg is 16x16 \(height x width\), expected equal",
        ),
        (
            lambda r: (r / "CelebAMask-HQ-mask-anno" / "0" / "00003_hair.png").write_bytes(b"no"),
            r"00003_hair\.png: cannot be read \(not an image\)",
        ),
        (
            lambda r: (r / "CelebA-HQ-img" / "3.jpg").write_bytes(b"no"),
            r"3\.jpg: cannot be read \(not an image\)",
        ),
        (
            lambda r: write_mapping(r, {0: 1, 1: 2, 2: 3, 2000: 4}),
            r"3\.jpg: is not in .*CelebA-HQ-to-CelebA-mapping\.txt",
        ),
    ],
)
def test_bad_faces_are_named_and_can_be_skipped(
    faces: Path, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(faces)
    out = tmp_path / "out"
    with pytest.raises(InputError, match=rf"1 bad file, nothing.*skip_bad.*{message}") as error:
        write_plan(celebamask_hq.plan(faces), faces, out)
    assert "\n" not in str(error.value)
    assert sorted(os.listdir(tmp_path)) == ["CelebAMask-HQ"]
    done = write_plan(celebamask_hq.plan(faces), faces, out, skip_bad=True)
    assert len(done.bad) == 1
    assert sum(done.splits.values()) in (4, 5)
    assert json.loads((out / "prepared.json").read_text())["left_out"] == [str(done.bad[0])]
    assert check_folder(out).bad == ()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 5", r"line 2: found '0 5', expected 'idx orig_idx orig_file"),
        ("x 5 000006.jpg", r"line 2: found 'x 5 000006\.jpg', expected 'idx"),
        ("0 5 a.jpg", r"line 2: .* expected orig_file between 000001\.jpg and 202599\.jpg"),
        ("0 5 202600.jpg", r"line 2: .* expected orig_file between"),
    ],
)
def test_a_damaged_mapping(faces: Path, line: str, message: str) -> None:
    (faces / CELEBA).write_text(f"idx orig_idx orig_file\n{line}\n")
    with pytest.raises(InputError, match=message):
        celebamask_hq.plan(faces)


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    root = tmp_path / "ADEChallengeData2016"
    for split, kind, count in (("training", "train", 4), ("validation", "val", 2)):
        for i in range(1, count + 1):
            size = (10 + i, 12)
            stem = f"ADE_{kind}_{i:08d}"
            photo(root / "images" / split / f"{stem}.jpg", size, i + 10 * count)
            folder = root / "annotations" / split
            folder.mkdir(parents=True, exist_ok=True)
            values = np.arange(size[0] * size[1]).reshape(size) % 151
            Image.fromarray(values.astype(np.uint8)).save(folder / f"{stem}.png")
    (root / "objectInfo150.txt").write_text("Idx\tRatio\n")
    return root


def test_scenes(scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert write_plan(ade20k.plan(scenes), scenes, out).splits == {"train": 4, "test": 2}
    report = check_folder(out)
    assert report.bad == ()
    assert report.splits == {"train": 3, "val": 1, "test": 2}
    source = FolderPairs(out)
    assert source.label_set.names == LABEL_SETS["ade20k"].names
    for kind, split, official in (("train", "train", "training"), ("val", "test", "validation")):
        name = f"ADE_{kind}_00000002"
        kept = out / split / "labels" / f"{name}.png"
        # Index maps already: the very files.
        assert kept.samefile(scenes / "annotations" / official / f"{name}.png")
        assert (out / split / "images" / f"{name}.jpg").samefile(
            scenes / "images" / official / f"{name}.jpg"
        )


def test_scenes_with_a_label_that_is_none(scenes: Path, tmp_path: Path) -> None:
    path = scenes / "annotations" / "training" / "ADE_train_00000003.png"
    Image.new("L", (12, 13), 151).save(path)
    with pytest.raises(InputError, match=r"00000003\.png: holds 151 .*, expected .* 150"):
        write_plan(ade20k.plan(scenes), scenes, tmp_path / "out")


def test_scenes_without_validation(scenes: Path, tmp_path: Path) -> None:
    (scenes / "images" / "validation").rename(scenes / "images" / "elsewhere")
    assert ade20k.plan(scenes.parent).splits == {"train": 4}


@pytest.fixture
def people(tmp_path: Path) -> Path:
    root = tmp_path / "people"
    for seed, split in enumerate(("train", "test")):
        for i in range(3):
            photo(root / split / "images" / f"{split}.{i}.png", (30, 20), 3 * seed + i)
            folder = root / split / "parsed"
            folder.mkdir(parents=True, exist_ok=True)
            values = np.arange(600).reshape(30, 20) // 30
            picture = Image.fromarray(values.astype(np.uint8)).convert("P")
            picture.putdata(values.ravel().tolist())
            picture.putpalette([7 * i % 256 for i in range(768)])
            picture.save(folder / f"{split}.{i}.png")
    return root


def test_people_have_three_labels(people: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_plan(idesigner.plan(people, "parsed"), people, out)
    report = check_folder(out)
    assert report.bad == ()
    assert report.splits == {"train": 2, "val": 1, "test": 3}
    assert [label.name for label in report.labels] == ["background", "face", "body"]
    # 20 labels of 30 pixels: 1 background; hat, hair, sunglasses and face; 15 others.
    assert [label.pixels for label in report.labels] == [180, 720, 2700]
    values = read_label_png(out / "train" / "labels" / "train.0.png").ravel()[::30]
    face = [1 if i in (1, 2, 4, 13) else 2 for i in range(1, 20)]
    assert values.tolist() == [0, *face]


def test_pixels_without_label_become_255(people: Path, tmp_path: Path) -> None:
    path = people / "train" / "parsed" / "train.1.png"
    Image.new("L", (20, 30), 77).save(path)
    with pytest.raises(InputError, match=r"train\.1\.png: holds 77 .*"):
        write_plan(idesigner.plan(people, "parsed"), people, tmp_path / "out")
    done = write_plan(idesigner.plan(people, "parsed", 77), people, tmp_path / "out")
    assert done.ignore_label == 255
    assert (read_label_png(tmp_path / "out" / "train" / "labels" / "train.1.png") == 255).all()
    assert check_folder(tmp_path / "out", ignore_label=255).unlabelled == 600


def everything(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_a_second_run_says_what_is_there(people: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_plan(idesigner.plan(people, "parsed"), people, out, size=(12, 10))
    before = everything(out)
    message = (
        rf"^{out}: already exists \(idesigner prepared from {people}: 3 train and 3 test "
        r"images, 3 labels, 12x10 \(height x width\)\); choose a new folder$"
    )
    with pytest.raises(InputError, match=message):
        write_plan(idesigner.plan(people, "parsed"), people, out)
    assert everything(out) == before
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: already exists; choose a new folder"):
        write_plan(idesigner.plan(people, "parsed"), people, tmp_path / "empty")
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(InputError, match=r"dangling: already exists"):
        write_plan(idesigner.plan(people, "parsed"), people, tmp_path / "dangling")


@pytest.mark.parametrize("size", [(12, 10), (40, 50)])
def test_resized_once_is_what_training_would_see(
    people: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    write_plan(idesigner.plan(people, "parsed"), people, tmp_path / "own")
    write_plan(idesigner.plan(people, "parsed"), people, tmp_path / "small", size=size)
    own, small = (FolderPairs(tmp_path / name) for name in ("own", "small"))
    for index in range(len(own)):
        image, labels = own.load(index, size)
        image_small, labels_small = small.load(index, size)
        assert (image == image_small).all()
        assert (labels == labels_small).all()
    assert check_folder(tmp_path / "small").sizes["largest"] == size


def test_faces_resized_once_are_what_training_would_see(faces: Path, tmp_path: Path) -> None:
    for name, size in (("own", None), ("small", (5, 7))):
        write_plan(celebamask_hq.plan(faces), faces, tmp_path / name, size=size)
    own, small = (FolderPairs(tmp_path / name) for name in ("own", "small"))
    for index in range(len(own)):
        for a, b in zip(own.load(index, (5, 7)), small.load(index, (5, 7)), strict=True):
            assert (a == b).all()


def test_photographs_are_links_or_copies(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = people / "train" / "images" / "train.1.png"
    plan = idesigner.plan(people, "parsed")

    def made(name: str, copy: bool = False) -> Path:
        write_plan(plan, people, tmp_path / name, copy=copy)
        kept = tmp_path / name / "train" / "images" / "train.1.png"
        assert kept.read_bytes() == original.read_bytes()
        return kept

    assert made("linked").samefile(original)
    assert not made("copied", copy=True).samefile(original)

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refuse)
    assert not made("elsewhere").samefile(original)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(people: Path, tmp_path: Path, workers: int) -> None:
    plan = idesigner.plan(people, "parsed")
    write_plan(plan, people, tmp_path / "a", size=(8, 8))
    write_plan(plan, people, tmp_path / "b", size=(8, 8), workers=workers)
    assert everything(tmp_path / "a") == everything(tmp_path / "b")


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left")])
def test_interrupted_runs_leave_nothing(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    calls = []

    def fail(path: Path, *_: object, **__: object) -> None:
        calls.append(path)
        if len(calls) == 4:
            raise error

    monkeypatch.setattr("scam.data.prepare.write.save_label_png", fail)
    with pytest.raises((KeyboardInterrupt, InputError)) as caught:
        write_plan(idesigner.plan(people, "parsed"), people, tmp_path / "out")
    if isinstance(caught.value, InputError):
        assert str(caught.value) == f"cannot write {tmp_path / 'out'}: No space left"
    assert os.listdir(tmp_path) == ["people"]


def test_what_a_killed_run_left_does_not_matter(people: Path, tmp_path: Path) -> None:
    (tmp_path / ".out.partial" / "train").mkdir(parents=True)
    (tmp_path / ".out.partial" / "train" / "old").touch()
    write_plan(idesigner.plan(people, "parsed"), people, tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["out", "people"]
    assert not (tmp_path / "out" / "train" / "old").exists()


def test_the_source_stays_as_it_was(people: Path, tmp_path: Path) -> None:
    before = everything(people)
    write_plan(idesigner.plan(people, "parsed"), people, tmp_path / "out", size=(8, 8))
    assert everything(people) == before


def test_many_bad_files_end_it_early(tmp_path: Path) -> None:
    root = tmp_path / "people"
    for i in range(130):
        photo(root / "images" / f"{i}.png", (4, 4), i)
        (root / "labels").mkdir(exist_ok=True)
        Image.new("L", (4, 4), 20).save(root / "labels" / f"{i}.png")
    with pytest.raises(InputError, match="at least 100 bad files, nothing was written"):
        write_plan(idesigner.plan(root), root, tmp_path / "out")
    with pytest.raises(InputError, match="130 bad files, nothing was written"):
        write_plan(idesigner.plan(root), root, tmp_path / "out", skip_bad=True)


@pytest.mark.parametrize(
    ("plan", "missing"),
    [
        (celebamask_hq.plan, "CelebA-HQ-img: no such folder, expected the unpacked CelebAMask-HQ"),
        (
            ade20k.plan,
            "images: no such folder, expected the unpacked ADEChallengeData2016",
        ),
        (idesigner.plan, r"images: no such folder, expected one with \.png/\.jpg"),
    ],
)
def test_another_layout_is_refused(plan: Callable[[Path], Plan], missing: str, tmp_path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(InputError, match=missing):
        plan(tmp_path / "photos")


@pytest.mark.parametrize(
    "content", ["[" * 100_000, "7", '{"size": [1], "splits": [], "labels": 2}']
)
def test_any_record_in_a_folder_that_is_there(people: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/prepared.json").write_text(content)
    with pytest.raises(InputError, match="out: already exists; choose a new folder"):
        write_plan(idesigner.plan(people, "parsed"), people, tmp_path / "out")


def test_folders_of_faces_that_may_not_be_read(faces: Path, monkeypatch) -> None:
    known = os.listdir

    def listdir(path: Path) -> list[str]:
        if Path(path).name == "0":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return known(path)

    monkeypatch.setattr(os, "listdir", listdir)
    with pytest.raises(InputError, match=r"mask-anno/0: cannot be read \(Permission denied\)"):
        celebamask_hq.plan(faces)
