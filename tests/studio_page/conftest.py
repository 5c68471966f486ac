# SPDX-License-Identifier: Apache-2.0
"""The studio as its users have it: ``python -m scam.studio`` and a browser that stays silent."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")
pytest.importorskip("uvicorn")

from page_user import HEIGHT, WIDTH, Studio, User, serving, users_of
from playwright import sync_api

from scam import train

CHROMIUM = shutil.which("chromium")
RUN = [
    *("--size", str(HEIGHT), str(WIDTH), "--batch-size", "2", "--workers", "0", "--steps", "1"),
    *("--warmup", "0", "--latents-per-label", "2", "--background-latents", "2"),
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("Debian's chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="session")
def studio(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    run = tmp_path_factory.mktemp("studio") / "run"
    train.main(["--out", str(run), *RUN])
    with serving(run) as found:
        yield found


@pytest.fixture
def new_user(browser: Any, studio: Studio) -> Iterator[Any]:
    """new_user(**options of the window): a :class:`User`."""
    with users_of(browser, studio) as made:
        yield made


@pytest.fixture
def user(new_user: Any) -> User:
    """Somebody who has opened the page."""
    found: User = new_user()
    found.open()
    return found
