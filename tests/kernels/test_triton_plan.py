# SPDX-License-Identifier: Apache-2.0
"""Sorting and planning kernels under the interpreter, see test_triton_interpreted.py."""

import importlib.util
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from test_triton_interpreted import interpret

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)


def test_sorting_and_planning() -> None:
    interpret("not slow", Path(__file__).with_name("interpreted_plan.py"))
