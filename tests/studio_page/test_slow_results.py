# SPDX-License-Identifier: Apache-2.0
"""What takes seconds: refined latents and one picture of scam.semia."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_user import HEIGHT, WIDTH, serving, users_of

from scam import semia
from scam.studio.__main__ import main


def test_refined_latents_are_repeated_without_a_browser(
    user: Any, studio: Any, tmp_path: Path
) -> None:
    before = user.look()
    user.press("t")
    transferred = user.look()
    user.page.select_option("#refine", "5")
    refined = user.look()
    assert user.status == "Latents refined in 5 steps."
    assert len({before, transferred, refined}) == 3
    session = tmp_path / "session.json"
    session.write_bytes(user.download("#save-session"))
    assert user.session()["refine"] == 5
    main([str(studio.run), "--replay", str(session), "--out", str(tmp_path / "again")])
    assert (
        user.download("[data-file='result.png']")
        == (tmp_path / "again" / "result.png").read_bytes()
    )
    user.press("Control+z")
    assert user.look() == transferred
    assert user.page.locator("#refine").input_value() == "0"


def test_what_takes_long_is_shown_and_given_up_for_something_newer(user: Any) -> None:
    before = user.look()
    steps = user.page.locator("#refine option").last
    steps.evaluate("option => { option.value = 1000; }")
    user.page.select_option("#refine", "1000")
    doing = user.page.locator("#doing")
    doing.filter(
        has_text=re.compile(r"Refining the latents of mannequin_val_\d+: \d+ %")
    ).wait_for()
    user.page.select_option("#refine", "0")
    assert user.look() == before
    assert user.page.locator("#working").is_hidden()
    assert user.page.locator("#error").is_hidden()


@pytest.fixture(scope="module")
def lake(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server of the embedded example of scam.semia."""
    folder = tmp_path_factory.mktemp("semia") / "lake"
    source = semia.example(HEIGHT, WIDTH)
    semia.learn(source.image, source.labels, out=folder)
    with serving(folder) as found:
        yield found


@pytest.fixture
def visitor(browser: Any, lake: Any) -> Iterator[Any]:
    with users_of(browser, lake) as made:
        user = made()
        user.open()
        yield user


def test_one_picture_is_drawn_again_under_its_label_map(visitor: Any, lake: Any) -> None:
    before = visitor.look()
    visitor.press("f", "0")
    x, y = np.argwhere(visitor.labels() == 4).mean(0)[::-1]
    visitor.click((x + 0.5) / WIDTH, (y + 0.5) / HEIGHT)
    assert visitor.look() != before
    assert not (visitor.labels() == 4).any()
    visitor.press("d")
    visitor.settled()
    visitor.press("d", "Control+z")
    assert visitor.look() == before


def test_one_picture_offers_what_it_can(visitor: Any) -> None:
    page = visitor.page
    for id in ("donors", "transfer", "style", "way", "change-host", "mode-attention", "refine"):
        assert not page.locator(f"#{id}").is_visible(), id
    page.click("#save summary")
    assert page.locator("#save button:visible").count() == 4
    page.click("#save summary")
    visitor.press("t", "a")
    assert page.locator("#error").is_hidden()


def test_the_session_of_one_picture_is_repeated(visitor: Any, lake: Any, tmp_path: Path) -> None:
    visitor.press("1")
    visitor.drag((0.2, 0.3), (0.7, 0.3))
    visitor.settled()
    session = tmp_path / "session.json"
    session.write_bytes(visitor.download("#save-session"))
    main([str(lake.run), "--replay", str(session), "--out", str(tmp_path / "again")])
    for name in ("result.png", "labels.png", "sheet.png"):
        downloaded = visitor.download(f"[data-file='{name}']")
        assert downloaded == (tmp_path / "again" / name).read_bytes(), name
