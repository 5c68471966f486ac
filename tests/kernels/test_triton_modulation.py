# SPDX-License-Identifier: Apache-2.0
"""The modulation's kernels under the interpreter, see test_triton_interpreted.py."""

import importlib.util
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from test_triton_interpreted import interpret

CASES = Path(__file__).with_name("interpreted_modulation.py")
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)


def test_modulation() -> None:
    interpret("not slow", CASES)


@pytest.mark.exhaustive
def test_modulation_at_length() -> None:
    interpret("slow", CASES)
