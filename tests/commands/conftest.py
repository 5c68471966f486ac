# SPDX-License-Identifier: Apache-2.0
"""A folder of mannequins as a user would have photographs, and a run trained on it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from scam import train
from scam.data import Mannequins, save_label_png

FAST = [
    *("--size", "32", "32", "--batch-size", "2", "--workers", "0", "--steps", "2"),
    *("--warmup", "0", "--latents-per-label", "2", "--background-latents", "2"),
    *("--log-every", "1"),
]


def write_pairs(folder: Path, count: int, size: tuple[int, int] = (48, 40)) -> Path:
    source = Mannequins("train", count)
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for index in range(count):
        image, labels = source.load(index, size)
        Image.fromarray(image).save(folder / "images" / f"p{index}.png")
        save_label_png(folder / "labels" / f"p{index}.png", labels)
    names = "\n".join(f"{i} {name}" for i, name in enumerate(source.label_set.names))
    (folder / "labels.txt").write_text(names)
    return folder


@pytest.fixture(scope="session")
def make_pairs() -> Callable[..., Path]:
    """Pictures p0, p1, ...: FOLDER, how many, size; of another size they are others."""
    return write_pairs


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "photos", 4)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data folder and the run folder of a model trained on half of it."""
    base = tmp_path_factory.mktemp("trained")
    data = write_pairs(base / "photos", 6)
    train.main(["--data", str(data), "--holdout", "3", "--out", str(base / "run"), *FAST])
    return data, base / "run"


@pytest.fixture(scope="session")
def fast() -> Callable[..., list[str]]:
    """Arguments of a run of two small steps, and more."""
    return lambda *more: [*FAST, *map(str, more)]
