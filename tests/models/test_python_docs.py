# SPDX-License-Identifier: Apache-2.0
"""What docs/python.md shows is run as it stands there."""

import re
from pathlib import Path

import pytest
from PIL import Image

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "python.md").read_text()


def test_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "python.md", "exec"), names)
    assert Image.open("anna_in_street.png").size == (64, 96)
    said = re.findall(r"print\(error\)  # (.*)", PAGE)
    assert said
    assert set(said) <= set(capsys.readouterr().out.splitlines())
