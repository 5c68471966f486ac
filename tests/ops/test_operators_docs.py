# SPDX-License-Identifier: Apache-2.0
"""What docs/operators.md shows is run as it stands there, one block after the other."""

import re
from pathlib import Path

import pytest

import scam.ops

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "operators.md").read_text()


def test_every_block_runs(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL):
        exec(compile(block, "operators.md", "exec"), names)
    assert "reference: can serve this" in capsys.readouterr().out


def test_every_function_is_named() -> None:
    for name in scam.ops.__all__:
        assert name in PAGE or name == "Labels", name
