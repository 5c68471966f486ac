# SPDX-License-Identifier: Apache-2.0
"""axe-core finds nothing in any state; nothing is wider than the window."""

from typing import Any

import pytest

axe = pytest.importorskip("axe_playwright_python.sync_playwright")


def expect_accessible(user: Any, state: str) -> None:
    found = axe.Axe().run(user.page)
    assert found.violations_count == 0, f"{state}: {found.generate_report()}"
    wide = user.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0, state


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 820)])
def test_axe_finds_nothing(new_user: Any, scheme: str, width: int) -> None:
    user = new_user(viewport={"width": width, "height": 800}, color_scheme=scheme)
    user.open()
    expect_accessible(user, "start")
    user.press("t", "3")
    user.page.select_option("#from", "mean")
    user.page.click("#show-strip")
    user.page.check("#paste")
    user.press("c")
    user.settled()
    expect_accessible(user, "a style and the comparison")
    user.press("v", "a")
    user.page.click("#save summary")
    user.page.evaluate("document.querySelector('#error').hidden = false")
    expect_accessible(user, "region, attention, menu and an error")
    user.page.click("#save summary")
    user.press("?")
    expect_accessible(user, "help")
    user.press("Escape")
    user.page.click("#add-donor")
    user.settled()
    expect_accessible(user, "the choice of a picture")


def test_tab_reaches_every_control(user: Any) -> None:
    reached = set()
    for _ in range(80):
        user.press("Tab")
        reached.add(user.page.evaluate("document.activeElement.id"))
    wanted = {
        "show-help",
        "tool-brush",
        "size",
        "map",
        "mode-result",
        "amount",
        "transfer",
        "from",
    }
    assert wanted <= reached
    user.press("?")
    user.page.locator("#help").wait_for()
    for word in ("Refine latents", "Paste back", "session"):
        assert word in user.text("#help")
    user.press("Escape")
    user.page.locator("#help").wait_for(state="hidden")
