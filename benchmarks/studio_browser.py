# SPDX-License-Identifier: Apache-2.0
"""How long a stroke takes in the browser, from letting go of the pointer to the drawn result.

``python -m benchmarks.studio_browser [CHECKPOINT]`` opens the studio in Chromium without a window,
draws strokes on the label map, and prints the median and the slowest. Needs the extra ``[dev]``
and a ``chromium`` on the path.
"""

import argparse
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from scam.errors import InputError, counted

STROKES = 30
# The page writes the latency of a result once it has drawn it; the frame after shows both. Results
# of the unfinished stroke may come first, so it is the last one that counts.
WATCH = """() => {
  window.stroke = { released: 0, drawn: 0 };
  addEventListener("pointerup", () => { stroke.released = performance.now(); }, true);
  new MutationObserver(() => requestAnimationFrame(() => { stroke.drawn = performance.now(); }))
    .observe(document.querySelector("#latency"), { childList: true });
}"""
TAKEN = """() => {
  const awaited = document.querySelector("#result").getAttribute("aria-busy") === "true";
  return awaited || stroke.drawn < stroke.released ? 0 : stroke.drawn - stroke.released;
}"""
PAUSE_MS = 200
"""After a stroke; within it whatever the stroke still asks for has been asked for."""


@contextmanager
def served(checkpoint: str) -> Iterator[str]:
    """The address of a studio in a process of its own. InputError if it does not start."""
    command = [sys.executable, "-m", "scam.studio", checkpoint, "--no-browser", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        found = (word for line in server.stdout for word in re.findall(r"http://\S+", line))
        try:
            if (address := next(found, None)) is None:
                raise InputError(f"{checkpoint}: the studio does not start")
            yield address
        finally:
            server.terminate()


@contextmanager
def window(address: str) -> Iterator[Any]:
    """Chromium's page at an address, 1280x800 pixels large, as Playwright has it."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        raise InputError("chromium is not installed: run apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(address)
        yield page
        browser.close()


def measure(address: str, strokes: int) -> list[float]:
    """Milliseconds of each stroke, after one to warm up."""
    from playwright.sync_api import expect

    with window(address) as page:
        expect(page.locator("#latency")).to_have_text(re.compile(r"\d m?s"), timeout=40_000)
        page.evaluate(WATCH)
        box = page.locator("#map").bounding_box()
        taken: list[float] = []
        for number in range(strokes + 1):
            # A line somewhere else each time: strokes that change nothing ask for nothing.
            x = box["x"] + box["width"] * (0.4 + 0.2 * number / strokes)
            page.mouse.move(x, box["y"] + 0.4 * box["height"])
            page.mouse.down()
            page.mouse.move(x, box["y"] + 0.6 * box["height"], steps=4)
            page.mouse.up()
            page.wait_for_timeout(PAUSE_MS)
            while not (milliseconds := page.evaluate(TAKEN)):
                page.wait_for_timeout(PAUSE_MS)
            taken.append(milliseconds)
    return taken[1:]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studio_browser")
    parser.add_argument("checkpoint", nargs="?", default="demo")
    parser.add_argument("--strokes", type=int, default=STROKES, help=f"default: {STROKES}")
    args = parser.parse_args(argv)
    with served(args.checkpoint) as address:
        found = measure(address, max(1, args.strokes))
    middle, most = statistics.median(found), max(found)
    print(f"{counted(len(found), 'stroke')}: median {middle:.0f} ms, most {most:.0f} ms")


if __name__ == "__main__":
    main()
