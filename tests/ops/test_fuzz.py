# SPDX-License-Identifier: Apache-2.0
"""Random problems against the oracle; a failure prints the arguments that repeat it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scam.ops.problem import LABEL_DTYPES
from scam.testing import MEMORY, assert_matches_oracle, make_inputs, poisoned_memory


@st.composite
def problems(draw: Callable[..., Any]) -> dict[str, Any]:
    key_heads = draw(st.sampled_from([1, 2, 3]))
    shared_value = draw(st.booleans())
    return {
        "batch": draw(st.integers(1, 3)),
        "heads": key_heads * draw(st.sampled_from([1, 2])),
        "key_heads": key_heads,
        "queries": draw(st.one_of(st.integers(1, 9), st.integers(10, 300))),
        "keys": draw(st.one_of(st.integers(1, 9), st.integers(10, 300))),
        "width": draw(st.one_of(st.integers(1, 9), st.sampled_from([16, 31, 64, 96]))),
        "value_width": None if shared_value else draw(st.sampled_from([None, 1, 5, 48])),
        "num_labels": draw(st.sampled_from([1, 2, 7, 40])),
        "shared_value": shared_value,
        "memory": draw(st.sampled_from(MEMORY)),
        "label_dtype": draw(st.sampled_from(LABEL_DTYPES)),
        "dtype": draw(st.sampled_from([torch.float64, torch.float32, torch.bfloat16])),
        "seed": draw(st.integers(0, 2**16)),
    }


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(problem=problems(), empty=st.sampled_from(["zero", "uniform"]))
def test_random_problems(backend: str, problem: dict[str, Any], empty: str) -> None:
    if backend == "toy":
        pytest.skip("the toy is the reference's formula")
    with poisoned_memory():
        assert_matches_oracle(make_inputs(**problem), backend=backend, empty=empty)
