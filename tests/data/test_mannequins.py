# SPDX-License-Identifier: Apache-2.0
import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from scam.data import LABEL_SETS, Mannequins
from scam.data.mannequins.canvas import Canvas, Surface
from scam.data.mannequins.chance import Chance
from scam.data.mannequins.portrait import Portrait, draw
from scam.data.mannequins.shapes import box, ellipse, limb
from scam.data.mannequins.texture import PATTERNS, Texture
from scam.errors import InputError

SIZE = (96, 64)
ID = {name: index for index, name in enumerate(LABEL_SETS["mannequins"].names)}
# Mannequins("train") 7 at 96 x 64: mean colours of 32 x 32 blocks, pixels of each label.
GOLDEN_BLOCKS = [
    [[188, 117, 130], [202, 86, 97]],
    [[164, 90, 104], [205, 144, 151]],
    [[129, 66, 73], [128, 65, 72]],
]
GOLDEN_COUNTS = [4859, 79, 123, 426, 403, 52, 51, 54, 44, 27, 26]
GOLDEN_CHANCE = [553, 658, 1, 293]


def digest(source: Mannequins, index: int, size: tuple[int, int] = SIZE) -> str:
    image, labels = source.load(index, size)
    return hashlib.sha256(image.tobytes() + labels.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    source = Mannequins("train")
    return [source.load(index, SIZE) for index in range(80)]


def test_shapes_and_types(pairs) -> None:
    for image, labels in pairs:
        assert image.shape == (96, 64, 3)
        assert image.dtype == np.uint8
        assert labels.shape == (96, 64)
        assert labels.dtype == np.int32
        assert 0 <= labels.min() <= labels.max() < len(ID)


def test_every_picture_holds_a_person(pairs) -> None:
    for _, labels in pairs:
        share = np.bincount(labels.ravel(), minlength=len(ID)) / labels.size
        assert 0.4 < share[ID["background"]] < 0.95
        for part in ("face", "upper_body", "lower_body"):
            assert share[ID[part]] > 0.008, part
        rows = [np.nonzero(labels == ID[part])[0].mean() for part in ("face", "upper_body")]
        assert rows[0] < rows[1] < np.nonzero(labels == ID["lower_body"])[0].mean()


def test_every_label_occurs_often(pairs) -> None:
    present = np.array([np.bincount(labels.ravel(), minlength=len(ID)) > 0 for _, labels in pairs])
    assert (present.mean(0) > 0.3).all(), dict(zip(ID, present.mean(0), strict=True))


def test_left_is_right_in_the_picture(pairs) -> None:
    for part in ("arm", "leg", "shoe"):
        gaps = []
        for _, labels in pairs:
            left, right = (
                np.nonzero(labels == ID[f"{side}_{part}"])[1] for side in ("left", "right")
            )
            if len(left) and len(right):
                gaps.append(left.mean() - right.mean())
        assert np.mean(np.array(gaps) > 0) > 0.9


def test_pictures_vary(pairs) -> None:
    images = np.stack([image for image, _ in pairs]).astype(float)
    maps = np.stack([labels for _, labels in pairs])
    assert len({labels.tobytes() for labels in maps}) == len(maps)
    # Clothes and walls differ much between pictures, and are not flat within one.
    assert images.mean((1, 2)).std(0).min() > 15
    coats = [image[labels == ID["upper_body"]].std(0).mean() for image, labels in pairs]
    assert np.median(coats) > 20


def test_clothes_and_labels_agree(pairs) -> None:
    """Skin labels are of one colour (up to shading): what a label names is what was drawn."""
    hues = []
    for image, labels in pairs:
        limbs = np.isin(labels, [ID["left_leg"], ID["right_leg"], ID["left_arm"], ID["right_arm"]])
        face = image[labels == ID["face"]].astype(float)
        if limbs.sum() > 60:
            skin = image[limbs].astype(float)
            hues.append(np.abs(np.median(skin, 0) - np.median(face, 0)).max())
    assert len(hues) > 30
    assert np.median(hues) < 20


def test_the_same_for_ever(pairs) -> None:
    """Coarse colours, written down: whoever changes the drawings changes everyone's data."""
    image, labels = pairs[7]
    blocks = image.reshape(3, 32, 2, 32, 3).mean((1, 3)).round().astype(int)
    assert np.abs(blocks - np.array(GOLDEN_BLOCKS)).max() <= 2
    counts = np.bincount(labels.ravel(), minlength=len(ID))
    assert np.abs(counts - np.array(GOLDEN_COUNTS)).max() <= 6


def test_deterministic_by_index_and_across_processes() -> None:
    source = Mannequins("val", seed=3)
    here = [digest(source, index) for index in (5, 0, 63)]
    assert here == [digest(Mannequins("val", seed=3), index) for index in (5, 0, 63)]
    code = (
        "import hashlib; from scam.data import Mannequins; s = Mannequins('val', seed=3)\n"
        "for i in (5, 0, 63):\n"
        "    a, b = s.load(i, (96, 64))\n"
        "    print(hashlib.sha256(a.tobytes() + b.tobytes()).hexdigest())"
    )
    there = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600
    )
    assert there.stdout.split() == here


def test_splits_and_seeds_are_different_streams() -> None:
    digests = {
        digest(Mannequins(split, 12, seed=seed), index, (24, 16))
        for split in ("train", "val")
        for seed in (0, 1)
        for index in range(12)
    }
    assert len(digests) == 48


@pytest.mark.parametrize("size", [(16, 16), (33, 21), (64, 96), (192, 128), (300, 200), (7, 90)])
def test_any_size(size: tuple[int, int]) -> None:
    image, labels = Mannequins("val").load(2, size)
    assert image.shape == (*size, 3)
    assert labels.shape == size


def test_sizes_show_the_same_person() -> None:
    for index in range(6):
        small = Mannequins("val").load(index, (48, 32))
        large = Mannequins("val").load(index, (192, 128))
        reduced = large[0].reshape(48, 4, 32, 4, 3).mean((1, 3))
        assert np.abs(reduced - small[0]).mean() < 6
        assert (large[1][2::4, 2::4] == small[1]).mean() > 0.93


def test_merge() -> None:
    plain, merged = Mannequins("val"), Mannequins("val", merge="body")
    assert merged.label_set.names == ("background", "body")
    assert (merged.load(4, SIZE)[1] == (plain.load(4, SIZE)[1] > 0)).all()


@pytest.mark.parametrize("size", [SIZE, (64, 96), (200, 140)])
def test_a_transfer_to_oneself_changes_nothing(size: tuple[int, int]) -> None:
    source = Mannequins("val", 8, merge="body")
    for index in range(8):
        assert (source.transferred(index, index, size) == source.load(index, size)[0]).all()


def test_a_transfer_keeps_every_outline_of_the_host() -> None:
    source = Mannequins("train", 120)
    for host in range(60):
        subject = 119 - host
        _, labels = source.load(host, SIZE)
        image, found = draw(source._key(host), SIZE, source._key(subject))
        assert (found == labels).all(), (host, subject)
        assert (image == source.transferred(host, subject, SIZE)).all()


def test_glasses_cover_no_label_but_the_face() -> None:
    """Which is why a transfer may put them on and off."""
    source = Mannequins("train", 200)
    for index in range(200):
        portrait = Portrait.sample(source._key(index), 2 / 3)
        without, worn = (
            replace(portrait, figure=replace(portrait.figure, looks=looks)).draw(SIZE)[1]
            for looks in (
                replace(portrait.figure.looks, glasses=on_off) for on_off in (False, True)
            )
        )
        assert (without == worn).all()


def test_a_transfer_has_the_colours_of_the_subject_and_the_scene_of_the_host() -> None:
    source = Mannequins("train", 80)
    to_subject, to_host, scene = [], [], []
    for host in range(40):
        subject = 79 - host
        image, labels = source.load(host, SIZE)
        other, other_labels = source.load(subject, SIZE)
        truth = source.transferred(host, subject, SIZE).astype(float)
        for part in ("upper_body", "hair", "face"):
            here, there = labels == ID[part], other_labels == ID[part]
            colour = truth[here].mean(0)
            to_subject.append(np.abs(colour - other[there].mean(0)).mean())
            to_host.append(np.abs(colour - image[here].mean(0)).mean())
        # A pixel of the scene may hold a third of a shoulder.
        behind = (labels == 0) & ~np.isin(np.roll(labels, 1, 0), range(1, len(ID)))
        scene.append(np.median(np.abs(truth - image)[behind]))
    assert np.median(to_subject) < 10 < 30 < np.median(to_host)
    assert max(scene) == 0


def test_patterns_grow_with_their_wearer() -> None:
    host, subject = (Portrait.sample(key, 2 / 3).figure for key in ("0/train/3", "0/train/5"))
    mixed = host.coloured_as(subject)
    grown = mixed.outfit.upper.period / mixed.pose.scale
    assert grown == pytest.approx(subject.outfit.upper.period / subject.pose.scale)
    assert host.coloured_as(host) == host


def test_what_is_no_index_or_size_is_named() -> None:
    source = Mannequins("val")
    with pytest.raises(InputError, match=r"^size=96: expected \(height, width\), two integers"):
        source.load(0, 96)  # type: ignore[arg-type]
    with pytest.raises(
        InputError, match=r"^index='mannequin_val_00003': expected an integer, 0 to"
    ):
        source.load("mannequin_val_00003", SIZE)  # type: ignore[arg-type]


def test_lengths_and_stems() -> None:
    assert len(Mannequins("train")) == 2048
    assert len(Mannequins("val")) == 64
    source = Mannequins("train", 3)
    assert [source.stem(i) for i in range(3)] == [f"mannequin_train_{i:05d}" for i in range(3)]
    for index in (-1, 3):
        with pytest.raises(IndexError, match=rf"index {index} is outside 0 \.\. 2"):
            source.load(index, SIZE)
        for pair in ((index, 0), (0, index)):
            with pytest.raises(IndexError, match=rf"index {index} is outside 0 \.\. 2"):
                source.transferred(*pair, SIZE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "test"}, "split='test': expected train or val"),
        ({"length": 0}, "length=0: expected 1 or more"),
        ({"seed": -1}, "seed=-1: expected 0 or more"),
    ],
)
def test_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Mannequins(**arguments)


def test_canvas_labels_are_the_majority_and_colours_the_mean() -> None:
    canvas = Canvas((2, 2), light=0.0, fine=3)
    canvas.gradient(0, 1, (30, 30, 30), (30, 30, 30))
    # 6 x 6 fine pixels: four columns of 4 cover all of the left and a third of the right pixels,
    # then 7 takes the lower half of the other two columns. (0.01 keeps off the pixels' borders.)
    canvas.plain(box(-0.5, 0, 1 / 6 - 0.01, 1), (120, 0, 0), label=4)
    canvas.plain(box(1 / 6 + 0.01, 0.51, 0.5, 1), (0, 60, 0), label=7)
    image, labels = canvas.finish()
    assert labels.tolist() == [[4, 0], [4, 7]]
    expected = [[[120, 0, 0], [60, 20, 20]], [[120, 0, 0], [40, 40, 0]]]
    assert np.abs(image.astype(int) - expected).max() <= 1


def test_canvas_shading_darkens_what_it_should() -> None:
    canvas = Canvas((4, 4), light=0.0, fine=2)
    canvas.gradient(0, 1, (100, 100, 100), (100, 100, 100))
    everything = box(-0.5, 0, 0.5, 1)
    canvas.shade_ground(everything, 0.5)
    canvas.plain(box(-0.5, 0, -0.01, 1), (200, 200, 200), label=1)
    canvas.shade_figure(everything, 0.75)
    canvas.plain(box(-0.5, 0, -0.01, 0.49), (200, 200, 200), label=1)
    image, _ = canvas.finish()
    expected = np.array([[200, 200, 50, 50]] * 2 + [[150, 150, 50, 50]] * 2)
    assert np.abs(image[..., 0].astype(int) - expected).max() <= 1


def test_rounded_parts_are_darker_at_their_sides() -> None:
    canvas = Canvas((60, 60), light=0.0, fine=2)
    surface = Surface(Texture("plain", (100, 100, 100)), 0.1j, 1j, 0.2, 0.8, rounding=0.4)
    canvas.fill(limb(0.1j, 0.9j, 0.2, 0.2), surface, 1)
    row = canvas.finish()[0][30, :, 0].astype(int)
    assert row[30] > row[24] > row[19]
    assert abs(row[19] - row[40]) <= 2


@pytest.mark.parametrize("kind", sorted(PATTERNS))
def test_textures_mix_their_colours(kind: str) -> None:
    texture = Texture(kind, (0, 0, 0), (200, 100, 50), (0, 0, 0), period=0.2)
    u, v = (a.ravel().astype(np.float32) for a in np.mgrid[0:2:60j, 0:2:60j])
    colours = texture(u, v)
    assert colours.shape == (3600, 3)
    assert colours.min() == 0
    assert colours.max() == pytest.approx(200)
    np.testing.assert_allclose(colours[:, 0], 2 * colours[:, 1], atol=1e-3)


def test_chance_is_pinned() -> None:
    """Python promises to keep this stream."""
    chance = Chance("scam")
    drawn = [chance.below(1000) for _ in range(4)]
    again = Chance("scam")
    assert drawn == [again.below(1000) for _ in range(4)] == GOLDEN_CHANCE
    assert {Chance(str(i)).pick("ab") for i in range(20)} == {"a", "b"}
    assert all(2 <= Chance(str(i)).between(2, 3) < 3 for i in range(50))
    assert all(abs(Chance(str(i)).around(5, 2) - 5) <= 2 for i in range(50))


def test_outlines() -> None:
    assert ellipse(1 + 1j, 2, 1, points=4) == pytest.approx([3 + 1j, 1 + 2j, -1 + 1j, 1 + 0j])
    outline = limb(0j, 2j, 0.5, 0.25)
    assert max(z.imag for z in outline) == pytest.approx(2.25)
    assert min(z.imag for z in outline) == pytest.approx(-0.5)
    assert max(z.real for z in outline) == pytest.approx(0.5)
    assert limb(1j, 1j, 0.5, 0.5)
