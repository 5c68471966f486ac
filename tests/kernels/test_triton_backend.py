# SPDX-License-Identifier: Apache-2.0
"""What the Triton backend says before any kernel runs."""

import importlib.util
from dataclasses import replace

import pytest
import torch

from scam.ops.backends import triton as backend
from scam.ops.problem import Problem

ON_GPU = Problem("cuda", torch.bfloat16, capability=(9, 0))


@pytest.fixture(autouse=True)
def _modern_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())


def test_serves_a_modern_gpu() -> None:
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        assert backend.refusals(replace(ON_GPU, dtype=dtype)) == []


def test_refuses_the_cpu_unless_interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    on_cpu = Problem("cpu", torch.float32)
    assert backend.refusals(on_cpu) == ["computes on a GPU, the tensors are on cpu"]
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert backend.refusals(on_cpu) == []


def test_refuses_fp64() -> None:
    (why,) = backend.refusals(Problem("cuda", torch.float64))
    assert why.startswith("float64 is not supported on a GPU; use bf16, fp16 or fp32")


def test_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert backend.refusals(ON_GPU) == ["triton is not installed: pip install triton"]


def test_refuses_an_old_gpu() -> None:
    (why,) = backend.refusals(replace(ON_GPU, capability=(7, 5)))
    assert why == "needs compute capability 8.0 or higher, this GPU has 7.5"
