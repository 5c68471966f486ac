# SPDX-License-Identifier: Apache-2.0
"""What an edit says of labels that pictures lack, and a summary of many edits."""

from pathlib import Path

import pytest
import torch

from scam.editing.donors import parse_donor
from scam.editing.edit import Settings, mix
from scam.editing.outcomes import summary
from scam.errors import InputError
from scam.models import Scam, ScamConfig
from scam.models.checkpoint import Checkpoint
from scam.models.mixing import Absent
from scam.models.styles import Styles

NAMES = ("background", "dress", "upper_clothes", "left_leg", "face", "hat")
BACKGROUND, DRESS, UPPER, LEG, FACE, HAT = range(6)


@pytest.fixture(scope="module")
def known() -> Checkpoint:
    config = ScamConfig(6, (32, 16), width=16, levels=4, latents_per_label=2, background_latents=2,
                        token_dim=8, attention_dim=8)  # fmt: skip
    model = Scam(config).eval()
    model.about = {"label_names": list(NAMES)}
    model.mean_known[HAT] = True
    return Checkpoint(Path("x"), model)


def styles(known: Checkpoint, *held: int) -> Styles:
    return Styles(torch.randn(1, *known.model.mean_tokens.shape), present(*held))


def present(*labels: int) -> torch.Tensor:
    found = torch.zeros(1, len(NAMES), dtype=torch.bool)
    found[:, list(labels)] = True
    return found


def notes(
    known: Checkpoint,
    subject: Styles | None,
    donors: dict[str, Styles] | None = None,
    absent: Absent = "related",
) -> list[str]:
    given = [(parse_donor(text, known), latents) for text, latents in (donors or {}).items()]
    home, wanted = styles(known, *range(6)), present(*range(6))
    _, found = mix(known, Settings(absent=absent), home, subject, given, wanted, "anna")
    return [str(outcome) for outcome in found if outcome.how]


@pytest.mark.parametrize(
    ("absent", "expected"),
    [
        ("related", ["clothes: dress from its upper_clothes", "skin: left_leg from its face",
                     "head: hat from the background image"]),
        ("background", ["clothes: dress from the background image",
                        "skin: left_leg from the background image",
                        "head: hat from the background image"]),
        ("mean", ["clothes: dress from the background image",
                  "skin: left_leg from the background image", "head: hat from the mean"]),
    ],
)  # fmt: skip
def test_a_line_per_group(known: Checkpoint, absent: Absent, expected: list[str]) -> None:
    found = notes(known, styles(known, BACKGROUND, UPPER, FACE), absent=absent)
    assert sorted(found) == sorted(f"subject='anna': {line}" for line in expected)


def test_a_donor_of_a_group(known: Checkpoint) -> None:
    donor = styles(known, UPPER)
    assert notes(known, None, {"clothes,Hat=p": donor}) == [
        "donor='clothes,Hat=p': clothes: dress from its upper_clothes",
        "donor='clothes,Hat=p': head: hat unchanged",
    ]
    subject = styles(known, *range(5))
    assert notes(known, subject, {"hat=p": styles(known, HAT)}) == []
    assert notes(known, subject, {"hat=p": donor}) == [
        "donor='hat=p': head: hat unchanged",
        "subject='anna': head: hat from the background image",
    ]


def test_a_donor_of_a_group_gives_every_label_of_it(known: Checkpoint) -> None:
    donor = parse_donor("clothes.1=p:0.5", known)
    assert donor.labels == (UPPER, DRESS)
    assert donor.share.nonzero().flatten().tolist() == [3, 5]
    with pytest.raises(InputError, match=r"a group of them \(clothes, head, skin, accessories, "):
        parse_donor("tail=p", known)


def test_words_that_are_not_in_the_map(known: Checkpoint) -> None:
    given = [(parse_donor("hat,face,skin=p", known), styles(known, *range(6)))]
    _, found = mix(
        known, Settings(), styles(known, *range(6)), None, given, present(0, DRESS, LEG)
    )
    assert [str(x) for x in found if x.how] == [
        "donor='hat,face,skin=p': no hat, face in the label map to generate from"
    ]


def test_the_nearest_label_of_the_picture_itself(known: Checkpoint) -> None:
    home = styles(known, BACKGROUND, UPPER)
    _, found = mix(known, Settings(), home, None, [], present(BACKGROUND, DRESS))
    assert [str(x) for x in found] == ["background: clothes: dress from its upper_clothes"]


def test_a_summary_counts_pictures(known: Checkpoint) -> None:
    edits = []
    for held in ((0, UPPER, FACE), (0, UPPER, FACE), (*range(6),)):
        home, subject = styles(known, *range(6)), styles(known, *held)
        edits.append(mix(known, Settings(), home, subject, [], present(0, DRESS, FACE, HAT))[1])
    own = "every label its own in 1 image"
    assert summary(edits) == [
        "summary of 3 images:",
        f"  subject (clothes): dress from its upper_clothes in 2 images; {own}",
        f"  subject (head): hat from the background image in 2 images; {own}",
    ]
    assert summary([]) == []


def test_an_error_is_about_labels_of_the_map(known: Checkpoint) -> None:
    """A group holds garments that nobody wears."""
    donor, home = styles(known, UPPER), styles(known, *range(6))
    given = [(parse_donor("clothes=p", known), donor)]
    _, found = mix(known, Settings(absent="error"), home, None, given, present(BACKGROUND, UPPER))
    assert not [x for x in found if x.how]
    with pytest.raises(InputError, match=r"its image lacks label 1 \(dress\)"):
        mix(known, Settings(absent="error"), home, None, given, present(BACKGROUND, DRESS))
