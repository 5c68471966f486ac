# SPDX-License-Identifier: Apache-2.0
"""Triton's interpreter must be chosen before triton is imported: hence a process of its own."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).with_name("interpreted_attention.py")
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)


def interpret(chosen: str, cases: Path = CASES) -> None:
    """Run the cases with the chosen marks; their output is the message of a failure."""
    command = [sys.executable, "-m", "pytest", "-x", "-m", chosen, str(cases)]
    done = subprocess.run(
        command,
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        cwd=cases.parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def test_attention() -> None:
    interpret("not slow")


@pytest.mark.exhaustive
def test_attention_at_length() -> None:
    interpret("slow")
