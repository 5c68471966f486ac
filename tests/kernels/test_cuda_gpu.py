# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels on a GPU: what the emulator cannot know."""

from typing import Any

import pytest
import torch
from repeats import assert_repeats

from scam.ops import dispatch
from scam.ops.problem import Problem
from scam.testing import assert_matches_oracle, make_inputs, outcome
from scam.testing.modulation import (
    assert_modulation_matches_oracle,
    make_modulation_inputs,
    modulation_outcome,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
DTYPES = (torch.bfloat16, torch.float16)


@pytest.fixture(autouse=True)
def _served(monkeypatch: pytest.MonkeyPatch) -> None:
    if "cuda" not in dispatch.ORDER:
        monkeypatch.setattr(dispatch, "ORDER", ("cuda", *dispatch.ORDER))
    why = dispatch.refusals(
        "cuda", Problem("cuda", torch.bfloat16, capability=torch.cuda.get_device_capability())
    )
    if why:
        pytest.skip(", ".join(why))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("memory", ["channels_first", "channels_last", "sliced"])
@pytest.mark.parametrize(
    "sizes",
    [
        {"size": (96, 80), "channels": 64, "tokens": 40},
        {"size": (31, 33), "channels": 128, "tokens": 90},
        {"size": (16, 16), "channels": 1024, "tokens": 24, "heads": 2},
    ],
)
def test_modulation(sizes: dict[str, Any], memory: str, dtype: torch.dtype) -> None:
    inputs = make_modulation_inputs(memory=memory, dtype=dtype, device="cuda", **sizes)
    assert_modulation_matches_oracle(inputs, backend="cuda")
    assert_repeats(modulation_outcome, inputs, "cuda")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("memory", ["contiguous", "channels_first", "channels_last"])
@pytest.mark.parametrize("shared_value", [True, False])
@pytest.mark.parametrize(("queries", "keys"), [(6400, 40), (40, 6400), (200, 200)])
def test_attention(
    queries: int, keys: int, shared_value: bool, memory: str, dtype: torch.dtype
) -> None:
    for width in (32, 256):
        inputs = make_inputs(
            queries=queries, keys=keys, width=width, key_heads=1, shared_value=shared_value,
            memory=memory, dtype=dtype, device="cuda",
        )  # fmt: skip
        assert_matches_oracle(inputs, backend="cuda")
        assert_repeats(outcome, inputs, "cuda")


def test_replays_in_a_graph() -> None:
    inputs = make_modulation_inputs(
        size=(32, 32), channels=64, dtype=torch.bfloat16, device="cuda"
    )
    expected = modulation_outcome(inputs, backend="cuda")["y"]
    from scam.ops import semantic_modulation

    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = semantic_modulation(**inputs.arguments(), backend="cuda")
    y.zero_()
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(y, expected)
