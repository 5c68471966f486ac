# SPDX-License-Identifier: Apache-2.0
"""One table of tested versions: what pip requires, what the docs show, what scam.info says."""

import re
import tomllib
from pathlib import Path

import pytest

from scam import info, version

ROOT = Path(__file__).resolve().parents[1]


def test_pyproject_asks_for_the_oldest() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = dict(
        re.match(r"([\w-]+)>=([\d.]+)", line).groups() for line in project["dependencies"]
    )
    asked["python"] = project["requires-python"].removeprefix(">=")
    assert {name: oldest for name, (oldest, _) in version.TESTED.items()} == asked
    major, minor = version.TESTED["torch"][0].split(".")
    assert f"MINIMUM_TORCH = ({major}, {minor})\n" in (ROOT / "setup.py").read_text()


def test_the_docs_show_the_table() -> None:
    assert version.table() in (ROOT / "docs" / "versions.md").read_text()


@pytest.mark.parametrize(
    ("found", "line"),
    [
        ("2.10.0", ""),
        ("2.15.7+cu132", ""),
        ("2.9.1", "torch 2.9.1 is older than 2.10, the oldest tested"),
        ("1.13", "torch 1.13 is older than 2.10, the oldest tested"),
        ("2.16.0a0+git12ab", "torch 2.16.0a0+git12ab is newer than 2.15, the newest tested"),
        ("3.0", "torch 3.0 is newer than 2.15, the newest tested"),
        (None, ""),
    ],
)
def test_what_lies_outside_is_named(
    found: str | None, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(version.TESTED, "torch", ("2.10", "2.15"))
    monkeypatch.setattr(version, "_installed", lambda name: found if name == "torch" else None)
    assert version.outside() == ([line] if line else [])
    assert f"untested  {line}\n" in info.report() or not line
