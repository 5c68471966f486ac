# SPDX-License-Identifier: Apache-2.0
"""Functions that make label maps of photographs, and what they may return."""

from typing import Any

import numpy as np
import pytest
from tiny_studio import as_png, draw, tiny

from scam.data.parser import LabelParser, load_parser
from scam.errors import InputError
from scam.studio.pictures import Pictures
from scam.studio.session import PictureData

WHOLE = as_png(draw(1).photo)


def wrong_shape(photo: np.ndarray) -> Any:
    return photo


def wrong_values(photo: np.ndarray) -> Any:
    return np.full(photo.shape[:2], 3)


def negative(photo: np.ndarray) -> Any:
    return np.full(photo.shape[:2], -1)


def floating(photo: np.ndarray) -> Any:
    return np.zeros(photo.shape[:2])


def failing(photo: np.ndarray) -> Any:
    raise RuntimeError("out of luck\nand more")


def greedy(photo: np.ndarray) -> Any:
    photo[:] = 0
    return np.zeros(photo.shape[:2], np.uint8).tolist()


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (wrong_shape, "the function returned uint8 (32, 24, 3), expected integers (32, 24)"),
        (floating, "the function returned float64 (32, 24), expected integers (32, 24)"),
        (wrong_values, "holds 3 (768 pixels), expected labels 0 .. 2 or 9 (ignored)"),
        (negative, "the function returned values -1 .. -1, expected 0 .. 65535"),
        (failing, "RuntimeError: out of luck"),
    ],
)
def test_parsers_that_cannot_be_used(function: Any, words: str) -> None:
    known = Pictures(tiny(), parser=LabelParser("mine:f", function))
    with pytest.raises(InputError) as caught:
        known.add(PictureData("x", photo=WHOLE))
    assert str(caught.value) == f"mine:f: {words}"


def test_a_parser_changes_no_picture() -> None:
    known = Pictures(tiny(), parser=LabelParser("mine:f", greedy))
    found = known.get(known.add(PictureData("x", photo=WHOLE))).picture
    assert np.array_equal(found.photo, draw(1).photo)
    assert not found.labels.any()


def test_parsers_by_name() -> None:
    assert load_parser("numpy:asarray").function is np.asarray
    for name, words in (
        ("numpy", "expected MODULE:FUNCTION"),
        (":x", "expected MODULE:FUNCTION"),
        ("mine.py:f", "expected mine:f, with mine.py in this folder"),
        ("numpy:", "expected MODULE:FUNCTION"),
        (
            "no_such_module:f",
            "ModuleNotFoundError: No module named 'no_such_module'; start in the folder that "
            "holds no_such_module.py",
        ),
        ("numpy:no_such", "AttributeError: module 'numpy' has no attribute 'no_such'"),
        ("numpy:pi", "is not a function, expected MODULE:FUNCTION"),
    ):
        with pytest.raises(InputError) as caught:
            load_parser(name)
        assert str(caught.value) == f"parser={name!r}: {words}"
