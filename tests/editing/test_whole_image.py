# SPDX-License-Identifier: Apache-2.0
"""A kind of model with one style for the whole image, which only tests have."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scam.data import Mannequins
from scam.editing import load_style, read_style, save_style
from scam.editing.donors import parse_donor
from scam.editing.edit import Edited, Settings, edit
from scam.editing.encoded import encode
from scam.editing.pictures import Picture, to_pixels
from scam.errors import InputError
from scam.evaluation import EvaluationOptions, evaluate
from scam.models import PreparedLabels, Scam, ScamConfig, SynthesisModel
from scam.models.checkpoint import Checkpoint, describe_labels
from scam.models.config import ModelConfig
from scam.models.mixing import Absent
from scam.models.noise import Noise
from scam.models.registry import MODELS
from scam.models.scam.attention_maps import attention_layers
from scam.models.styles import Styles

SIZE = (16, 8)
NAMES = ("background", "hair", "coat")


@dataclass(frozen=True)
class FlatConfig(ModelConfig):
    kind: ClassVar[str] = "flat"


class Flat(SynthesisModel):
    """Its style is the mean colour of the image; labels are shades of it."""

    Config: ClassVar[type[ModelConfig]] = FlatConfig
    styles_per_label: ClassVar[bool] = False

    def __init__(self, config: FlatConfig) -> None:
        super().__init__(config, [-1], 3)
        self.shades = nn.Parameter(torch.linspace(0.5, 1, config.num_labels + 1))
        self.prepared = 0

    def _prepare(self, labels: Tensor, occurring: tuple[int, ...] | None) -> PreparedLabels:
        self.prepared += 1
        return super()._prepare(labels, occurring)

    def _encode(self, image: Tensor, labels: PreparedLabels) -> Tensor:
        return image.mean((2, 3)).unsqueeze(1)

    def _generate(self, labels: PreparedLabels, tokens: Tensor, noise: Noise | None) -> Tensor:
        return tokens[:, 0, :, None, None] * self.shades[labels.labels].unsqueeze(1)


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "flat", Flat)
        yield


def checkpoint() -> Checkpoint:
    model = Flat(FlatConfig(3, SIZE)).eval()
    model.about = {"label_names": list(NAMES)}
    return Checkpoint(Path("x"), model)


def draw(colour: int, *held: int) -> Picture:
    """A picture of one colour, in horizontal bands of the labels ``held``."""
    labels = np.array(held, np.int32)[np.arange(SIZE[0]) * len(held) // SIZE[0]]
    photo = np.full((*SIZE, 3), colour, np.uint8)
    return Picture(photo, np.repeat(labels[:, None], SIZE[1], 1), f"p{colour}")


def transfer(known: Checkpoint, pose: Picture, **settings: object) -> Edited:
    host, subject = draw(200, 0), draw(90, 0, 1)
    home = host, encode(host, known)
    how = Settings(**settings)  # type: ignore[arg-type]
    return edit(known, how, home, encode(subject, known), [], pose.labels)


@pytest.mark.parametrize("absent", ["background", "mean", "error"])
def test_a_transfer_gives_the_whole_style(absent: Absent) -> None:
    """It lacks no label: any map can be generated from it."""
    known, pose = checkpoint(), draw(1, 0, 1, 2)
    edited = transfer(known, pose, absent=absent)
    own = encode(draw(90, 0), known)
    generated = known.model.generate(torch.from_numpy(pose.labels), own)
    assert np.array_equal(edited.pixels, to_pixels(generated[0]))
    assert edited.notes == ()


def test_a_strip_prepares_its_label_map_once() -> None:
    known, pose = checkpoint(), draw(1, 0, 1, 2)
    before = known.model.prepared  # type: ignore[attr-defined]
    transfer(known, pose, steps=2)
    two = known.model.prepared - before  # type: ignore[attr-defined]
    transfer(known, pose, steps=7)
    assert known.model.prepared - before == 2 * two  # type: ignore[attr-defined]


def test_a_donor_of_one_label_is_refused() -> None:
    with pytest.raises(InputError, match="one style for the whole image"):
        parse_donor("hair=p", checkpoint())


def test_a_style_is_kept_and_refused_by_another_kind(tmp_path: Path) -> None:
    known, path = checkpoint(), tmp_path / "anna.safetensors"
    own = encode(draw(90, 0, 1), known)
    save_style(path, known.model, own, "anna.jpg")
    assert torch.equal(load_style(path, known.model).latents.tokens, own.tokens)
    assert read_style(path).kind == "flat"
    scam = Scam(ScamConfig(3, (32, 16), width=16, levels=4, token_dim=8, attention_dim=8))
    with pytest.raises(InputError, match="is a style of a flat model, expected one of a scam"):
        load_style(path, scam)
    of_scam = Styles(torch.zeros(1, *scam.mean_tokens.shape), torch.ones(1, 3, dtype=torch.bool))
    save_style(path, scam, of_scam, "anna.jpg")
    with pytest.raises(InputError, match="is a style of a scam model, expected one of a flat"):
        load_style(path, known.model)


def test_its_attention_cannot_be_drawn() -> None:
    with pytest.raises(InputError, match="whose attention"):
        attention_layers(checkpoint().model)


def test_what_cannot_be_measured_is_said(tmp_path: Path) -> None:
    source = Mannequins("val")
    model = Flat(FlatConfig(len(source.label_set.names), (32, 32)))
    model.about = describe_labels(source)
    model.save_pretrained(tmp_path / "flat")
    rows = evaluate(
        EvaluationOptions(
            tmp_path / "flat", ("detail", "locality", "cycle", "cost"), data="mannequins",
            max_pictures=2, workers=0, device="cpu",
        )
    )  # fmt: skip
    notes = {row.metric: row.note for row in rows if row.value is None}
    assert notes == dict.fromkeys(
        ("locality", "cycle"), "cannot: the model has one style for the whole image"
    )
    assert {row.metric for row in rows} == {"detail", "locality", "cycle", "cost"}
