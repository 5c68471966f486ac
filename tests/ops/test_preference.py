# SPDX-License-Identifier: Apache-2.0
"""Which backend is asked first on a GPU."""

from dataclasses import replace

import pytest
import torch

from scam.ops import dispatch, preference, summary
from scam.ops.preference import ANY, Preference
from scam.ops.problem import AFFINE, ATTENTION, MODULATION, Problem

ON_GPU = Problem("cuda", torch.bfloat16, capability=(9, 0), gpu="NVIDIA H200")
MEASURED = Preference("NVIDIA H200", ATTENTION, "bfloat16", "cuda", "cuda 1 ms, triton 2 ms")
ELSEWHERE = Preference(ANY, ATTENTION, "bfloat16", "triton", "triton 3 ms, cuda 4 ms")


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[str, ...]]:
    """The two rows above, all backends able; what each refuses can be changed."""
    rows = {(row.gpu, row.op, row.dtype): row for row in (MEASURED, ELSEWHERE)}
    refused: dict[str, tuple[str, ...]] = {"cpu": ("computes on a CPU",)}
    monkeypatch.setattr(preference, "_table", lambda: rows)
    monkeypatch.setattr(dispatch, "_refusals", lambda name, problem: refused.get(name, ()))
    return refused


def test_what_was_measured_on_this_gpu_decides(table: dict[str, tuple[str, ...]]) -> None:
    assert dispatch.choose(ON_GPU) == "cuda"
    assert dispatch.choose(replace(ON_GPU, gpu="NVIDIA A100")) == "triton"
    assert dispatch.choose(replace(ON_GPU, gpu=None)) == "triton"


def test_of_other_ops_dtypes_and_devices_the_order_stays(
    table: dict[str, tuple[str, ...]],
) -> None:
    for other in ({"op": MODULATION}, {"dtype": torch.float32}, {"device_type": "cpu"}):
        problem = replace(ON_GPU, **other)
        assert preference.preference(problem) is None
        assert preference.ordered(dispatch.ORDER, problem) == dispatch.ORDER
        assert dispatch.choose(problem) == "triton"


def test_a_preferred_backend_that_refuses_is_passed_over(
    table: dict[str, tuple[str, ...]],
) -> None:
    table["cuda"] = ("not built",)
    assert dispatch.choose(ON_GPU) == "triton"
    assert dispatch.choose(ON_GPU, "reference") == "reference"


def test_info_says_which_and_why(table: dict[str, tuple[str, ...]]) -> None:
    line = "semantic_cross_attention, bfloat16 on cuda: "
    assert summary.choice(ON_GPU) == line + "cuda: cuda 1 ms, triton 2 ms"
    assert "triton, before cuda: nothing was" in summary.choice(replace(ON_GPU, op=MODULATION))
    table["cuda"] = ("not built",)
    assert summary.choice(ON_GPU) == line + "triton, the only one with kernels"
    table["triton"] = ("not installed",)
    assert summary.choice(ON_GPU) == line + "reference, as no kernels serve it"


def test_the_table_names_ops_and_backends_that_there_are() -> None:
    rows = preference._table().values()
    assert {row.op for row in rows} <= {ATTENTION, MODULATION, AFFINE}
    assert {row.backend for row in rows} <= set(dispatch.ORDER)
    for dtype in (torch.bfloat16, torch.float16):
        assert preference.preference(Problem("cuda", dtype)) is not None
