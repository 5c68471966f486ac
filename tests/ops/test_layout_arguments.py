# SPDX-License-Identifier: Apache-2.0
"""What ``SemanticLayout.build`` refuses, and what a layout of another shape is answered with."""

from typing import Any

import pytest
import torch

from scam.ops import SemanticLayout, semantic_modulation
from scam.testing import make_modulation_inputs

MAP = torch.zeros(6, 5, dtype=torch.int64)


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_labels", None), ("num_labels", "5"), ("num_labels", 5.0), ("num_labels", True),
     ("num_labels", torch.tensor(5)), ("most", "8"), ("most", 8.0)],
)  # fmt: skip
def test_numbers_are_integers(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"^{name}: expected an integer, got "):
        SemanticLayout.build(MAP, **{"num_labels": 5, name: value})


def test_one_map_is_taken_for_a_batch_of_rows() -> None:
    inputs = make_modulation_inputs(size=(6, 5), num_labels=3).arguments()
    given = {**inputs, "labels": SemanticLayout.build(MAP, 3)}
    with pytest.raises(ValueError, match=r"^labels: a layout of 6 x 5 labels, expected one"):
        semantic_modulation(**given)
    given["labels"] = SemanticLayout.build(MAP[None], 3)
    assert semantic_modulation(**given).shape == inputs["x"].shape


def test_the_number_of_elements_stays_free_in_an_exported_program() -> None:
    class Sorts(torch.nn.Module):
        def forward(self, labels: torch.Tensor) -> torch.Tensor:
            return SemanticLayout.build(labels, 5).order

    free = {1: torch.export.Dim("n", min=2, max=100_000)}
    labels = torch.zeros(2, 40, dtype=torch.int64)
    program = torch.export.export(Sorts(), (labels,), dynamic_shapes=(free,))
    assert program.module()(torch.zeros(2, 50, dtype=torch.int64)).shape == (2, 50)
