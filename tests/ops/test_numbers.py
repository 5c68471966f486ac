# SPDX-License-Identifier: Apache-2.0
"""Options that are numbers may be numpy's, as data sets and sweeps hand them on."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from scam.ops import (
    SemanticLayout,
    indexed_affine,
    semantic_attention_map,
    semantic_cross_attention,
    semantic_modulation,
)
from scam.testing import make_affine_inputs, make_inputs, make_modulation_inputs

QUARTERS = [np.float32(0.25), np.float16(0.25), np.float64(0.25), Fraction(1, 4)]


@pytest.mark.parametrize("quarter", QUARTERS, ids=lambda number: type(number).__name__)
@pytest.mark.parametrize("forced", [None, "reference"])
def test_real_numbers(quarter: Any, forced: str | None) -> None:
    for call, inputs, name in (
        (semantic_cross_attention, make_inputs(), "scale"),
        (semantic_modulation, make_modulation_inputs(), "eps"),
        (semantic_modulation, make_modulation_inputs(), "negative_slope"),
        (indexed_affine, make_affine_inputs(), "negative_slope"),
    ):
        given = inputs.arguments()
        arguments, keywords = ((), given) if isinstance(given, dict) else (given, {})
        found, wanted = (
            call(*arguments, **keywords, **{name: number}, backend=forced)
            for number in (quarter, 0.25)
        )
        assert torch.equal(found, wanted)


def test_integers() -> None:
    inputs = make_inputs()
    arguments = inputs.query, inputs.key, inputs.query_labels, inputs.key_labels
    found, wanted = (
        semantic_attention_map(*arguments, max_keys=keys, scale=scale)
        for keys, scale in ((np.int64(4), np.float32(0.25)), (4, 0.25))
    )
    assert torch.equal(found, wanted)
    layout = SemanticLayout.build(inputs.key_labels, np.int64(5), np.uint8(24))
    assert (type(layout.num_labels), type(layout.most)) == (int, int)


def test_what_is_no_integer() -> None:
    inputs = make_inputs()
    arguments = inputs.query, inputs.key, inputs.query_labels, inputs.key_labels
    with pytest.raises(TypeError, match="max_keys: expected an integer, got float"):
        semantic_attention_map(*arguments, max_keys=2.0)  # type: ignore[arg-type]
