# SPDX-License-Identifier: Apache-2.0
"""What docs/studio.md says is there, and the parser that can be tried here works."""

import re
from pathlib import Path

import numpy as np
import pytest
from torchvision.models import segmentation

from scam.data import LabelValues
from scam.data.parser import LabelParser
from scam.studio.app import make_app
from scam.studio.flags import studio_parser
from scam.studio.opener import Opener
from scam.studio.session import Session

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "studio.md").read_text()


def test_every_field_is_documented() -> None:
    fields = {"format", *Session.settings()}
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.MULTILINE)) == fields


def test_every_address_is_documented(opener: Opener) -> None:
    named = PAGE.replace("/ID/photo`, `/labels`", "/ID/photo`, `/api/pictures/ID/labels`")
    for route in make_app(opener).routes:
        path = re.sub(r"\{(\w+)\}", lambda name: name[1].upper(), getattr(route, "path", ""))
        path = re.sub(r"/files/.*", "/files/NAME", path)
        if path.startswith("/api"):
            assert f"{path}`" in named, path


def test_every_flag_exists() -> None:
    known = studio_parser("x").format_help() + "--merge --refine --extra --no-build-isolation"
    for flag in set(re.findall(r"--[a-z][a-z-]+", PAGE)):
        assert flag in known


def parser_of(word: str) -> LabelParser:
    """The function of the example in docs/studio.md that holds a word."""
    code = next(x for x in re.findall(r"```python\n(.*?)```", PAGE, re.S) if word in x)
    names: dict[str, object] = {}
    exec(compile(code, "docs/studio.md", "exec"), names)
    return LabelParser("docs", names["label_map"])  # type: ignore[arg-type]


def labels_by(parser: LabelParser, count: int) -> np.ndarray:
    photo = np.random.default_rng(0).integers(0, 256, (60, 41, 3)).astype(np.uint8)
    return parser(photo, LabelValues.build(count))


def test_the_parser_of_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real package with random weights in the place of a download."""
    transformers = pytest.importorskip("transformers")
    network = transformers.SegformerForSemanticSegmentation
    made = network(transformers.SegformerConfig(num_labels=19))
    monkeypatch.setattr(network, "from_pretrained", lambda _: made)
    processor = transformers.SegformerImageProcessor
    monkeypatch.setattr(processor, "from_pretrained", lambda _: processor())
    labels = labels_by(parser_of("Segformer"), 19)
    assert labels.shape == (60, 41)
    assert labels.max() < 19


def test_the_parser_of_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    make = segmentation.deeplabv3_resnet50
    monkeypatch.setattr(
        segmentation,
        "deeplabv3_resnet50",
        lambda weights: make(weights_backbone=None, num_classes=len(weights.meta["categories"])),
    )
    assert labels_by(parser_of("DeepLab"), 2).shape == (60, 41)
