# SPDX-License-Identifier: Apache-2.0
"""What a progress bar leaves in a log file."""

import io
import sys

import pytest

from scam.commandline.progress import progress


@pytest.mark.parametrize("unit", ["images", None])
def test_lines_without_a_terminal(unit: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    with progress("evaluate", 4, unit=unit, logged=True) as bar:
        for _ in range(4):
            bar.update()
    first, last = log.getvalue().splitlines()
    assert "\r" not in log.getvalue()
    assert first.startswith("evaluate:   0% ")
    assert last.startswith("evaluate: 100% ")


def test_nothing_unless_logged(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("read", 4) as bar:
        bar.update(4)
    assert capsys.readouterr().err == ""
