# SPDX-License-Identifier: Apache-2.0
"""What stands in for labels that a picture lacks."""

from typing import ClassVar

import pytest
import torch
from torch import Tensor

from scam.data.groups import Groups, groups_of
from scam.errors import InputError
from scam.models.mixing import BACKGROUND, MEAN, filled, mixed, sources
from scam.models.styles import Styles, of_labels

NAMES = ("background", "dress", "upper_clothes", "left_leg", "face")
DRESS, UPPER, LEG, FACE = 1, 2, 3, 4
OF = torch.tensor([0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4])  # three tokens of the background


class Known:
    """As much of a model as mixing asks for."""

    one_style_space: ClassVar[bool] = True

    def __init__(self, names: tuple[str, ...] = NAMES, token_labels: Tensor = OF) -> None:
        self.groups: Groups = groups_of(names)
        self.token_labels = token_labels
        self.mean_tokens = torch.randn(len(token_labels), 2)
        self.mean_known = torch.tensor([True, True, False, False, False])


def styles(*held: int, batch: int = 1) -> Styles:
    present = torch.zeros(batch, len(NAMES), dtype=torch.bool)
    present[:, list(held)] = True
    return Styles(torch.randn(batch, len(OF), 2), present)


def wanted(*labels: int) -> Tensor:
    return styles(*labels).present


def tokens(of: Styles, label: int) -> Tensor:
    return of.tokens[:, label == OF]


def test_styles_are_shown_by_shape_and_labels() -> None:
    shown = f"Styles(tokens {(2, len(OF), 2)} float32, labels present: "
    assert repr(styles(0, UPPER, batch=2)) == f"{shown}0, 2)"
    meta = torch.zeros(1, 3, device="meta")
    assert repr(Styles(meta, meta)) == "Styles(tokens (1, 3) float32, present (1, 3))"


def test_the_nearest_label_there_is_stands_in() -> None:
    model, subject, background = Known(), styles(0, UPPER, FACE), styles(*range(5))
    found = mixed(model, subject, background, wanted(*range(5)))
    for label, source, other in (
        (0, background, 0), (DRESS, subject, UPPER), (UPPER, subject, UPPER),
        (LEG, subject, FACE), (FACE, subject, FACE),
    ):  # fmt: skip
        assert torch.equal(tokens(found, label), tokens(source, other))
    assert found.present.all()


def test_then_the_background_and_its_own_nearest_label() -> None:
    model, subject, background = Known(), styles(0, FACE), styles(0, UPPER)
    found = mixed(model, subject, background, wanted(0, DRESS, UPPER, FACE))
    assert torch.equal(tokens(found, UPPER), tokens(background, UPPER))
    assert torch.equal(tokens(found, DRESS), tokens(background, UPPER))
    with pytest.raises(InputError, match="lacks label 1, which the map needs"):
        mixed(model, subject, background, wanted(0, DRESS), absent="background")
    with pytest.raises(InputError, match="lacks label 1, which the map needs"):
        mixed(model, subject, styles(0), wanted(0, DRESS))


def test_where_it_comes_from() -> None:
    model, subject = Known(), styles(0, UPPER)
    for absent, expected in (
        ("related", [0, UPPER, 2, BACKGROUND, 4]),
        ("background", [0, BACKGROUND, 2, BACKGROUND, 4]),
        ("mean", [0, MEAN, 2, BACKGROUND, 4]),
    ):
        found = sources(model, subject, wanted(0, DRESS, UPPER, LEG), absent)  # type: ignore[arg-type]
        assert found.tolist() == [expected]
    with pytest.raises(InputError, match="lacks label 1, 3"):
        sources(model, subject, wanted(0, DRESS, UPPER, LEG), "error")


def test_each_picture_of_a_batch_has_its_own_nearest_label() -> None:
    model, subject = Known(), styles(0, UPPER, FACE, batch=2)
    subject.present[1] = wanted(0, DRESS, LEG)[0]
    both = wanted(*range(5)).expand(2, -1)
    assert sources(model, subject, both, "related").tolist() == [
        [0, UPPER, UPPER, FACE, FACE],
        [0, DRESS, DRESS, LEG, BACKGROUND],
    ]
    one = subject[[0]]
    found = filled(model, one, both, subject, "related")
    assert torch.equal(tokens(found, DRESS), tokens(one, UPPER).expand(2, -1, -1))


def test_without_groups_or_a_space_in_common_the_background_stands_in() -> None:
    plain, apart = Known(tuple("abcde")), Known()
    apart.one_style_space = False  # type: ignore[misc]
    for model in (plain, apart):
        found = sources(model, styles(0, UPPER), wanted(0, DRESS), "related")
        assert found.tolist() == [[0, BACKGROUND, 2, 3, 4]]


def test_a_style_of_the_whole_image_lacks_nothing() -> None:
    model = Known(token_labels=torch.tensor([-1]))
    subject, background = (Styles(torch.randn(1, 1, 2), wanted(*x)) for x in ((0,), (0, 1)))
    found = mixed(model, subject, background, wanted(0, DRESS))
    assert torch.equal(found.tokens, subject.tokens)


def test_fewer_tokens_are_taken_twice() -> None:
    subject = styles(*range(5))
    found = of_labels(subject, torch.tensor([[UPPER, 0, UPPER, LEG, FACE]]), OF)
    assert torch.equal(tokens(found, 0), tokens(subject, UPPER)[:, [0, 1, 0]])
    assert torch.equal(tokens(found, DRESS), tokens(subject, 0)[:, :2])
    assert torch.equal(tokens(found, LEG), tokens(subject, LEG))
