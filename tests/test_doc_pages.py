# SPDX-License-Identifier: Apache-2.0
"""Figures and tables of README.md and docs/."""

import re
from pathlib import Path

import pytest

import scam

ROOT = Path(__file__).resolve().parents[1]
README, DOCS = ROOT / "README.md", ROOT / "docs"
PAGES = [README, *sorted(DOCS.glob("*.md"))]
COMMAND = re.compile(r"\b(python docs/\w+\.py|scam \w+) ")
NEAR = 25  # lines before a figure, or after it
WIDEST = 100  # characters of a line of a table


def lines(page: Path) -> list[str]:
    return page.read_text(encoding="utf-8").splitlines()


def figures(page: Path) -> list[tuple[int, Path]]:
    """Line and file of each figure of a page."""
    return [
        (number, (page.parent / found).resolve())
        for number, line in enumerate(lines(page))
        for found in re.findall(r"!\[.+?\]\((.+?)\)", line)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_figure_is_there_and_has_its_command_beside_it(page: Path) -> None:
    for number, file in figures(page):
        assert file.is_file(), file
        near = lines(page) if page == README else lines(page)[max(0, number - NEAR) :][: 2 * NEAR]
        assert COMMAND.search("\n".join(near)), f"{page.name}: no command makes {file.name}"


def test_every_figure_is_shown() -> None:
    shown = {file for page in PAGES for _, file in figures(page)}
    for file in [*DOCS.glob("*.png"), *DOCS.glob("*.svg")]:
        assert file in shown, f"{file.name} is on no page"


@pytest.mark.parametrize("name", [p.stem for p in sorted((DOCS / "api").glob("*.rst"))])
def test_reference_pages_hold_every_public_name(name: str) -> None:
    assert name in scam.__all__
    package = getattr(scam, name)
    text = (DOCS / "api" / f"{name}.rst").read_text()
    listed = set(
        re.findall(rf"^\.\. auto\w+:: scam\.{name}\.(?:\w+\.)*(\w+)$", text, re.MULTILINE)
    )
    assert listed >= set(getattr(package, "__all__", ()))
    assert f"api/{name}\n" in (DOCS / "index.rst").read_text()


@pytest.mark.parametrize("page", [*DOCS.glob("*.md")], ids=lambda page: page.name)
def test_tables_fit_on_a_screen(page: Path) -> None:
    if page.name == "studio.md":
        pytest.skip("its tables describe JSON, in words that do not break")
    for number, line in enumerate(lines(page), start=1):
        assert not line.startswith("|") or len(line) <= WIDEST, (
            f"{page.name}:{number}: {len(line)}"
        )
