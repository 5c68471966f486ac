# SPDX-License-Identifier: Apache-2.0
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scam import info
from scam.errors import InputError
from scam.ops import backend_names
from scam.settings import environment
from scam.version import __version__


def test_every_backend_is_listed_with_its_reason() -> None:
    text = info.report()
    assert f"scam      {__version__}" in text
    assert torch.__version__ in text
    for name in backend_names():
        assert f"\n  {name} on cpu: " in text
    assert "reference on cpu: yes" in text


def test_what_the_build_wrote_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(info, "BUILD_INFO", tmp_path / "none.json")
    assert "pure Python" in info.report()
    written = tmp_path / "info.json"
    written.write_text(json.dumps({"compiler": "g++ 12.2", "dirty": False}))
    monkeypatch.setattr(info, "BUILD_INFO", written)
    assert "  compiler: g++ 12.2\n  dirty: False\n" in info.report()


def test_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scam.info", "--what"], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 2
    assert (
        done.stderr == "python -m scam.info: error: unrecognized arguments: --what (see --help)\n"
    )


def test_variables_are_parsed_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCAM_CHECK", "yes")
    environment.check.cache_clear()
    with pytest.raises(InputError, match="SCAM_CHECK='yes': expected 0 or 1"):
        environment.check()
    monkeypatch.setenv("SCAM_CHECK", "1")
    assert environment.check()
    environment.check.cache_clear()
    monkeypatch.delenv("SCAM_CHECK")
    assert not environment.check()
    environment.check.cache_clear()
