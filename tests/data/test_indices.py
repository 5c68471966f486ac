# SPDX-License-Identifier: Apache-2.0
"""Label maps whose values are not ids: what check advises is run, and must keep the meaning."""

import re
import shlex
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from scam.data import FolderPairs
from scam.data.__main__ import main
from scam.data.check import check_folder
from scam.data.prepare import write_plan
from scam.data.prepare.indices import plan
from scam.data.report import report_text
from scam.errors import InputError

SIZE = (40, 30)


def truth(labels: int, seed: int) -> np.ndarray:
    """Ids 0 .. labels - 1 in blocks; the larger areas are of the higher ids."""
    ids = np.full(SIZE, labels - 1)
    for index in range(labels - 1):
        ids[(4 * index + seed) % 36 :][:4, index % 5 * 6 :][:, :6] = index
    return ids


def png(values: np.ndarray, kind: int, depth: int = 16) -> bytes:
    """A png of any kind of colour: PIL writes none of 16 bits per channel."""
    raw = values.astype(">u2" if depth == 16 else "u1").reshape(len(values), -1)
    rows = b"".join(b"\0" + row.tobytes() for row in raw)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], depth, kind, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


Save = Callable[[Path, np.ndarray], object]


def folder(root: Path, save: Save, labels: int, count: int = 3, suffix: str = "png") -> Path:
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
    for i in range(count):
        ids = truth(labels, i)
        Image.fromarray(np.full((*SIZE, 3), 40 * i, np.uint8)).save(root / f"images/p{i}.png")
        save(root / f"labels/p{i}.{suffix}", ids)
    return root


def grey(ids: np.ndarray) -> Image.Image:
    return Image.fromarray(ids.astype(np.uint8))


def spread_over(values: list[int]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda ids: np.array(values)[ids]


def channels(mode: str) -> Save:
    return lambda path, ids: grey(spread_over([0, 13, 2])(ids)).convert(mode).save(path)


def wide(kind: int, values: list[int], alpha: bool = False) -> Save:
    def save(path: Path, ids: np.ndarray) -> None:
        greys = [spread_over(values)(ids)] * {0: 1, 2: 3, 4: 1, 6: 3}[kind]
        stack = np.stack([*greys, np.full(SIZE, 65535)] if alpha else greys, -1)
        path.write_bytes(png(stack, kind))

    return save


def times(factor: int) -> Save:
    return lambda path, ids: Image.fromarray(
        (ids * factor).astype(np.uint8 if ids.max() * factor < 256 else np.uint16)
    ).save(path)


def as_values(values: list[int]) -> Save:
    return lambda path, ids: Image.fromarray(
        np.array(values, np.uint16 if max(values) > 255 else np.uint8)[ids]
    ).save(path)


def jpeg(path: Path, ids: np.ndarray) -> None:
    grey(ids * 255).save(path, format="JPEG", quality=92)


def blurred(path: Path, ids: np.ndarray) -> None:
    picture = grey(ids * 255).filter(ImageFilter.GaussianBlur(0.6))
    Image.fromarray(np.asarray(picture)).save(path)


ADVICE = [
    # encoding, labels, the id that each true one has in the end, flags that are advised
    ("mask 0 255", times(255), 2, [0, 1], "--divide 255"),
    ("mask 0 65535", times(65535), 2, [0, 1], "--divide 65535"),
    ("mask 0 128", times(128), 2, [0, 1], "--divide 128"),
    ("mask 0 254", times(254), 2, [0, 1], "--divide 254"),
    ("times 10", times(10), 19, list(range(19)), "--divide 10"),
    ("times 20", times(20), 3, [0, 1, 2], "--divide 20"),
    ("times 10, few", times(10), 3, [0, 1, 2], "--divide 10"),
    ("times 2", times(2), 19, list(range(19)), "--divide 2"),
    ("times 256", times(256), 19, list(range(19)), "--divide 256"),
    ("times 257", times(257), 19, list(range(19)), "--divide 257"),
    ("0 117 234", as_values([0, 117, 234]), 3, [0, 1, 2], "--divide 117"),
    ("sparse", as_values([0, 234, 13]), 3, [0, 2, 1], "--dense"),
    ("trimap", as_values([0, 128, 255]), 3, [0, 1, 2], "--dense"),
    ("sparse, 16 bits", as_values([3, 700, 41, 12000]), 4, [0, 2, 1, 3], "--dense"),
    ("RGB", channels("RGB"), 3, [0, 13, 2], ""),
    ("RGBA", channels("RGBA"), 3, [0, 13, 2], ""),
    ("LA", channels("LA"), 3, [0, 13, 2], ""),
    ("RGB mask", lambda p, ids: grey(ids * 255).convert("RGB").save(p), 2, [0, 1], "--divide 255"),
    ("RGB, 16 bits", wide(2, [0, 13, 2]), 3, [0, 13, 2], ""),
    ("RGBA, 16 bits", wide(6, [0, 13, 2], alpha=True), 3, [0, 13, 2], ""),
    ("LA, 16 bits", wide(4, [0, 13, 2], alpha=True), 3, [0, 13, 2], ""),
    ("RGB, times 257", wide(2, [0, 257, 514]), 3, [0, 1, 2], "--divide 257"),
    ("RGB, high ids", wide(2, [0, 300, 301]), 3, [0, 1, 2], "--dense"),
    ("jpeg", jpeg, 2, None, "--threshold 128"),
    ("smoothed", blurred, 2, None, "--threshold 128"),
    ("0 254 255", as_values([0, 255, 254]), 3, [0, 1, 1], "--threshold 128"),
    (
        "void and tens",
        as_values([*range(0, 190, 10), 255]),
        20,
        [*range(19), -1],
        "--divide 10 --ig",
    ),
]


@pytest.mark.parametrize(
    ("save", "labels", "ids", "flags"), [row[1:] for row in ADVICE], ids=[row[0] for row in ADVICE]
)
def test_the_advised_command_keeps_the_meaning(
    tmp_path: Path, save: Save, labels: int, ids: list[int] | None, flags: str
) -> None:
    root = folder(tmp_path / "set of maps", save, labels)
    report = check_folder(root)
    assert report.bad
    with pytest.raises(InputError) as refused:
        FolderPairs(root, split="train")
    text = report_text(report)
    assert "palette" not in text
    commands = re.findall(r"python -m scam\.data prepare .*", text)
    assert len(commands) == 1
    assert flags in commands[0]
    assert commands[0].partition(" --")[0] in str(refused.value)
    words = shlex.split(commands[0])
    main([*words[3:], "--workers", "1"])
    out = tmp_path / "set of maps_indexed"
    assert words[5:7] == [str(root), str(out)]
    ignore = 255 if "--ignore-label" in flags or "--ig" in flags else None
    assert check_folder(out, ignore_label=ignore).bad == ()
    source = FolderPairs(out, ignore_label=ignore)
    for i in range(len(source)):
        found, true = source.load(i, SIZE)[1], truth(labels, i)
        if ids is None:
            assert (found == true).mean() > 0.98
        else:
            assert (found == np.array(ids)[true]).all()


@pytest.mark.parametrize(
    ("save", "labels", "arguments"),
    [
        (lambda p, ids: grey(ids).convert("1", dither=0).save(p), 2, {}),
        (times(1), 19, {}),
        (as_values([*range(34), 255]), 35, {"ignore_label": 255}),
        (as_values([*range(19), 255]), 20, {"ignore_label": 255}),
        (as_values(list(range(1, 20))), 19, {}),
        (as_values(list(range(0, 20))), 20, {"ignore_label": 0}),
        (as_values([0, 2]), 2, {}),
        (as_values([0, 13, 2]), 3, {}),
        (as_values([0, 234, 13]), 3, {"label_set": "ade20k", "ignore_label": 234}),
    ],
)
def test_ids_are_left_alone(tmp_path: Path, save: Save, labels: int, arguments: dict) -> None:
    root = folder(tmp_path / "set", save, labels)
    report = check_folder(root, **arguments)
    assert report.bad == report.advice == ()
    FolderPairs(root, split="train", **arguments).load(0, SIZE)


def test_void_beside_ids_may_be_ignored_or_numbered(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", as_values([*range(19), 255]), 20)
    report = check_folder(root)
    assert {text for _, text in report.bad_lines()} == {
        f"holds 255 ({(truth(20, i) == 19).sum()} pixels), expected labels 0 .. 18"
        for i in range(3)
    }
    (advice,) = report.advice
    assert re.match(
        r"255 is \d\d % of the pixels: if they have no label, give ignore_label", advice
    )
    with pytest.raises(InputError, match=r"expected labels 0 \.\. 18; ") as refused:
        FolderPairs(root, split="train")
    assert str(refused.value).endswith(advice)
    main([*shlex.split(advice[advice.index("python") :])[3:], "--workers", "1"])
    assert (FolderPairs(tmp_path / "set_indexed").load(0, SIZE)[1] == truth(20, 0)).all()


@pytest.mark.parametrize(
    "names", ["0 rest\n13 left arm\n234 right arm\n", "234,b\n13,a\n0,r\n7,x\n"]
)
def test_sparse_ids_keep_their_names(tmp_path: Path, names: str) -> None:
    root = folder(tmp_path / "set", as_values([0, 13, 234]), 3)
    (root / "labels.txt").write_text(names)
    with pytest.raises(InputError, match="id 1 is missing while 234") as refused:
        check_folder(root)
    with pytest.raises(InputError) as also:
        FolderPairs(root, split="train")
    assert str(also.value) == str(refused.value)
    command = re.search(r"python .* --dense", str(refused.value))
    assert command
    main([*shlex.split(command[0])[3:], "--workers", "1"])
    made = FolderPairs(tmp_path / "set_indexed")
    named = dict(line.replace(",", " ").split(" ", 1) for line in names.splitlines())
    for value, index in ((0, 0), (13, 1), (234, 2)):
        found = np.unique(made.load(0, SIZE)[1][truth(3, 0) == index])
        assert [made.label_set.names[i] for i in found] == [named[str(value)]]
    assert "values of the source" in (tmp_path / "set_indexed/labels.txt").read_text()


def test_a_mask_with_names(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", times(255), 2)
    (root / "labels.txt").write_text("0 background\n1 person\n")
    text = report_text(check_folder(root))
    command = re.search(r"python .* --divide 255", text)
    assert command
    main([*shlex.split(command[0])[3:], "--workers", "1"])
    assert FolderPairs(tmp_path / "set_indexed").label_set.names == ("background", "person")
    assert (FolderPairs(tmp_path / "set_indexed").load(1, SIZE)[1] == truth(2, 1)).all()


@pytest.mark.parametrize("mode", ["I;16B", "int32", "float32"])
def test_tiff_maps(tmp_path: Path, mode: str) -> None:
    def save(path: Path, ids: np.ndarray) -> None:
        if mode == "I;16B":
            values = ids.astype(">u2").tobytes()
            picture = Image.frombytes(mode, SIZE[::-1], values)
        else:
            picture = Image.fromarray((ids - 1).astype(mode))
        picture.save(path)

    root = folder(tmp_path / "set", save, 5, suffix="tif")
    ignore = None if mode == "I;16B" else -1
    done = write_plan(plan(root, ignore_label=ignore), root, tmp_path / "out")
    source = FolderPairs(tmp_path / "out", ignore_label=done.ignore_label)
    expected = truth(5, 2) + (0 if ignore is None else -1)
    assert (source.load(2, SIZE)[1] == expected).all()
    if ignore is not None:
        with pytest.raises(InputError, match=r"p0\.tif: holds -1 \(24 pixels\), expected labels"):
            write_plan(plan(root), root, tmp_path / "again")


def test_indices_of_a_palette_are_ids_whatever_the_colours(tmp_path: Path) -> None:
    def save(path: Path, ids: np.ndarray) -> None:
        picture = grey(ids).convert("P")
        picture.putdata(ids.ravel().tolist())
        picture.putpalette([value for i in range(256) for value in [(90 * i) % 256] * 3])
        picture.save(path)

    root = folder(tmp_path / "set", save, 3)
    write_plan(plan(root), root, tmp_path / "out")
    assert (FolderPairs(tmp_path / "out").load(0, SIZE)[1] == truth(3, 0)).all()


@pytest.mark.parametrize(
    ("save", "labels", "arguments", "message"),
    [
        (times(255), 2, {}, r"^\S+set: label maps hold 0 and 255 only, .* --divide 255$"),
        (as_values([0, 234, 13]), 3, {}, r"label maps hold 3 of the ids .* --dense$"),
        (
            as_values([0, 1, 255]),
            3,
            {},
            r"label maps hold 255 \(\d+ pixels\) beside labels 0 \.\. 1",
        ),
        (
            as_values([0, 10, 25]),
            3,
            {"divide": 10},
            r"holds 25 \(\d+ pixels\), expected labels times",
        ),
        (times(1), 3, {"divide": 0}, r"^divide=0: expected 1 \.\. 65535$"),
        (times(1), 3, {"threshold": 70000}, r"^threshold=70000: expected 1 \.\. 65535$"),
        (
            times(1),
            3,
            {"divide": 2, "dense": True},
            r"^divide and dense: expected one of them$",
        ),
        (
            times(1),
            3,
            {"label_set": "lip20", "dense": True},
            r"^label_set='lip20': expected no dense",
        ),
        (
            as_values([0, 9, 20]),
            3,
            {"label_set": "lip20"},
            r"holds 20 \(\d+ pixels\), expected labels",
        ),
        (
            lambda p, ids: Image.fromarray(
                np.stack([ids, ids, 0 * ids], -1).astype(np.uint8)
            ).save(p),
            3,
            {},
            r"p0\.png: is an image in colours, expected greys",
        ),
        (lambda p, _: p.write_bytes(b"no"), 3, {}, r"p0\.png: cannot be read \(not an image\)"),
        (
            lambda p, ids: Image.merge("LA", [grey(ids), grey(ids)]).save(p),
            3,
            {},
            r"p0\.png: is partly transparent",
        ),
        (
            lambda p, _: Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(SIZE)).save(p),
            3,
            {},
            r"p0\.png: holds 1200 values, expected 1024 labels at most",
        ),
    ],
)
def test_what_is_no_id_is_refused(
    tmp_path: Path, save: Save, labels: int, arguments: dict, message: str
) -> None:
    root = folder(tmp_path / "set", save, labels)
    with pytest.raises(InputError, match=message) as caught:
        write_plan(plan(root, **arguments), root, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_one_bad_picture_can_be_left_out(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", times(255), 2)
    (root / "labels" / "p1.png").write_bytes(b"no")
    done = write_plan(plan(root, divide=255), root, tmp_path / "out", skip_bad=True)
    assert len(done.bad) == 1
    assert check_folder(tmp_path / "out").splits == {"train": 1, "val": 1}
