# SPDX-License-Identifier: Apache-2.0
"""A source of one's own, as docs/data.md defines it, in commands that take data."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scam import train, transfer
from scam.data import SOURCES, open_source
from scam.data.split import digests_of
from scam.data.subset import at_most
from scam.errors import InputError

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text()
SHORT = '"2", "--size", "32", "32", "--batch-size", "2", "--workers", "0"'


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What the page trains, but shorter."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    (block,) = (block for block in blocks if "SOURCES" in block)
    try:
        exec(compile(block.replace('"200"', SHORT), "data.md", "exec"), {})
        yield "runs/discs"
    finally:
        SOURCES.pop("discs", None)


def test_every_command_takes_it(run: str) -> None:
    assert (
        json.loads(Path(run, "evaluation/step_0000002/report.json").read_text())["pictures"] == 16
    )
    few = at_most(open_source("discs", "val"), 2)
    assert digests_of(few) == {"disc_200": "", "disc_208": ""}
    assert (few.fit, few.files(0), few.label_values.to_label) == ("squash", None, (0, 1))
    with pytest.raises(InputError, match="fit='crop': discs have no files to apply it to"):
        open_source("discs", "val", fit="crop")
    with pytest.raises(InputError, match="expected mannequins, discs or a folder"):
        open_source("squares", "val")
    pair = ["--subject", "disc_200"]
    transfer.main([run, *pair, "--background", "disc_3", "--out", "one.png"])
    transfer.main([run, *pair, "--background", "discs", "--out", "all"])
    assert len(list(Path("all").glob("disc_2*.png"))) == 16
    assert np.asarray(Image.open("one.png")).shape == (32, 32, 3)
    train.main(["--resume", "--out", run, "--steps", "3"])
    del SOURCES["discs"]
    with pytest.raises(InputError, match="the images of this run were in discs, where no folder"):
        train.main(["--resume", "--out", run, "--steps", "4"])
