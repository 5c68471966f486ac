# SPDX-License-Identifier: Apache-2.0
"""Kernels of label pyramids: values under the interpreter, and compiled for GPUs not here."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
import aot
from test_triton_interpreted import interpret

from scam.ops.backends import triton_pyramid

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)


CASES = Path(__file__).with_name("interpreted_pyramid.py")


def test_values() -> None:
    interpret("not slow", CASES)


@pytest.mark.exhaustive
def test_values_at_length() -> None:
    interpret("slow", CASES)


@pytest.mark.parametrize(
    ("target", "num_labels"),
    [(90, 19), *(pytest.param(t, 151, marks=pytest.mark.exhaustive) for t in (80, 89, 90, 100))],
)
def test_kernels_compile_without_spills(target: int, num_labels: int) -> None:
    with aot.compiling(target) as found:
        triton_pyramid.label_pyramid(torch.zeros(2, 32, 32, dtype=torch.int64), num_labels, 1, 4)
    assert [made.kernel for made in found] == ["known", "majority", "rescue"]
    for made in found:
        assert made.stack == made.local == made.traps == 0, made.kernel
        assert made.programs >= (1 if made.kernel == "rescue" else 2)
        assert made.shared <= 32 * 1024


def test_other_sizes_compile_nothing_anew() -> None:
    wanted = []
    for batch, size in ((8, (256, 256)), (1, (96, 64)), (5, (250, 171))):
        with aot.wanting(90) as found:
            labels = torch.zeros(batch, *size, dtype=torch.int64)
            triton_pyramid.label_pyramid(labels, 19, 1, 5)
        wanted.append(found)
    assert wanted[0]
    assert all(found == wanted[0] for found in wanted)
