# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pytest
import torch
from PIL import Image

from scam.data import palette
from scam.errors import InputError
from scam.semia.vocabulary import Vocabulary, packed, unpacked


def test_there_and_back() -> None:
    for vocabulary in (
        Vocabulary("colour", (0x00F900, 0xFF9300)),
        Vocabulary("index", (0, 13, 234)),
    ):
        text = json.dumps(vocabulary.as_dict())
        assert Vocabulary.from_dict(json.loads(text)) == vocabulary


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "colours", "values": [0, 1]}, "kind='colours': expected index or colour"),
        ({"kind": "index", "values": [3]}, r"values=\[3\]: expected 2 to 256"),
        ({"kind": "index", "values": [3, 3]}, "expected ascending"),
        ({"kind": "index", "values": [4, 3]}, "expected ascending"),
        ({"kind": "index", "values": [0, 65536]}, "expected below 65536"),
        ({"kind": "colour", "values": [0, 1 << 24]}, "expected each at least 0 and below"),
        ({"kind": "colour", "values": ["#000000", "#ffffff"]}, "expected each an integer"),
        ({"kind": "colour"}, "values is missing"),
        ([], "expected settings by name"),
    ],
)
def test_what_is_none(values: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Vocabulary.from_dict(values)  # type: ignore[arg-type]


def test_labels_are_written_as_they_came() -> None:
    labels = np.array([[0, 1], [1, 0]])
    colours = Vocabulary("colour", (0x00F900, 0xFF9300)).as_image(labels)
    assert colours.dtype == np.uint8
    assert colours.tolist()[0] == [[0, 249, 0], [255, 147, 0]]
    small = Vocabulary("index", (13, 234)).as_image(labels)
    assert small.dtype == np.uint8
    assert small.tolist() == [[13, 234], [234, 13]]
    large = Vocabulary("index", (13, 2340)).as_image(labels)
    assert large.dtype == np.uint16
    assert [Image.fromarray(x).mode for x in (colours, small, large)] == ["RGB", "L", "I;16"]


@pytest.mark.parametrize("label", [-1, 2])
def test_labels_without_a_value(label: int) -> None:
    with pytest.raises(ValueError, match=r"labels outside 0 \.\. 1"):
        Vocabulary("index", (13, 234)).as_image(np.array([[0, label]]))


def test_colours_to_show() -> None:
    colours = Vocabulary("colour", (0x00F900, 0xFF9300))
    assert colours.colours().tolist() == [[0, 249, 0], [255, 147, 0]]
    np.testing.assert_array_equal(Vocabulary("index", (13, 234)).colours(), palette(2))


def test_words() -> None:
    assert str(Vocabulary("colour", (0xF900, 0xFF9300))) == "#00f900, #ff9300"
    assert str(Vocabulary("index", (13, 234))) == "13, 234"
    assert str(Vocabulary("index", tuple(range(20)))).endswith("10, 11 and 8 more")


def test_packing() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    np.testing.assert_array_equal(unpacked(packed(rgb)), rgb)
    assert packed(np.array([[1, 2, 3]], np.uint8)).tolist() == [0x010203]


def test_shares_begin_with_the_most_frequent() -> None:
    labels = torch.tensor([[1, 1, 1], [0, 1, 2]])
    assert Vocabulary("index", (0, 13, 234)).shares(labels) == "13 67 %, 0 17 %, 234 17 %"
    nearly = torch.arange(300).gt(298)[None].long()
    assert Vocabulary("index", (0, 7)).shares(nearly) == "0 100 %, 7 0.33 %"
    many = Vocabulary("index", tuple(range(14))).shares(torch.arange(14)[None])
    assert many.endswith("11 7.1 % and 2 more")
