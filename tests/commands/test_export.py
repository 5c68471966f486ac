# SPDX-License-Identifier: Apache-2.0
"""``python -m scam.export`` on a trained run."""

import json
from pathlib import Path

import pytest
import torch

from scam import export
from scam.errors import InputError


def test_a_run_becomes_two_programs(
    trained: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "exported"
    export.main([str(trained[1]), "--out", str(out), "--device", "cpu"])
    assert sorted(path.name for path in out.iterdir()) == [
        "config.json",
        "encoder.pt2",
        "generator.pt2",
    ]
    assert json.loads((out / "config.json").read_text())["label_names"]
    encoder = torch.export.load(out / "encoder.pt2").module()
    tokens, present = encoder(torch.zeros(1, 3, 32, 32), torch.zeros(1, 32, 32, dtype=torch.int32))
    assert present[0, 0]
    assert tokens.isfinite().all()
    said = capsys.readouterr().out
    assert float(said.split("at most ")[1]) < 1e-5


def test_a_used_folder_is_refused(trained: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("do not lose me")
    with pytest.raises(InputError, match="expected a new or empty folder"):
        export.main([str(trained[1]), "--out", str(tmp_path)])
    assert (tmp_path / "mine").read_text() == "do not lose me"
