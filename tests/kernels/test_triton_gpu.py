# SPDX-License-Identifier: Apache-2.0
"""What only a GPU can tell of the Triton kernels: 16-bit products, races, graphs, waiting."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from repeats import assert_repeats
from waiting import no_waiting

from scam.nn.pyramid import LabelPyramid
from scam.ops import SemanticLayout, semantic_cross_attention, semantic_modulation
from scam.testing import (
    MAPS,
    assert_matches_oracle,
    make_inputs,
    make_modulation_inputs,
    modulation_outcome,
    outcome,
    poisoned_memory,
)
from scam.testing.modulation import assert_modulation_matches_oracle

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
SIDES = {"pixels_read": (3000, 24), "latents_read": (24, 3000), "many": (700, 500)}
DTYPES = (torch.bfloat16, torch.float16, torch.float32)


@pytest.fixture(params=SIDES)
def sizes(request: pytest.FixtureRequest) -> dict[str, Any]:
    queries, keys = SIDES[request.param]
    return {"queries": queries, "keys": keys, "device": "cuda"}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", [43, 64, 128, 256, 300])
@pytest.mark.parametrize("memory", ["channels_first", "channels_last"])
def test_matches_the_oracle(
    sizes: dict[str, Any], dtype: torch.dtype, width: int, memory: str
) -> None:
    with poisoned_memory():
        inputs = make_inputs(**sizes, width=width, memory=memory, dtype=dtype)
        assert_matches_oracle(inputs, backend="triton")


@pytest.mark.parametrize("shared", [False, True])
def test_uniform_and_grouped_heads(sizes: dict[str, Any], shared: bool) -> None:
    inputs = make_inputs(**sizes, heads=4, key_heads=2, shared_value=shared, dtype=torch.bfloat16)
    assert_matches_oracle(inputs, backend="triton", empty="uniform")


def test_repeats_are_bit_equal(sizes: dict[str, Any]) -> None:
    inputs = make_inputs(**sizes, width=64, dtype=torch.bfloat16)
    assert_repeats(outcome, inputs, "triton", times=20)


def test_a_graph_replays_with_other_labels(sizes: dict[str, Any]) -> None:
    inputs = make_inputs(**sizes, width=64, dtype=torch.bfloat16)
    other = make_inputs(**sizes, width=64, dtype=torch.bfloat16, seed=5)
    arguments = inputs.arguments()
    with torch.no_grad():
        semantic_cross_attention(*arguments, backend="triton")
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = semantic_cross_attention(*arguments, backend="triton")
        for mine, theirs in zip(arguments, other.arguments(), strict=True):
            mine.copy_(theirs)  # type: ignore[union-attr, arg-type]
        graph.replay()
        expected = semantic_cross_attention(*other.arguments(), backend="triton")
    assert torch.equal(out, expected)


def test_nothing_waits_for_the_device(sizes: dict[str, Any]) -> None:
    inputs = make_inputs(**sizes, width=64, dtype=torch.bfloat16).leaves()
    for mode in (nullcontext, no_waiting):  # once to compile
        for empty in ("zero", "uniform"):
            with mode():
                out = semantic_cross_attention(*inputs.arguments(), empty=empty, backend="triton")
                out.backward(torch.ones_like(out))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("channels", "heads"), [(43, 2), (128, 1)])
@pytest.mark.parametrize("memory", MAPS)
def test_modulation(dtype: torch.dtype, channels: int, heads: int, memory: str) -> None:
    inputs = make_modulation_inputs(
        size=(31, 33), channels=channels, heads=heads, tokens=40, memory=memory, dtype=dtype,
        device="cuda",
    )  # fmt: skip
    with poisoned_memory():
        assert_modulation_matches_oracle(inputs, backend="triton")
    assert_repeats(modulation_outcome, inputs, "triton")


def test_modulation_does_not_wait_for_the_device() -> None:
    inputs = make_modulation_inputs(
        size=(32, 32), channels=64, dtype=torch.bfloat16, device="cuda"
    ).leaves()
    for mode in (nullcontext, no_waiting):  # once to compile
        with mode():
            y = semantic_modulation(**inputs.arguments(), backend="triton")
            y.backward(torch.ones_like(y))


@pytest.mark.parametrize("num_labels", [19, 151])
@pytest.mark.parametrize("noise", [0.0, 0.05, 1.0])
def test_label_pyramids_are_those_of_the_cpu(num_labels: int, noise: float) -> None:
    generator = torch.Generator().manual_seed(num_labels)
    blocks, pixels = (
        torch.randint(-1, num_labels, (4, *size), generator=generator)
        for size in ((16, 11), (250, 171))
    )
    blocks = blocks.repeat_interleave(16, 1).repeat_interleave(16, 2)[:, :250, :171]
    labels = torch.where(torch.rand(4, 250, 171, generator=generator) < noise, pixels, blocks)
    expected, on_gpu = LabelPyramid.build(labels, num_labels, 7), labels.cuda()
    for mode in (nullcontext, no_waiting):  # once to compile
        with mode():
            found = LabelPyramid.build(on_gpu, num_labels, 7)
    assert torch.equal(found.present.cpu(), expected.present)
    for made, layout, level in zip(found.maps, found.groups, expected.maps, strict=True):
        assert torch.equal(made.cpu(), level)
        assert isinstance(layout, SemanticLayout)
        by_cpu = SemanticLayout.build(level, num_labels)
        for name in ("labels", "order", "offsets"):
            assert torch.equal(getattr(layout, name).cpu(), getattr(by_cpu, name))
