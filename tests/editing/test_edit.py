# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from scam.editing.donors import parse_donor
from scam.editing.edit import Settings, edit
from scam.editing.encoded import encode
from scam.editing.pictures import Picture
from scam.errors import InputError
from scam.models import Scam, ScamConfig
from scam.models.checkpoint import Checkpoint

CONFIG = ScamConfig(3, (64, 32), width=16, levels=4, latents_per_label=2, background_latents=2,
                     token_dim=8, attention_dim=8)  # fmt: skip
NAMES = ("background", "hair", "v1.0")


def checkpoint(fidelity: str = "default") -> Checkpoint:
    model = Scam(replace(CONFIG, fidelity=fidelity)).eval()  # type: ignore[arg-type]
    for name, parameter in model.named_parameters():
        if name.endswith("noise_scale"):
            nn.init.ones_(parameter)
    model.about = {"label_names": list(NAMES)}
    return Checkpoint(Path("x"), model)


def draw(seed: int, *held: int) -> Picture:
    """A picture in horizontal bands of the labels ``held``."""
    photo = np.random.default_rng(seed).integers(0, 256, (64, 32, 3)).astype(np.uint8)
    labels = np.array(held, np.int32)[np.arange(64) * len(held) // 64]
    return Picture(photo, np.repeat(labels[:, None], 32, 1), f"p{seed}")


@pytest.mark.parametrize("fidelity", ["default", "released"])
def test_an_edit_repeats_itself(fidelity: str) -> None:
    known = checkpoint(fidelity)
    host, donor = draw(1, 0, 1, 2), draw(2, 0, 1, 2)
    given = [(parse_donor("hair=p:0.5", known), encode(donor, known))]
    first, second = (
        edit(known, Settings(steps=2), (host, encode(host, known)), None, given, host.labels)
        for _ in range(2)
    )
    assert np.array_equal(first.pixels, second.pixels)
    assert first.pixels.shape == (64, 64, 3)
    assert not np.array_equal(first.pixels[:, :32], first.pixels[:, 32:])


def test_a_donor_serves_what_neither_picture_has() -> None:
    known = checkpoint()
    host, subject, donor = draw(1, 0, 1), draw(2, 0, 1), draw(3, 2)
    pose = draw(4, 0, 1, 2).labels
    codes = [encode(picture, known) for picture in (host, subject, donor)]
    with pytest.raises(InputError, match="lacks label 2, which the map needs"):
        edit(known, Settings(), (host, codes[0]), codes[1], [], pose)
    given = [(parse_donor("v1.0=p", known), codes[2])]
    for absent in ("background", "error", "mean"):
        settings = Settings(absent=absent)
        assert not edit(known, settings, (host, codes[0]), codes[1], given, pose).notes
        assert not edit(known, settings, (host, codes[0]), None, given, pose).notes


def test_a_subject_that_has_no_place_in_the_label_map_is_said() -> None:
    known = checkpoint()
    host, subject = draw(1, 0, 1), draw(2, 0, 1, 2)
    home, own = encode(host, known), encode(subject, known)

    def notes(pose: Picture, *scene: int) -> tuple[str, ...]:
        settings = Settings(scene=scene, feather=4)
        return edit(known, settings, (host, home), own, [], pose.labels, subject.name).notes

    who = "subject='p2' in background='p1'"
    said = (f"{who}: unused (only background labels in the label map to generate from)",)
    assert notes(draw(3, 0), 0) == said
    assert notes(host, 0, 1) == said
    assert not notes(host, 0)
    assert not edit(known, Settings(), (host, home), None, [], host.labels).notes


def test_an_amount_is_a_place_on_the_way() -> None:
    known = checkpoint()
    host, subject = draw(1, 0, 1), draw(2, 0, 2)
    home, pose = (host, encode(host, known)), draw(3, 0, 1, 2).labels
    other = encode(subject, known)
    strip = edit(known, Settings(steps=5), home, other, [], pose).pixels
    for step, amount in enumerate((0, 0.25, 0.5, 0.75, 1)):
        one = edit(known, Settings(amount=amount), home, other, [], pose)
        assert np.array_equal(one.pixels, strip[:, 32 * step : 32 * (step + 1)])
    last = edit(known, Settings(), home, other, [], pose)
    assert np.array_equal(last.pixels, strip[:, -32:])


def test_pasting_an_edit_without_a_subject_keeps_all_other_labels() -> None:
    known = checkpoint()
    host, donor = draw(1, 0, 1, 2), draw(2, 0, 1, 2)
    given = [(parse_donor("1,2.0=p", known), encode(donor, known))]
    home = host, encode(host, known)
    result = edit(known, Settings(feather=0), home, None, given, host.labels).pixels
    changed = (result != host.photo).any(-1)
    assert not changed[host.labels == 0].any()
    assert changed[host.labels > 0].mean() > 0.9
    # Where another pose moves a label, the photograph cannot stay.
    pose = draw(3, 1, 0).labels
    moved = edit(known, Settings(feather=0), home, None, given, pose).pixels
    assert ((moved != host.photo).any(-1)[pose != host.labels]).mean() > 0.9


def test_pasting_into_a_large_photograph_leaves_no_halo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The generated scene is grey and blurs into the person: neither shows beyond the edge."""
    known = checkpoint()
    small = draw(1, 0, 1, 0)
    photo = np.full((512, 256, 3), (0, 200, 100), np.uint8)
    host = Picture(photo, small.labels.repeat(8, 0).repeat(8, 1), "large")

    def flat(labels: object, *_: object) -> torch.Tensor:
        person = torch.from_numpy(small.labels)[None, None].float()
        soft = nn.functional.avg_pool2d(person, 3, 1, 1, count_include_pad=False)
        return (soft * 2 - 1).expand(1, 3, -1, -1) * 0.5  # grey 64 with a person of grey 191

    styles = encode(host, known)
    monkeypatch.setattr(known.model, "generate", flat)
    result = edit(known, Settings(feather=4), (host, styles), styles, [], host.labels).last
    person = host.labels[:, 0] == 1
    rows = np.flatnonzero(person)
    first, last = rows[0], rows[-1]
    assert (result[first : last + 1] == 191).all()
    for distance in (1, 2, 3, 4):
        for row in (first - distance, last + distance):
            share = 1 - distance / 5
            expected = share * 191 + (1 - share) * np.array([0, 200, 100])
            assert np.abs(result[row] - expected).max() <= 1
    assert (result[: first - 4] == photo[0, 0]).all()
    assert (result[last + 5 :] == photo[0, 0]).all()


def test_parsing_a_donor() -> None:
    known = checkpoint()
    found = parse_donor("hair.1,v1.0=lib:0.5:0.25", known)
    assert (found.labels, found.picture) == ((1, 2), "lib:0.5")
    assert found.share.tolist() == [0, 0, 0, 0.25, 0.25, 0.25]
    assert parse_donor("1=lib:0.5", known).picture == "lib:0.5"
    assert parse_donor("1=C:\\a.jpg", known).picture == "C:\\a.jpg"
    assert parse_donor("v1.0.1=p:1", known).share.tolist() == [0, 0, 0, 0, 0, 1]
    twice = parse_donor("hair,hair.0=p:0.5", known)
    assert twice.share.tolist() == [0, 0, 0.5, 0.5, 0, 0]
