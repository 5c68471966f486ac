# SPDX-License-Identifier: Apache-2.0
"""Make studio.png, the page as a browser shows it: ``python docs/studio_figure.py RUN``."""

import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from scam.commandline import command
from scam.commandline.console import say
from scam.storage.files import write_aside

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # benchmarks is not installed
from benchmarks.studio_browser import served, window

PROG = "python docs/studio_figure.py"
HAIR, UPPER_BODY = "1", "3"


def main(argv: Sequence[str] | None = None) -> None:
    """Somebody else in the host's place, with longer hair, on a page 1280x800 pixels large."""
    examples = "  python docs/studio_figure.py demo"
    about = "Make studio.png of a model of mannequins (needs playwright and chromium)."
    parser = command.Parser(PROG, about, examples)
    parser.add_argument("run", help="what make train leaves")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("studio.png"))
    args = parser.parse_args(argv)
    with served(args.run) as address, window(address) as page:
        page.locator("#status", has_text="Draw on").wait_for()
        edit(page)
        picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
    with write_aside(args.out) as file:
        picture.save(file, "PNG", optimize=True)
    say(f"{args.out}: {args.out.stat().st_size // 1000} kB")


def edit(page: Any) -> None:
    """Transfer a donor's subject, draw hair, and take the upper body from another donor."""
    page.get_by_role("radio", name="mannequin_val_00003").click()
    page.keyboard.press("t")
    page.keyboard.press(HAIR)
    box = page.locator("#map").bounding_box()
    width = box["height"] * 2 / 3  # of the image, which is 96x64

    def at(x: float, y: float) -> tuple[float, float]:
        """A point of the image, in shares of its sides."""
        return box["x"] + box["width"] / 2 + (x - 0.5) * width, box["y"] + y * box["height"]

    page.mouse.move(*at(0.36, 0.23))
    page.mouse.down()
    page.mouse.move(*at(0.37, 0.36), steps=8)
    page.mouse.up()
    page.keyboard.press(UPPER_BODY)
    page.locator("#from").select_option(label="mannequin_val_00002")
    page.locator("#map").evaluate("map => map.blur()")
    page.mouse.move(2, 2)
    page.locator("#result[aria-busy=false]").wait_for()
    # How long it took differs from run to run.
    page.locator("#latency").evaluate("line => { line.style.visibility = 'hidden'; }")
    page.wait_for_timeout(500)


if __name__ == "__main__":
    command.run(main, PROG)
