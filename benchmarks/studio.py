# SPDX-License-Identifier: Apache-2.0
"""How long the studio takes for a stroke, against encoding every image again.

``python -m benchmarks.studio [CHECKPOINT]`` prints the table of docs/studio.md: of a trained model
(default: runs/mannequins) and of one of random weights at 256 px (preset celebamask-hq).
"""

import argparse
import base64
import json
import os
import statistics
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "20000")

import numpy as np
import torch

from scam.data import Mannequins
from scam.editing.pictures import Picture
from scam.editing.sources import Folder
from scam.errors import sized
from scam.models import Scam, ScamConfig
from scam.models.checkpoint import Checkpoint, load_checkpoint
from scam.studio.app import Answers
from scam.studio.flags import MANNEQUINS
from scam.studio.opener import Opener
from scam.studio.pictures import Pictures
from scam.studio.session import FORMAT, PictureData

ROUNDS = 30
BUDGET_S = 20
"""After which no round is begun."""
HEAD = """\
| model | height x width | a stroke, ms | encoding everything, ms | ratio |
|---|---|---|---|---|"""


def random_model() -> Checkpoint:
    """256x256 pixels, 19 labels."""
    torch.manual_seed(0)
    model = Scam(ScamConfig.preset("celebamask-hq")).eval()
    return Checkpoint(Path("random weights"), model)


def drawn(size: tuple[int, int]) -> Folder:
    """Three mannequins, whose labels fit any model of eleven labels or more."""
    source = Mannequins("val")
    stems = [source.stem(index) for index in range(3)]
    return Folder(
        MANNEQUINS,
        tuple(stems),
        lambda stem: Picture(*source.load(stems.index(stem), size), stem),
    )


def measure(checkpoint: Checkpoint, rounds: int) -> tuple[float, float]:
    """Medians, in seconds, of a stroke and of the same with all three images encoded again.

    A subject and a donor of one label are mixed into the host; every stroke is another map.
    """
    size = checkpoint.model.config.size
    examples = drawn(size)
    opener = Opener(Pictures(checkpoint, examples))
    answers = Answers(opener)
    pictures = [PictureData(stem, example=stem) for stem in examples.stems]
    host, subject, donor = map(opener.pictures.add, pictures)
    labels = opener.pictures.get(host).picture.labels.astype(np.uint8)

    def stroke(number: int) -> None:
        edited = labels.copy()
        edited[number % size[0], :] = 1
        session = {
            "format": FORMAT,
            "model": opener.model,
            "host": host,
            "map": {
                "width": size[1],
                "height": size[0],
                "zlib": base64.b64encode(zlib.compress(edited.tobytes())).decode(),
            },
            "subject": subject,
            "styles": [{"labels": [3], "from": {"picture": donor}}],
        }
        answers.result(json.dumps(session).encode())

    def encoding(number: int) -> None:
        for name in (host, subject, donor):
            opener.pictures.get(name).kept.clear()
        stroke(number)

    return median(stroke, rounds), median(encoding, rounds)


def median(call: Callable[[int], None], rounds: int) -> float:
    """Seconds of a call, after one to warm up."""
    call(0)
    samples: list[float] = []
    while len(samples) < min(3, rounds) or (len(samples) < rounds and sum(samples) < BUDGET_S):
        start = time.perf_counter()
        call(len(samples))
        samples.append(time.perf_counter() - start)
    return statistics.median(samples)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studio", description=__doc__)
    parser.add_argument("checkpoint", nargs="?", default=MANNEQUINS)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default: {ROUNDS}; 1: quick")
    args = parser.parse_args(argv)
    path, rounds = args.checkpoint, max(1, args.rounds)
    print(HEAD)
    for name, checkpoint in ((path, load_checkpoint(path)), ("random weights", random_model())):
        size = sized(checkpoint.model.config.size, order=False)
        one, every = (1000 * seconds for seconds in measure(checkpoint, rounds))
        print(f"| {name} | {size} | {one:.0f} | {every:.0f} | {every / one:.1f} |")


if __name__ == "__main__":
    main()
