# SPDX-License-Identifier: Apache-2.0
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from scam.editing import fingerprint, load_style, read_style, save_style
from scam.errors import InputError, printable
from scam.models import Scam, ScamConfig
from scam.models.styles import Styles

CONFIG = ScamConfig(3, (32, 16), width=16, levels=4, latents_per_label=2, background_latents=3,
                     token_dim=8, attention_dim=8)  # fmt: skip
NAMES = ("background", "hair", "coat")


@pytest.fixture(scope="module")
def model() -> Scam:
    torch.manual_seed(0)
    model = Scam(CONFIG).eval()
    model.about = {"label_names": list(NAMES)}
    return model


def latents() -> Styles:
    return Styles(torch.randn(1, 7, 8), torch.tensor([[True, False, True]]))


def test_what_is_saved_is_loaded(model: Scam, tmp_path: Path) -> None:
    path, given = tmp_path / "library" / "anna.safetensors", latents()
    photo = np.full((32, 16, 3), 77, np.uint8)
    save_style(path, model, given, "anna.jpg", photo)
    style = load_style(path, model)
    assert torch.equal(style.latents.tokens, given.tokens)
    assert torch.equal(style.latents.present, given.present)
    assert (style.name, style.source, style.labels) == ("anna", "anna.jpg", ["background", "coat"])
    thumbnail = style.thumbnail((8, 4))
    assert thumbnail is not None
    assert np.array_equal(thumbnail, photo[:8, :4])
    path.with_suffix(".png").unlink()
    assert style.thumbnail((8, 4)) is None


def test_a_fingerprint_is_of_the_weights_that_generate(model: Scam) -> None:
    ours = fingerprint(model)
    assert ours == fingerprint(model)
    twin = Scam(CONFIG, fused=False)
    twin.load_state_dict(model.state_dict())
    assert fingerprint(twin) == ours
    twin.mean_tokens += 1
    assert fingerprint(twin) == ours
    with torch.no_grad():
        last = list(twin.generator.parameters())[-1]
        last[0] = torch.nextafter(last[0], last[0] + 1)
    assert fingerprint(twin) != ours


def test_a_style_of_another_model_is_refused(model: Scam, tmp_path: Path) -> None:
    path = tmp_path / "anna.safetensors"
    save_style(path, model, latents(), "anna.jpg")
    other = Scam(CONFIG)
    with pytest.raises(InputError, match=r"of another model .* again from anna\.jpg") as e:
        load_style(path, other)
    assert "\n" not in str(e.value)
    assert read_style(path).model == fingerprint(model)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("missing", "cannot be read"),
        ("text", "is damaged or no .safetensors file"),
        ("short", "is damaged or no .safetensors file"),
        ("weights", "is not a style, found 'pt', expected 'scam style 1'"),
        ("names", "is a damaged style"),
        ("tokens", "is a damaged style"),
    ],
)
def test_what_is_no_style(damage: str, message: str, model: Scam, tmp_path: Path) -> None:
    path = tmp_path / "anna.safetensors"
    about = {"format": "scam style 1", "model": "0", "source": "x", "label_names": '["a"]'}
    tensors = {"tokens": torch.zeros(2, 3), "present": torch.tensor([True])}
    if damage == "text":
        path.write_text("no style at all, but longer than eight bytes")
    elif damage == "weights":
        save_file(tensors, path, {"format": "pt"})
    elif damage == "names":
        save_file(tensors, path, {**about, "label_names": '["a", "b"]'})
    elif damage == "tokens":
        save_file({"present": tensors["present"]}, path, about)
    elif damage == "short":
        save_style(path, model, latents(), "anna.jpg")
        path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=message) as caught:
        load_style(path, model)
    assert "\n" not in str(caught.value)
    assert "anna.safetensors" in str(caught.value)


def test_what_cannot_be_saved(model: Scam, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"style anna: expected a \.safetensors file"):
        save_style("anna", model, latents(), "anna.jpg")
    two = Styles(torch.zeros(2, 7, 8), torch.zeros(2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"shape \(2, 7, 8\), expected \(1, 7, 8\)"):
        save_style(tmp_path / "a.safetensors", model, two, "anna.jpg")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems allow fewer names")
@pytest.mark.parametrize("name", ["mu\udcf1oz", "two\nlines", "%s {0}"])
def test_any_name_of_a_style_and_its_picture(name: str, model: Scam, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.safetensors"
    save_style(path, model, latents(), f"{name}.jpg")
    style = load_style(path, model)
    assert style.name == name
    assert style.source == printable(f"{name}.jpg")


def test_what_could_not_be_read_again_is_not_saved(model: Scam, tmp_path: Path) -> None:
    path, spoilt = tmp_path / "x.safetensors", latents()
    spoilt.tokens[0, 0, 0] = torch.inf
    with pytest.raises(InputError, match="1 of 56 values are not finite"):
        save_style(path, model, spoilt, "anna.jpg")
    assert not path.exists()


def test_a_style_that_is_a_pipe(model: Scam, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"a\.safetensors: is a pipe, expected a file"):
        load_style(tmp_path / "a.safetensors", model)
