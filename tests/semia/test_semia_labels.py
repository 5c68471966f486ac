# SPDX-License-Identifier: Apache-2.0
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from drawings import (
    COLOURS,
    DOOR,
    LABELS,
    SKY,
    coloured,
    photograph,
    recoded,
    smoothed,
)
from PIL import Image, ImageCms

from scam.errors import InputError
from scam.semia.labels import Source, Target, read_source, read_target, read_targets
from scam.semia.vocabulary import Vocabulary

HEIGHT, WIDTH = LABELS.shape
VOCABULARY = Vocabulary("colour", COLOURS)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    photograph().save(tmp_path / "image.png")
    return tmp_path / "image.png"


def kept(
    tmp_path: Path, picture: Image.Image, name: str = "labels.png", **options: object
) -> Path:
    path = tmp_path / name
    picture.save(path, **options)
    return path


def grey(labels: np.ndarray, values: tuple[int, ...]) -> Image.Image:
    kind = np.uint8 if max(values) < 256 else np.uint16
    return Image.fromarray(np.array(values, kind)[labels])


def agreement(found: Source | Target) -> float:
    assert found.labels.dtype == torch.int64
    return float(np.mean(found.labels.numpy() == LABELS))


def one_line(error: pytest.ExceptionInfo[InputError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


class TestSource:
    def test_colours(self, tmp_path: Path, image: Path) -> None:
        source = read_source(image, kept(tmp_path, coloured(LABELS)))
        assert source.image.dtype == torch.uint8
        assert source.image.shape == (3, HEIGHT, WIDTH)
        np.testing.assert_array_equal(source.image.permute(1, 2, 0), np.asarray(photograph()))
        assert source.vocabulary == VOCABULARY
        assert agreement(source) == 1
        assert source.notes == ()

    @pytest.mark.parametrize("values", [(0, 1, 2, 3, 4), (0, 13, 20, 255, 256), (1, 2, 3, 9, 234)])
    def test_index_maps(self, tmp_path: Path, image: Path, values: tuple[int, ...]) -> None:
        path = kept(tmp_path, grey(LABELS, values))
        source = read_source(image, path)
        assert source.vocabulary == Vocabulary("index", values)
        assert agreement(source) == 1
        generated = Image.fromarray(source.vocabulary.as_image(source.labels.numpy()))
        again = read_target(kept(tmp_path, generated, "again.png"), source.vocabulary)
        assert torch.equal(again.labels, source.labels)

    def test_a_palette_png_holds_indices_or_colours(self, tmp_path: Path, image: Path) -> None:
        picture = Image.fromarray(LABELS.astype(np.uint8)).convert("P")
        picture.putpalette([x for c in COLOURS[::-1] for x in (c >> 16, c >> 8 & 255, c & 255)])
        path = kept(tmp_path, picture)
        assert read_source(image, path).vocabulary == Vocabulary("index", (0, 1, 2, 3, 4))
        source = read_source(image, path, as_colours=True)
        assert source.vocabulary == VOCABULARY
        np.testing.assert_array_equal(source.labels, 4 - LABELS)

    @pytest.mark.parametrize(
        ("name", "options"), [("a.png", {}), ("a.jpg", {"quality": 75}), ("a.webp", {})]
    )
    def test_smoothed_and_compressed(
        self, tmp_path: Path, image: Path, name: str, options: dict[str, int]
    ) -> None:
        source = read_source(image, kept(tmp_path, smoothed(), name, **options))
        assert len(source.vocabulary) == 5
        assert len(source.notes) == (name != "a.png")
        generated = source.vocabulary.as_image(source.labels.numpy()).astype(int)
        difference = np.abs(generated - np.asarray(coloured(LABELS)).astype(int)).max(-1)
        assert np.mean(difference <= 12) > 0.995

    def test_holes(self, tmp_path: Path, image: Path) -> None:
        pixels = np.array(coloured(LABELS).convert("RGBA"))
        pixels[30:34, 20:300] = 0
        pixels[40:42, 20:300, 3] = 200
        source = read_source(image, kept(tmp_path, Image.fromarray(pixels)))
        assert source.vocabulary == VOCABULARY
        assert agreement(source) > 0.999
        (note,) = source.notes
        assert "1.3 % transparent" in note

    @pytest.mark.parametrize("broken", [False, True])
    def test_profiles(self, tmp_path: Path, image: Path, camera_rgb: bytes, broken: bool) -> None:
        srgb = ImageCms.createProfile("sRGB")
        target = ImageCms.ImageCmsProfile(BytesIO(camera_rgb))
        picture = ImageCms.profileToProfile(smoothed(), srgb, target)
        assert picture is not None
        profile = camera_rgb[:99] if broken else camera_rgb
        path = kept(tmp_path, smoothed() if broken else picture, icc_profile=profile)
        source = read_source(image, path)
        assert len(source.vocabulary) == 5
        assert agreement(read_target(path, VOCABULARY)) > 0.995
        (note,) = source.notes
        assert ("ignored" if broken else "from the profile Camera RGB to sRGB") in note

    def test_a_photograph_of_16_bits(self, tmp_path: Path) -> None:
        values = np.linspace(0, 65535, HEIGHT * WIDTH).reshape(LABELS.shape)
        image = kept(tmp_path, Image.fromarray(values.astype(np.uint16)), "image.png")
        source = read_source(image, kept(tmp_path, coloured(LABELS)))
        assert source.image.max() == 255
        assert source.notes == (f"{image}: has 16 bits per channel, read as 8",)

    def test_another_size(self, tmp_path: Path, image: Path) -> None:
        path = kept(tmp_path, coloured(LABELS[:-1]))
        with pytest.raises(
            InputError, match=r"is 239x360, expected 240x360 .*, the size of"
        ) as error:
            read_source(image, path)
        assert one_line(error).startswith(str(path))

    @pytest.mark.parametrize("mode", ["L", "RGB"])
    def test_one_label(self, tmp_path: Path, image: Path, mode: str) -> None:
        path = kept(tmp_path, Image.new(mode, (WIDTH, HEIGHT)))
        with pytest.raises(InputError, match=r"one label only \((0|#000000)\), expected two"):
            read_source(image, path)

    def test_a_photograph_as_label_map(self, tmp_path: Path, image: Path) -> None:
        with pytest.raises(InputError, match=r"looks like a photograph \(\d+ colours") as error:
            read_source(image, image)
        assert "exchanged" not in one_line(error)

    def test_image_and_labels_exchanged(self, tmp_path: Path, image: Path) -> None:
        path = kept(tmp_path, smoothed())
        with pytest.raises(InputError, match="looks like one: are the two swapped") as error:
            read_source(path, image)
        assert one_line(error).startswith(str(image))

    def test_index_maps_with_soft_borders(self, tmp_path: Path, image: Path) -> None:
        path = kept(tmp_path, smoothed().convert("L"))
        with pytest.raises(InputError, match=r"without an area.*as_colours=True reads") as error:
            read_source(image, path)
        one_line(error)
        assert len(read_source(image, path, as_colours=True).vocabulary) == 5

    def test_nothing_opaque(self, tmp_path: Path, image: Path) -> None:
        path = kept(tmp_path, Image.new("RGBA", (WIDTH, HEIGHT)))
        with pytest.raises(InputError, match="transparent everywhere"):
            read_source(image, path)

    @pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
    @pytest.mark.parametrize("mode", ["RGB", "L"])
    def test_animations(self, tmp_path: Path, image: Path, name: str, mode: str) -> None:
        frames = [coloured(LABELS).convert(mode), coloured(4 - LABELS).convert(mode)]
        path = kept(tmp_path, frames[0], name, save_all=True, append_images=frames[1:])
        for pair in ((image, path), (path, image)):
            with pytest.raises(InputError, match=r"is animated \(2 frames\), expected a") as error:
                read_source(*pair)
            assert one_line(error).startswith(str(path))

    def test_no_file(self, tmp_path: Path, image: Path) -> None:
        with pytest.raises(InputError, match="cannot be read"):
            read_source(image, tmp_path / "none.png")


class TestTarget:
    @pytest.mark.parametrize("kind", ["exact", "smoothed", "jpeg"])
    def test_colours(self, tmp_path: Path, kind: str) -> None:
        picture = coloured(LABELS) if kind == "exact" else smoothed()
        picture = recoded(picture, quality=75) if kind == "jpeg" else picture
        target = read_target(kept(tmp_path, picture), VOCABULARY)
        assert agreement(target) > 0.995

    def test_another_size(self, tmp_path: Path) -> None:
        labels = LABELS[:, :100].repeat(2, 0)
        path = kept(tmp_path, coloured(labels))
        target = read_target(path, VOCABULARY, source_size=LABELS.shape)
        np.testing.assert_array_equal(target.labels, labels)
        assert target.notes == (f"{path}: is 480x100, the source 240x360 (height x width)",)
        assert read_target(path, VOCABULARY).notes == ()

    def test_labels_may_be_missing(self, tmp_path: Path) -> None:
        path = kept(tmp_path, Image.new("RGB", (9, 5), (0, 253, 255)))
        target = read_target(path, VOCABULARY)
        assert torch.equal(target.labels, torch.full((5, 9), COLOURS.index(SKY)))

    @pytest.mark.parametrize("lossy", [False, True])
    def test_absent_colours(self, tmp_path: Path, lossy: bool) -> None:
        picture = smoothed()
        picture.paste((200, 0, 60), (20, 20, 50, 40))
        if lossy:
            picture = recoded(picture, quality=75)
        path = kept(tmp_path, picture)
        with pytest.raises(InputError, match=r"lacks: #c[0-9a-f]{5} \(0\.[67]\d* %\)") as error:
            read_target(path, VOCABULARY)
        assert "absent='nearest' replaces" in one_line(error)
        target = read_target(path, VOCABULARY, absent="nearest")
        assert agreement(target) > 0.995
        assert "nearest" in target.notes[-1]

    def test_a_colour_between_two_others_is_absent_where_it_has_an_area(
        self, tmp_path: Path
    ) -> None:
        picture = coloured(LABELS)
        picture.paste((0, 253, 128), (20, 20, 40, 40))  # half sky, half field
        with pytest.raises(InputError, match="source lacks: #00fd80"):
            read_target(kept(tmp_path, picture), VOCABULARY)

    def test_absent_values(self, tmp_path: Path) -> None:
        vocabulary = Vocabulary("index", (0, 13, 20, 234))
        path = kept(tmp_path, grey(LABELS, (7, 0, 13, 20, 234)))
        with pytest.raises(InputError, match=r"lacks: 7 \(0\.\d+ %\); expected 0, 13, 20"):
            read_target(path, vocabulary)
        target = read_target(path, vocabulary, absent="nearest")
        assert target.notes[0].endswith("they take the label nearest to them: 13 (100 %)")
        field = target.labels[COLOURS.index(DOOR) == LABELS]
        assert field.unique().tolist() == [1]

    def test_nothing_known(self, tmp_path: Path) -> None:
        path = kept(tmp_path, grey(LABELS * 0, (7,)))
        with pytest.raises(
            InputError, match=r"lacks: 7 \(100 %\), and no other; expected some of 0"
        ):
            read_target(path, Vocabulary("index", (0, 13)), absent="nearest")

    def test_an_index_map_is_expected(self, tmp_path: Path) -> None:
        path = kept(tmp_path, coloured(LABELS))
        with pytest.raises(InputError, match=r"is an image .* `.*scam\.semia train --as-colours`"):
            read_target(path, Vocabulary("index", (0, 13)))

    def test_a_photograph_is_no_index_map(self, image: Path) -> None:
        with pytest.raises(InputError, match="looks like a photograph"):
            read_target(image, Vocabulary("index", (0, 13)))

    def test_scribbles(self, tmp_path: Path) -> None:
        pixels = np.array(coloured(LABELS))
        grain = np.random.default_rng(0).integers(0, 256, (100, 100, 3))
        pixels[60:160, 200:300] = grain
        path = kept(tmp_path, Image.fromarray(pixels))
        with pytest.raises(InputError, match=r"\d+ % of the pixels have no label's colour"):
            read_target(path, VOCABULARY)

    def test_a_photograph(self, image: Path) -> None:
        with pytest.raises(InputError, match="looks like a photograph"):
            read_target(image, VOCABULARY, absent="nearest")

    def test_arguments(self, image: Path) -> None:
        with pytest.raises(InputError, match="absent='ask': expected error or nearest"):
            read_target(image, VOCABULARY, absent="ask")  # type: ignore[arg-type]


class TestTargets:
    def test_files_and_folders(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        for name in ("2.png", "1.png"):
            kept(tmp_path / "a", coloured(LABELS), name)
        (tmp_path / "a" / "notes.txt").write_text("no picture")
        one = kept(tmp_path, coloured(LABELS), "one.png")
        found = read_targets([one, tmp_path / "a"], VOCABULARY)
        assert list(found) == [one, tmp_path / "a" / "1.png", tmp_path / "a" / "2.png"]
        assert all(agreement(target) == 1 for target in found.values())

    def test_none(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"targets=\[\]: expected at least one label map"):
            read_targets([], VOCABULARY)
        with pytest.raises(InputError, match=f"{tmp_path}: holds no image, expected at least"):
            read_targets([tmp_path], VOCABULARY)
