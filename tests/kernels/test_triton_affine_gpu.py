# SPDX-License-Identifier: Apache-2.0
"""What only a GPU can tell of the affine's Triton kernels: bf16, races, graphs, waiting."""

from contextlib import nullcontext

import pytest
import torch
from repeats import assert_repeats
from waiting import no_waiting

from scam.ops import indexed_affine
from scam.testing import (
    MAPS,
    affine_outcome,
    assert_affine_matches_oracle,
    make_affine_inputs,
    poisoned_memory,
)
from scam.testing.affine import INDICES

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
DTYPES = (torch.bfloat16, torch.float16, torch.float32)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("channels", [43, 64, 512])
@pytest.mark.parametrize("memory", MAPS)
@pytest.mark.parametrize("kind", INDICES)
def test_matches_the_oracle(dtype: torch.dtype, channels: int, memory: str, kind: str) -> None:
    for rows in (19, 2000):
        inputs = make_affine_inputs(
            channels=channels, size=(60, 64), rows=rows, memory=memory, kind=kind, dtype=dtype,
            device="cuda",
        )  # fmt: skip
        with poisoned_memory():
            assert_affine_matches_oracle(inputs, backend="triton")


@pytest.mark.parametrize("kind", INDICES)
def test_repeats_are_bit_equal(kind: str) -> None:
    inputs = make_affine_inputs(
        channels=64, size=(128, 128), rows=19, kind=kind, dtype=torch.bfloat16, device="cuda"
    )
    assert_repeats(affine_outcome, inputs, "triton", times=20)


def test_a_graph_replays_with_another_index() -> None:
    inputs, other = (
        make_affine_inputs(channels=64, size=(64, 64), device="cuda", seed=seed) for seed in (0, 5)
    )
    with torch.no_grad():
        indexed_affine(**inputs.arguments(), backend="triton")
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y = indexed_affine(**inputs.arguments(), backend="triton")
        inputs.index.copy_(other.index)
        graph.replay()
        assert torch.equal(y, indexed_affine(**inputs.arguments(), backend="triton"))


def test_nothing_waits_for_the_device() -> None:
    inputs = make_affine_inputs(channels=64, size=(64, 64), device="cuda").leaves()
    for mode in (nullcontext, no_waiting):  # once to compile
        with mode():
            y = indexed_affine(**inputs.arguments(), backend="triton")
            y.backward(torch.ones_like(y))
