# SPDX-License-Identifier: Apache-2.0
"""From a folder of photographs to a transfer: make the folder, check it, train, transfer.

``python examples/own_photographs.py WORK`` writes everything into the new folder WORK. Cartoon
people stand in for your photographs; replace :func:`make_folder` by your own.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from PIL import Image

from scam.data import Mannequins, save_label_png

SIZE = (96, 64)  # height, width of preset tiny; photographs may have any size


def make_folder(photos: Path, count: int) -> list[str]:
    """Write ``images/NAME.png``, ``labels/NAME.png`` and ``labels.txt``; returns the names."""
    people = Mannequins("train", count)
    for folder in ("images", "labels"):
        (photos / folder).mkdir(parents=True)
    names = [f"person_{index}" for index in range(count)]
    for index, name in enumerate(names):
        image, labels = people.load(index, SIZE)  # uint8 (H, W, 3) and integers (H, W)
        Image.fromarray(image).save(photos / "images" / f"{name}.png")
        save_label_png(photos / "labels" / f"{name}.png", labels)  # the value is the label
    lines = [f"{label} {name}" for label, name in enumerate(people.label_set.names)]
    (photos / "labels.txt").write_text("\n".join(lines) + "\n")
    return names


def scam(*words: object) -> None:
    """Run a command as in a shell: ``scam train ...``."""
    command = [sys.executable, "-m", "scam", *map(str, words)]
    print("$ scam", *words, flush=True)
    subprocess.run(command, check=True)


def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path, metavar="WORK", help="new folder")
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--steps", type=int, default=300, help="more is better (default: 300)")
    args = parser.parse_args()
    if args.work.exists():
        parser.error(f"WORK {args.work}: already exists, expected a new folder")
    photos, run = args.work / "photos", args.work / "run"
    names = make_folder(photos, args.pictures)
    scam("data", "check", photos)
    scam("train", "--data", photos, "--preset", "tiny", "--steps", args.steps, "--out", run)
    scam(
        "transfer", run, "--subject", names[0], "--background", names[1],
        "--out", args.work / "transfer.png", "--sheet", args.work / "sheet.png",
    )  # fmt: skip


if __name__ == "__main__":
    main()
