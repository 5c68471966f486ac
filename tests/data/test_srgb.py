# SPDX-License-Identifier: Apache-2.0
"""Colour profiles: kept beside the pixels, applied where asked for, never trusted."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from scam.data.container import take_apart
from scam.data.picture import opened, read_image
from scam.data.srgb import to_srgb

COLOURS = np.array([[0, 253, 255], [0, 249, 0], [255, 147, 0], [12, 40, 200]], np.uint8)
PIXELS = COLOURS[np.arange(24).reshape(4, 6) % 4]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
BROKEN = b"no profile at all" * 20


def in_profile(profile: bytes) -> Image.Image:
    """PIXELS in the numbers of another profile."""
    source, target = ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(BytesIO(profile))
    converted = ImageCms.profileToProfile(Image.fromarray(PIXELS), source, target)
    assert converted is not None
    return converted


def written(picture: Image.Image, kind: str, profile: bytes, **options: object) -> bytes:
    file = BytesIO()
    picture.save(file, kind, icc_profile=profile, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(
    "profile", [SRGB, BROKEN, bytes(range(250)) * 600], ids=["srgb", "nonsense", "long"]
)
def test_profiles_are_kept_beside_the_pixels(kind: str, profile: bytes) -> None:
    found = take_apart(written(Image.fromarray(PIXELS), kind, profile))
    assert found.profile == profile
    assert kind == "WEBP" or profile not in found.pixels


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_none(kind: str) -> None:
    found = take_apart(written(Image.fromarray(PIXELS), kind, b""))
    assert found.profile == b""
    assert found.frames == 1


def test_a_profile_that_would_fill_the_memory_is_cut() -> None:
    body = b"bomb\0\0" + zlib.compress(bytes(1 << 26), 9)
    chunk = struct.pack(">I4s", len(body), b"iCCP") + body + bytes(4)
    data = written(Image.fromarray(PIXELS), "PNG", b"")
    assert len(take_apart(data[:33] + chunk + data[33:]).profile) == 1 << 22


@pytest.mark.parametrize("body", [b"", b"name", b"name\0", b"name\0\0xyz", b"\0" * 9])
def test_iccp_chunks_of_nonsense(body: bytes) -> None:
    chunk = struct.pack(">I4s", len(body), b"iCCP") + body + bytes(4)
    data = written(Image.fromarray(PIXELS), "PNG", b"")
    assert take_apart(data[:33] + chunk + data[33:]).profile == b""


def test_the_frames_of_an_animated_png() -> None:
    frames = [Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1].copy())]
    data = written(frames[0], "PNG", b"", save_all=True, append_images=frames[1:])
    assert take_apart(data).frames == 2


def test_colours_become_those_of_srgb(camera_rgb: bytes) -> None:
    raw = in_profile(camera_rgb)
    assert np.abs(np.asarray(raw).astype(int) - PIXELS).max() > 30
    picture, said = to_srgb(raw, camera_rgb)
    assert np.abs(np.asarray(picture).astype(int) - PIXELS).max() <= 6  # dark red, with 8 bits
    assert said == "its colours are converted from the profile Camera RGB to sRGB"


@pytest.mark.parametrize("profile", [b"", SRGB], ids=["none", "srgb"])
def test_srgb_stays_as_it_is(profile: bytes) -> None:
    picture = Image.fromarray(PIXELS)
    assert to_srgb(picture, profile) == (picture, None)


@pytest.mark.parametrize(
    "profile",
    [BROKEN, SRGB[:100], SRGB[:300], b"\0"],
    ids=["nonsense", "100 bytes", "300 bytes", "a byte"],  # a profile holds the time it was made
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_broken_profiles_are_ignored(profile: bytes, mode: str) -> None:
    picture = Image.fromarray(PIXELS).convert(mode)
    assert to_srgb(picture, profile) == (
        picture,
        "its colour profile cannot be used and is ignored",
    )


def test_a_profile_for_another_kind_of_picture_is_ignored(camera_rgb: bytes) -> None:
    picture = Image.fromarray(PIXELS).convert("L")
    found, said = to_srgb(picture, camera_rgb)
    assert found is picture
    assert said is not None


def test_other_readers_take_the_numbers_as_they_are(tmp_path: Path, camera_rgb: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(written(in_profile(camera_rgb), "PNG", camera_rgb))
    picture, _ = read_image(path)
    np.testing.assert_array_equal(picture, in_profile(camera_rgb))
    with opened(path) as (_, file):
        assert file.profile == camera_rgb
