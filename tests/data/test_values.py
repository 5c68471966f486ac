# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pytest

from scam.data import LabelValues, Mannequins, read_merge, save_label_png
from scam.errors import InputError


def test_values_survive_json_and_read_alike(tmp_path) -> None:
    values = LabelValues.build(20, read_merge("idesigner"), ignore=255)
    again = LabelValues.from_dict(json.loads(json.dumps(values.as_dict())))
    assert again == values
    save_label_png(tmp_path / "a.png", np.array([[0, 13], [19, 255]]))
    assert again.read(tmp_path / "a.png").tolist() == [[0, 1], [2, -1]]
    assert again.read(tmp_path / "a.png").dtype == np.int32


@pytest.mark.parametrize("ignore", [-1, 65536])
def test_ignore_outside_a_label_file(ignore: int) -> None:
    with pytest.raises(InputError, match=rf"ignore={ignore}: expected at least 0 and below 65536"):
        LabelValues.build(3, ignore=ignore)


def test_mannequins_written_to_files_read_back(tmp_path) -> None:
    plain, merged = Mannequins("val"), Mannequins("val", merge="body")
    save_label_png(tmp_path / "a.png", plain.load(1, (48, 32))[1])
    for source in (plain, merged):
        labels = source.label_values.read(tmp_path / "a.png")
        assert (labels == source.load(1, (48, 32))[1]).all()
