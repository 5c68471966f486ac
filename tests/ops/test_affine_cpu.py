# SPDX-License-Identifier: Apache-2.0
"""What only the C++ kernels of the affine have: instruction sets, segments, groups of windows."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from scam.ops.backends import cpu
from scam.ops.problem import Problem
from scam.testing import (
    AffineInputs,
    assert_affine_matches_oracle,
    make_affine_inputs,
    poisoned_memory,
)

REFUSAL = "; ".join(cpu.refusals(Problem("cpu", torch.float32)))
pytestmark = [
    pytest.mark.skipif(bool(REFUSAL), reason=REFUSAL),
    pytest.mark.usefixtures("one_thread"),
]


def stripes(inputs: AffineInputs, length: int, names: tuple[int, ...]) -> AffineInputs:
    """The same with runs of ``length`` pixels of one row."""
    batch, height, width = inputs.index.shape
    numbers = torch.tensor(names)[torch.arange(height * width) // length % len(names)]
    return replace(inputs, index=numbers.view(1, height, width).repeat(batch, 1, 1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    "changes",
    [
        {"size": (40, 33), "channels": 20},
        {"size": (24, 25), "channels": 130, "memory": "channels_last"},
        {"size": (24, 25), "channels": 128, "memory": "channels_last", "kind": "noise"},
        {"size": (24, 25), "channels": 48, "rows": 1500, "memory": "channels_last"},
        {"kind": "noise", "channels": 32, "size": (48, 48), "outside": False},
        {"memory": "sliced", "statistics": "batch"},
        {"rows": 1, "channels": 3, "size": (64, 64), "outside": False},
    ],
    ids=str,
)
def test_every_instruction_set(isa: str, dtype: torch.dtype, changes: dict[str, Any]) -> None:
    with poisoned_memory():
        assert_affine_matches_oracle(make_affine_inputs(dtype=dtype, **changes), backend="cpu")


@pytest.mark.parametrize("length", [1, 3, 16, 17, 45, 600])
@pytest.mark.parametrize("memory", ["channels_first", "channels_last"])
def test_runs_of_any_length(isa: str, length: int, memory: str) -> None:
    """Runs end anywhere in a tile; the last pixels have nothing after them."""
    for size in ((1, 15), (1, 31), (3, 257), (37, 31)):
        inputs = make_affine_inputs(size=size, memory=memory, dtype=torch.float64, batch=1)
        for names in ((0, 3, 1), (-1, 2, 4, 9)):
            assert_affine_matches_oracle(stripes(inputs, length, names), backend="cpu")


@pytest.mark.parametrize("rows", [4, 900, 3000])
@pytest.mark.parametrize("memory", ["channels_first", "channels_last"])
def test_sums_over_many_windows(isa: str, rows: int, memory: str) -> None:
    """Of many groups where rows are few, of one where they are many."""
    inputs = make_affine_inputs(
        size=(99, 100), channels=18, rows=rows, dtype=torch.float64, memory=memory
    )
    assert_affine_matches_oracle(inputs, backend="cpu")
    assert_affine_matches_oracle(stripes(inputs, 37, (0, 2, 1)), backend="cpu")
