# SPDX-License-Identifier: Apache-2.0
"""What the model's methods are handed is refused by the argument's name."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import scam
from scam import Scam
from scam.data import Mannequins
from scam.errors import InputError
from scam.models import ScamConfig, Styles, attention_maps
from scam.nn.pyramid import LabelPyramid

CONFIG = ScamConfig.preset("tiny", size=(32, 32), latents_per_label=2, background_latents=2)
IMAGE = torch.linspace(-1, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32)
LABELS = (torch.arange(2 * 32 * 32) // 100 % 3).reshape(2, 32, 32)


@pytest.fixture(scope="module")
def model() -> Scam:
    torch.manual_seed(0)
    return Scam(CONFIG).eval()


BAD_IMAGES: dict[str, tuple[Any, str]] = {
    "list": (
        IMAGE.tolist(),
        "is a list: expected a tensor .* floating .*, a PIL image or an",
    ),
    "path": ("a.png", "is a str: expected .*; open_picture reads files"),
    "array": (IMAGE[0].numpy(), r"is an array float32 \(3, 32, 32\): expected uint8 \(H, W, 3\)"),
    "grey array": (np.zeros((32, 32), np.uint8), r"is an array uint8 \(32, 32\): expected"),
    "PIL": (Image.new("RGB", (32, 16)), "is 16x32: .*, and its open_picture resizes to that"),
    "None": (None, "is None: expected"),
    "integers": (IMAGE.int(), "has dtype torch.int32: .* floating in .* or uint8"),
    "uint8 HWC": (torch.zeros(32, 32, 3).byte(), r"has shape \(32, 32, 3\): .*movedim\(-1, -3\)"),
    "double": (IMAGE.double(), "has dtype torch.float64: expected the model's, torch.float32"),
    "half": (IMAGE.half(), "has dtype torch.float16: expected the model's"),
    "complex": (IMAGE.to(torch.complex64), "has dtype torch.complex64"),
    "RGBA": (torch.zeros(2, 4, 32, 32), r"has shape \(2, 4, 32, 32\): .*alpha"),
    "one grey": (torch.zeros(1, 32, 32), r"has shape \(1, 32, 32\): expected"),
    "grey": (torch.zeros(2, 1, 32, 32), r"has shape \(2, 1, 32, 32\): expected"),
    "HWC": (torch.zeros(32, 32, 3), r"has shape \(32, 32, 3\): .*movedim\(-1, -3\)"),
    "empty": (torch.zeros(0, 3, 32, 32), "is empty"),
    "large": (
        IMAGE * 127.5 + 127.5,
        r"holds values from 0 to 255: expected \[-1, 1\]; x / 127.5 - 1 makes",
    ),
    "standardised": (IMAGE * 2.5, r"holds values from -2.5 to 2.5: expected \[-1, 1\]$"),
    "overshot": (IMAGE * 1.1, r"holds values from -1.1 to 1.1: .*; x.clamp\(-1, 1\)"),
    "nan": (IMAGE * math.nan, "holds values that are not finite"),
    "inf": (IMAGE / 0, "holds values that are not finite"),
    "size": (torch.zeros(2, 3, 32, 16), r"is 32x16: this model generates 32x32 \(height x"),
    "meta": (IMAGE.to("meta"), "is on meta: expected cpu"),
    "sparse": (IMAGE.to_sparse(), "is sparse"),
    "batch": (IMAGE[:1], "is of 1 image and .* of 2"),
}
BAD_LABELS: dict[str, tuple[Any, str]] = {
    "float": (LABELS.float(), "has dtype torch.float32: expected an integer tensor"),
    "uint16": (
        LABELS.to(torch.uint16),
        r"has dtype torch.uint16: .* tensor, uint8, .* or int64 \(x.long\(\) makes one\)",
    ),
    "bool": (LABELS > 0, "has dtype torch.bool: expected an integer tensor"),
    "float array": (LABELS[0].float().numpy(), "is an array float32 .*: expected integers"),
    "bool array": (LABELS[0].numpy() > 0, "is an array bool .*: expected integers"),
    "uint64 array": (LABELS[0].numpy().astype(np.uint64) + 2**63, "holds .*: expected 0 to 2"),
    "colours": (Image.new("RGB", (32, 32), "red"), ": is an RGB colour image; convert it"),
    "high": (LABELS + 1, "holds 3: expected 0 to 2"),
    "far too high": (LABELS + 100, "holds 102: expected 0 to 2"),
    "255": (torch.full((2, 32, 32), 255, dtype=torch.uint8), "holds 255: expected 0 to 2"),
    "one-hot": (torch.zeros(2, 3, 32, 32, dtype=torch.int64), "has shape"),
    "empty": (LABELS[:0], "is empty"),
    "size": (LABELS[:, :16], "is 16x32"),
    "list": (LABELS.tolist(), "is a list"),
}


@pytest.mark.parametrize(("image", "words"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_images(model: Scam, image: Any, words: str) -> None:
    for name, call in (
        ("image", lambda: model.encode(image, LABELS)),
        ("image", lambda: model(image, LABELS)),
        ("the subject's image", lambda: model.transfer((image, LABELS), (IMAGE, LABELS))),
        ("the background's image", lambda: model.transfer((IMAGE, LABELS), (image, LABELS))),
    ):
        with pytest.raises(InputError, match=f"^{name} ?{words}"):
            call()


@pytest.mark.parametrize(("labels", "words"), BAD_LABELS.values(), ids=BAD_LABELS)
def test_labels(model: Scam, labels: Any, words: str) -> None:
    latents = model.encode(IMAGE, LABELS)
    pair = (IMAGE, LABELS)
    for name, call in (
        ("labels", lambda: model.encode(IMAGE, labels)),
        ("labels", lambda: model(IMAGE, labels)),
        ("labels", lambda: model.generate(labels, latents)),
        ("labels", lambda: model.transfer(pair, pair, labels=labels)),
        ("the subject's labels", lambda: model.transfer((IMAGE, labels), pair)),
    ):
        with pytest.raises(InputError, match=f"^{name} ?{words}"):
            call()


def test_swapped_label_maps_and_styles(model: Scam) -> None:
    styles = model.encode(IMAGE, LABELS)
    with pytest.raises(InputError, match=r"^labels is a scam Styles: .*maps and styles swapped"):
        model.generate(styles, LABELS)  # type: ignore[arg-type]


def test_labels_by_name(model: Scam) -> None:
    """Names, groups and numbers; without names of their own labels are numbered."""
    known = Scam(CONFIG).eval()
    known.about = {"label_names": ["background", "left_arm", "right_arm"]}
    assert known.labels_of(["Right arm", 0, "right_arm"]) == (2, 0)
    assert known.labels_of("arms") == known.labels_of(torch.tensor([1, 2])) == (1, 2)
    assert known.labels_of("1") == known.labels_of(1) == model.labels_of("label_1") == (1,)
    pair = (IMAGE, LABELS)
    by_number = known.transfer(pair, pair, background_labels=[0, 1, 2])
    by_name = known.transfer(pair, pair, background_labels=["background", "arms"])
    assert torch.equal(by_name, by_number)
    expected = "expected one of background, left_arm, right_arm, a group of them .*, or 0 to 2"
    for wrong in ([3], -1, 0.0, [True], None, "hat", [["arms"]]):
        with pytest.raises(InputError, match=f"^background_labels: label .*: {expected}$"):
            known.transfer(pair, pair, background_labels=wrong)  # type: ignore[arg-type]


def test_a_mistyped_label_is_answered_with_the_nearest() -> None:
    known = Scam(CONFIG)
    known.about = {"label_names": ["background", "left_arm", "right_arm"]}
    with pytest.raises(InputError, match=r"or 0 to 2; did you mean left_arm\?$"):
        known.labels_of("left_amr")


def test_latents_and_the_rest(model: Scam) -> None:
    latents = model.encode(IMAGE, LABELS)
    tokens, present = latents.tokens, latents.present
    spoilt = tokens.detach().clone()
    spoilt[0, 0, 0] = math.nan
    pair = (IMAGE, LABELS)
    small = LabelPyramid.build(LABELS[:, :16], CONFIG.num_labels, CONFIG.levels)
    for words, call in (
        ("styles is a torch Tensor", lambda: model.generate(LABELS, tokens)),
        ("styles.tokens has shape", lambda: model.generate(LABELS, Styles(tokens[0], present))),
        (
            "styles.tokens has shape",
            lambda: model.generate(LABELS, Styles(tokens[:, :3], present)),
        ),
        (
            "styles.present has dtype",
            lambda: model.generate(LABELS, Styles(tokens, present.int())),
        ),
        ("styles is of 3 images", lambda: model.generate(LABELS, latents[[0, 0, 1]])),
        ("styles.tokens: 1 of", lambda: model.generate(LABELS, Styles(spoilt, present))),
        (
            "styles.tokens has dtype torch.float64",
            lambda: model.generate(LABELS, Styles(tokens.double(), present)),
        ),
        ("noise has 1 generators", lambda: model.generate(LABELS, latents, [torch.Generator()])),
        ("wanted is a list", lambda: model.mix(latents, latents, present.tolist())),
        ("wanted has dtype", lambda: model.mix(latents, latents, present.int())),
        ("wanted has shape", lambda: model.mix(latents, latents, present[0])),
        ("wanted has shape", lambda: model.mix(latents, latents, present[:, :2])),
        ("noise is an int", lambda: model.generate(LABELS, latents, 3)),
        ("subject is a torch Tensor", lambda: model.transfer(IMAGE, pair)),
        ("background is a tuple", lambda: model.transfer(pair, (*pair, 1))),
        (
            "background_labels: label 3: expected one of label_0,",
            lambda: model.transfer(pair, pair, background_labels=[3]),
        ),
        (
            "background_labels: label 0.0:",
            lambda: model.transfer(pair, pair, background_labels=[0.0]),
        ),
        (
            "background_labels: label True:",
            lambda: model.transfer(pair, pair, background_labels=[True]),
        ),
        (
            "background_labels: label 'x':",
            lambda: model.transfer(pair, pair, background_labels="x"),
        ),
        (
            "background_labels: label None:",
            lambda: model.transfer(pair, pair, background_labels=None),
        ),
        ("wanted is a list", lambda: model.mix(latents, latents, [[True] * 3] * 2)),
        ("wanted has dtype", lambda: model.mix(latents, latents, present.int())),
        (r"wanted has shape \(2, 2\)", lambda: model.mix(latents, latents, present[:, :2])),
        (r"wanted has shape \(3,\)", lambda: model.mix(latents, latents, present[0])),
        ("subject is of 2 images", lambda: model.mix(latents, latents, present[[0, 0, 1]])),
        ("labels has levels of 16x32", lambda: model.generate(small, latents)),
        ("styles is a torch Tensor", lambda: model.generate(model.prepare(LABELS), tokens)),
        (
            "styles is of 3 images",
            lambda: model.generate(model.prepare(LABELS), latents[[0, 0, 1]]),
        ),
        ("noise is an int", lambda: model.generate(model.prepare(LABELS), latents, 3)),
        ("labels has levels", lambda: model(IMAGE, small)),
        ("kept has dtype", lambda: model(IMAGE, LABELS, None, present.int())),
        ("kept is of 3 images", lambda: model(IMAGE, LABELS, None, present[[0, 0, 1]])),
        ("labels has dtype", lambda: model.prepare(LABELS.float())),
        ("labels is a list", lambda: model.prepare(LABELS.tolist())),
        ("labels holds 102", lambda: model.prepare(LABELS + 100)),
        (r"occurring=\[0, 9\]: expected labels 0 to 2", lambda: model.prepare(LABELS, (0, 9))),
        (r"occurring=\[0, 2\]: expected also 1", lambda: model.prepare(LABELS, (0, 2))),
        ("image holds", lambda: model.encode(IMAGE * 2, model.prepare(LABELS))),
        ("labels is 16x32", lambda: model.prepare(LABELS[:, :16])),
        ("layers='encoder.0': expected a list", lambda: attention_maps(model, *pair, "encoder.0")),
        ("layers=3: expected a list", lambda: attention_maps(model, *pair, 3)),
        ("a model of kind 'int'", lambda: attention_maps(3, *pair)),
        ("absent='never'", lambda: model.transfer(pair, pair, absent="never")),
    ):
        with pytest.raises(InputError, match=f"^{words}"):
            call()


@torch.no_grad()
def test_what_fits_is_taken_in_any_layout(model: Scam) -> None:
    expected = model.encode(IMAGE, LABELS).tokens
    strided = IMAGE.permute(2, 3, 0, 1).contiguous().permute(2, 3, 0, 1)
    for image in (strided, IMAGE.to(memory_format=torch.channels_last), IMAGE.requires_grad_()):
        for dtype in (torch.uint8, torch.int8, torch.int16, torch.int32):
            found = model.encode(image, LABELS.to(dtype).mT.contiguous().mT).tokens
            assert torch.allclose(found, expected, atol=1e-5)
    IMAGE.requires_grad_(False)
    one = model.encode(IMAGE[0], torch.from_numpy(np.full((32, 32), -1)))
    assert not one.present.any()


def test_an_image_of_several_stays_a_batch(model: Scam) -> None:
    styles = model.encode(IMAGE, LABELS)
    mask = torch.tensor([False, True])
    for index in (1, np.int64(1), torch.tensor(1), [1], slice(1, None), mask):
        one = styles[index]
        assert len(one) == 1
        assert torch.equal(one.tokens, styles.tokens[1:])
        assert torch.equal(one.present, styles.present[1:])
    assert [len(one) for one in styles] == [1, 1]  # type: ignore[attr-defined]


@torch.no_grad()
def test_images_of_pil_and_arrays_are_what_their_tensors_are(model: Scam) -> None:
    pixels = ((IMAGE[0] + 1) * 127.5).round().byte()
    expected = model.encode(pixels / 127.5 - 1, LABELS[0])
    array = pixels.permute(1, 2, 0).numpy()
    index = LABELS[0].numpy()
    for image, labels in (
        (array, index),
        (array[::-1][::-1], index.astype(np.uint64)),
        (Image.fromarray(array), Image.fromarray(index.astype(np.uint8))),
        (Image.fromarray(array).convert("RGBA"), Image.fromarray(index.astype(np.uint16))),
        (pixels / 127.5 - 1.005, np.asfortranarray(index.astype(">i2"))),  # within rounding
    ):
        found = model.encode(image, labels)
        assert torch.allclose(found.tokens, expected.tokens, atol=1e-1)
        assert torch.equal(found.present, expected.present)
        again = model.transfer((image, labels), (array, index), labels=labels)
        assert again.shape == (1, 3, 32, 32)
    for same in (array, torch.from_numpy(array).permute(2, 0, 1)):
        assert torch.equal(model.encode(same, index).tokens, expected.tokens)


@torch.no_grad()
def test_who_vouches_for_labels_waits_for_nobody(model: Scam) -> None:
    """As training does: the data layer has looked at them."""
    assert not model.prepare(LABELS + 100, values=False).present.any()
    prepared = model.prepare(LABELS, (2, 0, 1), values=False)
    assert prepared.occurring == (0, 1, 2)
    assert model.reconstruct(IMAGE * 2, prepared).image.isfinite().all()


def test_one_person_under_several_label_maps() -> None:
    model = scam.load("demo")
    source = Mannequins("val")
    (image, labels), (_, other) = (source.load(i, model.config.size) for i in (5, 6))
    styles = model.encode(image, labels)
    maps = torch.tensor(np.stack([labels, other]))
    with torch.no_grad():
        both = model.generate(maps, styles)
        for one, alone in zip(both, maps, strict=True):
            assert torch.allclose(one, model.generate(alone, styles)[0], atol=1e-5)
