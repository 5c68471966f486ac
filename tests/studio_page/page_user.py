# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.studio`` as a server of its own, and somebody who looks at it in a browser."""

import json
import re
import zlib
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.studio_browser import served

sync_api = pytest.importorskip("playwright.sync_api")

HEIGHT, WIDTH = 48, 32
# Pointers are followed and pictures drawn once a frame.
TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


class Studio(NamedTuple):
    """Where it answers, and whose model it is."""

    address: str
    run: Path


@contextmanager
def serving(run: Path) -> Iterator[Studio]:
    """A server of its own for what a folder holds."""
    with served(str(run)) as address:
        yield Studio(address, run)


class User:
    """A window, and what people do and see in it.

    Points are shares of the label map's width and height. What the page says on the console is
    an error, but for lines that begin like one of ``expected``.
    """

    def __init__(self, browser: Any, studio: Studio, **options: Any) -> None:
        size = {"width": 1280, "height": 800}
        self.context = browser.new_context(
            base_url=studio.address, **{"viewport": size, **options}
        )
        self.expected: list[str] = []
        self.said: list[str] = []
        self.asked: list[str] = []
        self.context.on("console", lambda message: self.said.append(message.text))
        self.context.on("weberror", lambda error: self.said.append(str(error.error)))
        self.context.on("request", lambda request: self.asked.append(request.url))
        self.ended: list[str] = []
        for end in ("requestfinished", "requestfailed"):
            self.context.on(end, lambda request: self.ended.append(request.url))
        self.context.set_default_timeout(20_000)
        self.page = self.context.new_page()

    def open(self) -> None:
        self.page.goto("/")
        self.wait()

    def wait(self) -> None:
        """Until the page has opened what it opens by itself, and the first result is there."""
        status = self.page.locator("#status")
        sync_api.expect(status).to_have_text(re.compile("Draw on|was restored"), timeout=40_000)
        latency = self.page.locator("#latency")
        sync_api.expect(latency).to_have_text(re.compile(r"\d m?s"), timeout=40_000)

    def at(self, x: float, y: float) -> tuple[float, float]:
        box = self.page.locator("#map").bounding_box()
        scale = min(box["width"] / WIDTH, box["height"] / HEIGHT)
        return (
            box["x"] + box["width"] / 2 + (x - 0.5) * WIDTH * scale,
            box["y"] + box["height"] / 2 + (y - 0.5) * HEIGHT * scale,
        )

    def drag(self, *points: tuple[float, float]) -> None:
        mouse = self.page.mouse
        mouse.move(*self.at(*points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.at(*point), steps=4)
        mouse.up()

    def click(self, x: float, y: float) -> None:
        self.page.mouse.click(*self.at(x, y))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def text(self, selector: str) -> str:
        found: str = self.page.locator(selector).inner_text()
        return found

    @property
    def status(self) -> str:
        return self.text("#status")

    def settled(self) -> None:
        """Until no answer is awaited and everything is drawn."""
        self.page.evaluate(TWO_FRAMES)
        result = sync_api.expect(self.page.locator("#result"))
        result.not_to_have_attribute("aria-busy", "true", timeout=30_000)
        self.page.wait_for_timeout(20)  # what follows a result is asked by then
        while len(self.ended) < len(self.asked):
            self.page.wait_for_timeout(20)
        self.page.evaluate(TWO_FRAMES)

    def look(self, canvas: str = "#result") -> str:
        """What a canvas shows, without a cursor on it."""
        self.page.mouse.move(2, 2)
        self.settled()
        found: str = self.page.evaluate(f"document.querySelector('{canvas}').toDataURL()")
        return found

    def download(self, button: str) -> bytes:
        self.page.click("#save summary")
        with self.page.expect_download() as download:
            self.page.click(button)
        return Path(download.value.path()).read_bytes()

    def session(self) -> dict[str, Any]:
        """The session as it is downloaded."""
        found: dict[str, Any] = json.loads(self.download("#save-session"))
        return found

    def labels(self) -> NDArray[np.uint8]:
        """The label map of the session."""
        packed = self.session()["map"]
        data = np.frombuffer(zlib.decompress(b64decode(packed["zlib"])), np.uint8)
        return data.reshape(packed["height"], packed["width"])


@contextmanager
def users_of(browser: Any, studio: Studio) -> Iterator[Any]:
    """made(**options of the window): a :class:`User`, of whom nothing odd was heard in the end."""
    users: list[User] = []

    def made(**options: Any) -> User:
        users.append(User(browser, studio, **options))
        return users[-1]

    yield made
    here = (studio.address, f"blob:{studio.address}", "data:")
    for user in users:
        user.context.close()
        assert [url for url in user.asked if not url.startswith(here)] == []
        unexpected = [text for text in user.said if not text.startswith(tuple(user.expected))]
        assert unexpected == []
