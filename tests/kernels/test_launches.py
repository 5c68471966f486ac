# SPDX-License-Identifier: Apache-2.0
"""How many launches an op takes on a GPU, and that none of them plans twice."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from scam.ops import (
    SemanticLayout,
    attention_library,
    dispatch,
    modulation_library,
    sorting_library,
)
from scam.ops.backends import triton as backend
from scam.ops.backends import triton_modulation, triton_plan

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)
sys.path.insert(0, str(Path(__file__).parent))
from launches import INSIDE, Operations, noted  # noqa: E402

SORT = {
    "uint8": ["count", "place"],
    "int64": ["rank", "count", "place"],
    "layouts": [],
    "layout of keys": ["count", "place"],
}
PIXELS, TOKENS, LABELS = 400, 24, 3


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(dispatch, "serving", lambda name, problem: backend)
    monkeypatch.setattr(triton_plan, "available", lambda tensor: True)
    return noted((backend, triton_plan, triton_modulation), monkeypatch)


def sides(given: str, items: int, keys: int) -> tuple[list[Tensor], list[Tensor | None]]:
    """Labels (2, items) and (2, keys), and their layouts."""
    dtype = torch.uint8 if given == "uint8" else torch.int64
    labels = [torch.arange(n, dtype=dtype).expand(2, -1) % LABELS for n in (items, keys)]
    layouts: list[Tensor | None] = []
    for side, known in zip(labels, (given == "layouts", "layout" in given), strict=True):
        built = SemanticLayout.build(side, LABELS, most=8)
        layouts += [built.order, built.offsets] if known else [None, None]
    return labels, layouts


@pytest.mark.parametrize("given", SORT)
@pytest.mark.parametrize("pixels_read", [True, False])
def test_attention(given: str, pixels_read: bool, launched: list[str]) -> None:
    sizes = (PIXELS, TOKENS) if pixels_read else (TOKENS, PIXELS)
    labels, layouts = sides(given, *sizes)
    query, key = (torch.randn(2, 1, n, 32, requires_grad=True) for n in sizes)
    operations = Operations(INSIDE)
    with operations:
        options = (0.1, "zero", "triton", 8, 8)
        out, *_ = attention_library.sca_fwd(query, key, None, *labels, *layouts, *options)
        forward = ["cut", "forward"] if pixels_read else ["split", "forward", "combine"]
        assert launched == SORT[given] + forward
        launched.clear()
        torch.autograd.grad(out, (query, key), torch.ones_like(out))
    assert launched == ["split", "backward", "add_pieces"]
    assert set(operations.names) <= {"ones_like"}


@pytest.mark.parametrize("given", SORT)
def test_modulation(given: str, launched: list[str]) -> None:
    labels, layouts = sides(given, PIXELS, TOKENS)
    x, noise_scale = torch.randn(2, 32, PIXELS, requires_grad=True), None
    keys, bias, gamma, beta = (torch.randn(2, 1, TOKENS, 32) for _ in range(4))
    inputs: Any = (x, labels[0], keys, bias[..., 0], gamma, beta, labels[1], *[None] * 4)
    operations = Operations(INSIDE)
    with operations:
        options = (1e-5, 0.2, "triton", 8)
        y, *_ = modulation_library.modulation_fwd(*inputs, noise_scale, *layouts, *options)
        assert launched == [*SORT[given], "measure", "combine", "cut", "modulate"]
        launched.clear()
        torch.autograd.grad(y, x, torch.ones_like(y))
    sums = ["split", "token_gradients", "add_tokens", "add_channels"]
    assert launched == [*sums, "subtract_means"]
    assert set(operations.names) <= {"ones_like"}


@pytest.mark.parametrize("given", SORT)
def test_the_cuda_backend_plans_the_same_way(given: str, launched: list[str]) -> None:
    """Sums over pixels take two launches for what was sorted before."""
    from scam.ops.backends import cuda_call

    labels, layouts = sides(given, PIXELS, TOKENS)
    both = (labels[0], tuple(layouts[:2])), (labels[1], tuple(layouts[2:]))
    operations = Operations(INSIDE)
    with operations:
        sorted_sides: Any = sorting_library.layouts_for("cuda", *both, by_size=True)
        assert launched == SORT[given]
        launched.clear()
        given_both = (labels[0], sorted_sides[:2]), (labels[1], sorted_sides[2:])
        wide, narrow = given_both
        triton_plan.TileTables(triton_plan.sort_sides(wide, narrow), 64).split(100, 100)
        assert cuda_call.sort_sides is triton_plan.sort_sides
    assert launched == ["split"]
    assert operations.names == []
